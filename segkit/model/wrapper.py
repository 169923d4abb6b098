"""Bytes in, logits out: what every network needs around it, in one place."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Segmenter(nn.Module):
    """A network that takes pictures of any size as they come.

    Normalisation and padding are part of the model, so that training, evaluation and export
    cannot disagree about them.

    A batch norm that meets a single value per channel while training (one image whose map
    was pooled to 1x1, as in DeepLab, PAN and UPerNet) has no statistics to take from it, and
    torch raises an error. Here such a norm uses its running statistics, as in evaluation, and
    leaves them as they are. Everything else trains as usual, so a batch of 1 works.

    Args:
        net: Network with ``stride``, ``mean``, ``std`` (of RGB in 0..1), and a ``forward``
            from ``[N, 3, H, W]`` to logits ``[N, C, H, W]`` for H and W that ``stride`` divides.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", 255 * torch.tensor(net.mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(net.std).view(1, 3, 1, 1))
        for norm in (m for m in net.modules() if isinstance(m, _BatchNorm)):
            norm.register_forward_pre_hook(_spare_single_values)
            norm.register_forward_hook(_train_on, always_call=True)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits at the size of the picture.

        Args:
            image: ``[N, 3, H, W]`` RGB, uint8 or float in 0..255, H and W at least 1.

        Returns:
            Logits ``[N, C, H, W]``, in the type that the network computes in (the type of the
            parameters, or that of autocast where it is on).
        """
        height, width = image.shape[-2:]
        x = (image.to(self.mean.dtype) - self.mean) / self.std
        logits: Tensor = self.net(pad_to_stride(x, int(self.net.stride)))  # type: ignore[arg-type]
        return logits[..., :height, :width]


def pad_to_stride(x: Tensor, stride: int) -> Tensor:
    """Pad ``[N, C, H, W]`` at the bottom and the right until ``stride`` divides H and W.

    A side is reflected where it is longer than its padding; a shorter one repeats its last
    line. Pictures that fit are returned untouched.
    """
    height, width = x.shape[-2:]
    x = _pad(x, -width % stride, width, right=True)
    return _pad(x, -height % stride, height, right=False)


def _pad(x: Tensor, extra: int, length: int, *, right: bool) -> Tensor:
    if extra == 0:
        return x
    sides = (0, extra, 0, 0) if right else (0, 0, 0, extra)
    return F.pad(x, sides, mode="reflect" if extra < length else "replicate")


def _spare_single_values(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    x = inputs[0]
    norm.training_paused = bool(norm.training and norm.track_running_stats and x.numel() == x.shape[1])  # type: ignore[assignment]
    if norm.training_paused:
        norm.training = False


def _train_on(norm: nn.Module, inputs: Any, output: Any) -> None:
    if norm.training_paused:
        norm.training = True
