"""U-Net, after Ronneberger, Fischer and Brox 2015 (https://arxiv.org/abs/1505.04597).

One page, from pixels to logits. What differs from the paper: "same" padding, so that the
logits have the size of the input; a normalisation after every 3x3 convolution; widths that
start at ``base_width`` instead of 64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from segkit.model.weights import IMAGENET_MEAN, IMAGENET_STD
from segkit.types import UserError


class UNet(nn.Module):
    """Contracting path, bottom, expansive path with skip connections, 1x1 head.

    Level ``i`` works at ``1 / 2**i`` of the input's resolution with ``base_width * 2**i``
    channels; two 3x3 convolutions at each. Weights start as in He et al. 2015, which is what
    the paper asks for: normal, standard deviation ``sqrt(2 / incoming values)``.

    Args:
        num_logits: Channels of the output.
        depth: How often the resolution is halved (the paper: 4).
        base_width: Channels at full resolution (the paper: 64).
        norm: ``"batch"``, or ``"group"`` with 16 channels in a group (Wu and He 2018), which
            does not look at the other images of a batch.
        downsample: ``"max_pool"`` (the paper), ``"avg_pool"`` or ``"strided_conv"`` (3x3).
        upsample: ``"transposed_conv"`` (the paper's 2x2 up-convolution) or ``"bilinear"``.
        dropout: Share of values dropped at the end of the contracting path (section 3.1),
            that is after the convolutions at the bottom; 0 leaves it out.

    Attributes:
        stride: ``2**depth``; height and width of an input are multiples of it.
        mean: Of ImageNet, for RGB in 0..1.
        std: Likewise.

    Raises:
        UserError: An option is unknown or out of range.
    """

    def __init__(
        self,
        num_logits: int,
        *,
        depth: int = 4,
        base_width: int = 16,
        norm: Literal["batch", "group"] = "batch",
        downsample: Literal["max_pool", "avg_pool", "strided_conv"] = "max_pool",
        upsample: Literal["transposed_conv", "bilinear"] = "transposed_conv",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_range(depth, base_width, dropout)
        normalise = _choose("norm", norm, _NORMS)
        down = _choose("downsample", downsample, _DOWNSAMPLES)
        up = _choose("upsample", upsample, _UPSAMPLES)
        widths = [base_width * 2**level for level in range(depth + 1)]
        steps = list(pairwise(widths))  # (fine, coarse) of each level

        self.contract = nn.ModuleList(
            _double_conv(before, width, normalise)
            for before, width in zip([3, *widths[:-2]], widths[:-1], strict=True)
        )
        self.down = nn.ModuleList(down(width) for width in widths[:-1])
        self.bottom = nn.Sequential(_double_conv(*steps[-1], normalise), nn.Dropout(dropout))
        self.up = nn.ModuleList(up(coarse, fine) for fine, coarse in reversed(steps))
        self.expand = nn.ModuleList(_double_conv(2 * fine, fine, normalise) for fine, _ in reversed(steps))
        self.head = nn.Conv2d(base_width, num_logits, 1)
        self.apply(_initialise)

        self.stride = 2**depth
        self.mean, self.std = IMAGENET_MEAN, IMAGENET_STD

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, 3, H, W]`` to logits ``[N, num_logits, H, W]``; `stride` divides H and W."""
        skips = []
        for convolve, down in zip(self.contract, self.down, strict=True):
            x = convolve(x)
            skips.append(x)
            x = down(x)
        x = self.bottom(x)
        for up, convolve in zip(self.up, self.expand, strict=True):
            x = convolve(torch.cat([skips.pop(), up(x)], 1))
        return self.head(x)


def _double_conv(before: int, width: int, normalise: Callable[[int], nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, padding=1, bias=False),  # the norm has a bias
        normalise(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        normalise(width),
        nn.ReLU(inplace=True),
    )


def _group_norm(width: int) -> nn.Module:
    return nn.GroupNorm(width // 16 if width % 16 == 0 else 1, width)


def _bilinear(coarse: int, fine: int) -> nn.Module:
    # A 1x1 convolution and an interpolation commute; at the low resolution it costs a quarter.
    return nn.Sequential(
        nn.Conv2d(coarse, fine, 1), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    )


_NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "group": _group_norm}
_DOWNSAMPLES: dict[str, Callable[[int], nn.Module]] = {
    "max_pool": lambda width: nn.MaxPool2d(2),
    "avg_pool": lambda width: nn.AvgPool2d(2),
    "strided_conv": lambda width: nn.Conv2d(width, width, 3, stride=2, padding=1),
}
_UPSAMPLES: dict[str, Callable[[int, int], nn.Module]] = {
    "transposed_conv": lambda coarse, fine: nn.ConvTranspose2d(coarse, fine, 2, stride=2),
    "bilinear": _bilinear,
}


def _initialise(module: nn.Module) -> None:
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return
    # In a 2x2 up-convolution of stride 2 each output sees one position of each input channel.
    transposed = isinstance(module, nn.ConvTranspose2d)
    incoming = module.in_channels if transposed else module.weight[0].numel()
    nn.init.normal_(module.weight, std=math.sqrt(2 / incoming))
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _choose(key: str, value: str, options: dict[str, Any]) -> Any:
    if value not in options:
        raise UserError(f"model.{key}={value}: unknown; choose {' or '.join(options)}")
    return options[value]


def _check_range(depth: int, base_width: int, dropout: float) -> None:
    if depth < 1:
        raise UserError(f"model.depth={depth}: out of range; choose 1 or more (4 is usual)")
    if base_width < 1:
        raise UserError(f"model.base_width={base_width}: out of range; choose 1 or more (16 is the default)")
    if not 0 <= dropout < 1:
        raise UserError(f"model.dropout={dropout}: out of range; choose 0 or more and less than 1")
