"""Whole pictures through a network, one by one; very large ones in tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from segkit.types import Batch

LARGE = 2**22  # pixels; up to here, such as 2048x2048, a picture goes through the network in one piece
TILE = 1024  # pixels of a side; a multiple of every network's stride, as is the margin
MARGIN = 256  # pixels around a tile that the network sees, too

Network = Callable[[Tensor], Tensor]


def picture_logits(net: Network, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits of each picture of a batch, and its target without padding.

    Pictures go through the network one by one, so that no number depends on which pictures
    share a batch: the rounding of a convolution does (about one pixel in ten million
    changed its class between batches of 1 and of 4).

    Args:
        net: uint8 images ``[N, 3, H, W]`` -> logits ``[N, C, H, W]``.
        batch: Images padded to a common size, targets ``[N, (K,) H', W']`` likewise.

    Yields:
        Logits ``[C, h, w]`` at the size of the image, target ``[(K,) H', W']`` at its own.
    """
    for i, ((h, w), (height, width)) in enumerate(zip(batch.image_size, batch.target_size, strict=True)):
        yield whole_logits(net, batch.image[i : i + 1, :, :h, :w]), batch.target[i, ..., :height, :width]


def whole_logits(net: Network, image: Tensor) -> Tensor:
    """Logits of one picture.

    The memory that a network takes grows with the picture, and is many times that of the logits.
    More than `LARGE` pixels therefore go through it in tiles of `TILE`, each with `MARGIN` pixels
    of what surrounds it, of which only the tile itself is kept. That is exact, up to rounding, for
    a network that looks no further than the margin (Ronneberger, Fischer and Brox, "U-Net", 2015,
    figure 2); one that pools over the whole picture sees the tile and its margin in its place.

    Args:
        net: uint8 images ``[1, 3, h, w]`` -> logits ``[1, C, h, w]``.
        image: uint8 ``[1, 3, H, W]``.

    Returns:
        ``[C, H, W]``.
    """
    height, width = image.shape[-2:]
    if height * width <= LARGE:
        return net(image.contiguous())[0]
    whole = None
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            above, before = min(top, MARGIN), min(left, MARGIN)
            seen = image[..., top - above : top + TILE + MARGIN, left - before : left + TILE + MARGIN]
            logits = net(seen.contiguous())[0, :, above : above + TILE, before : before + TILE]
            if whole is None:
                whole = logits.new_empty(len(logits), height, width)
            whole[:, top : top + TILE, left : left + TILE] = logits
    assert whole is not None
    return whole
