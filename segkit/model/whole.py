"""Whole pictures through a network, measured where their masks are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from segkit.types import Batch


def logits_at_target(net: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """Logits at the size of the target, bilinear where sizes differ.

    Pictures go through the network one by one, so that no number depends on which pictures
    share a batch: the rounding of a convolution does (about one pixel in ten million
    changed its class between batches of 1 and of 4).

    Args:
        net: uint8 images ``[N, 3, H, W]`` -> logits ``[N, C, H, W]``.
        batch: Images padded to a common size, targets ``[N, (K,) H', W']`` likewise.

    Returns:
        ``[N, C, H', W']`` float; zeros where a target is padding.
    """
    size, rows = batch.target.shape[-2:], []
    for i, ((h, w), own) in enumerate(zip(batch.image_size, batch.target_size, strict=True)):
        logits = _resized(net(batch.image[i : i + 1, :, :h, :w].contiguous()), own)
        rows.append(torch.nn.functional.pad(logits, (0, size[1] - own[1], 0, size[0] - own[0])))
    return torch.cat(rows)


def _resized(logits: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return interpolate(logits.float(), size=tuple(size), mode="bilinear", align_corners=False)
