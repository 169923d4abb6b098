"""One picture -> class indices or probabilities at its own size."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from segkit.augment.fit import stretch
from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.types import Array

SLICE = 2**26  # floats that are enlarged at a time: 256 MiB


class Predictor:
    """Labels pictures of any size.

    Args:
        net: uint8 images ``[N, 3, h, w]`` -> logits ``[N, C, h, w]``; put into evaluation mode.
        labels: What the logits mean.
        size: (height, width) at which the network looks at a picture; ``None``: the picture's own.
        threshold: Probability from which on a sigmoid output counts as present.

    Raises:
        UserError: ``threshold`` is not between 0 and 1, or ``size`` is no size.
    """

    def __init__(
        self,
        net: nn.Module,
        labels: LabelSpace,
        size: tuple[int, int] | None = None,
        threshold: float = 0.5,
    ) -> None:
        if not 0 < threshold < 1:
            raise UserError(f"threshold={threshold}: must lie between 0 and 1")
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise UserError(f"size={size}: give height and width, each at least 1, such as (256, 512)")
        self.net, self.labels, self.size, self.threshold = net.eval(), labels, size, threshold

    @torch.inference_mode()
    def predict(self, image: Array) -> Array:
        """Label every pixel.

        Args:
            image: uint8 RGB ``[H, W, 3]`` or grey ``[H, W]``.

        Returns:
            ``[H, W]`` class indices, or ``[K, H, W]`` zeros and ones in a multilabel task; uint8
            (uint16 for more than 255 classes).

        Raises:
            UserError: ``image`` has another type or shape.
        """
        logits, size = self._logits(image), image.shape[:2]
        chunk = max(1, SLICE // (size[0] * size[1]))
        if self.labels.task == "multiclass":
            hard = _largest(logits, size, chunk)
        else:
            parts = [self.labels.predict(_enlarge(c, size), self.threshold) for c in logits.split(chunk, 1)]
            hard = torch.cat(parts, 1) if self.labels.task == "multilabel" else parts[0]
        return hard[0].cpu().numpy().astype(self.labels.dtype)

    @torch.inference_mode()
    def probabilities(self, image: Array) -> Array:
        """Probability of each class at each pixel.

        Args:
            image: uint8 RGB ``[H, W, 3]`` or grey ``[H, W]``.

        Returns:
            float32 ``[K, H, W]``; over the classes they add up to 1, except in a multilabel task.

        Raises:
            UserError: ``image`` has another type or shape.
        """
        logits = _enlarge(self._logits(image), image.shape[:2])
        return self.labels.probabilities(logits)[0].cpu().numpy()

    def _logits(self, image: Array) -> Tensor:
        """Return float32 ``[1, C, h, w]`` at the resolution of the network."""
        image = _as_rgb(image)
        if self.size is not None and self.size != image.shape[:2]:
            image = stretch(image, self.size)
        some = next(itertools.chain(self.net.parameters(), self.net.buffers()), torch.empty(0))
        batch = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].to(some.device)
        return self.net(batch).float()


def _as_rgb(image: Array) -> Array:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f"{image.dtype} array" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"image is a {kind}: give a numpy array of uint8, 0 to 255")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, 2)
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise UserError(
            f"image has shape {list(image.shape)}: give RGB [height, width, 3] or grey [height, width]"
        )
    return image


def _enlarge(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    if logits.shape[-2:] == size:
        return logits
    return interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _largest(logits: Tensor, size: tuple[int, ...], chunk: int) -> Tensor:
    """Class of the largest logit, enlarging ``chunk`` classes at a time: ``[1, H, W]`` int64.

    Bilinear enlargement treats each class by itself, so the slices change no pixel; they
    bound the memory of a large picture with many classes.
    """
    best, where = _enlarge(logits[:, :chunk], size).max(1)
    for start in range(chunk, logits.shape[1], chunk):
        value, index = _enlarge(logits[:, start : start + chunk], size).max(1)
        better = value > best
        best = torch.where(better, value, best)
        where = torch.where(better, index + start, where)
    return where
