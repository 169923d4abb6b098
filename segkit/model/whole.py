"""Whole pictures through a network, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from segkit.types import Batch


def picture_logits(net: Callable[[Tensor], Tensor], batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
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
        yield net(batch.image[i : i + 1, :, :h, :w].contiguous())[0], batch.target[i, ..., :height, :width]
