"""One picture -> class indices or probabilities at its own size."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from segkit.augment.fit import stretch
from segkit.metric.scored import Answer
from segkit.model.whole import whole_logits
from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.types import Array


class Predictor:
    """Labels pictures of any size.

    Args:
        net: uint8 images ``[N, 3, h, w]`` -> logits ``[N, C, h, w]``; put into evaluation mode.
        labels: What the logits mean.
        size: (height, width) at which the network looks at a picture; ``None``: the picture's own.
        threshold: Probability from which on a sigmoid output counts as present.
        temperature: What logits are divided by before they become probabilities.

    Raises:
        UserError: ``threshold`` is not between 0 and 1, ``size`` is no size, or ``temperature`` is
            no finite number above 0.
    """

    def __init__(
        self,
        net: nn.Module,
        labels: LabelSpace,
        size: tuple[int, int] | None = None,
        threshold: float = 0.5,
        temperature: float = 1.0,
    ) -> None:
        if not 0 < threshold < 1:
            raise UserError(f"threshold={threshold}: must lie between 0 and 1")
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise UserError(f"size={size}: give height and width, each at least 1, such as (256, 512)")
        if not 0 < temperature < math.inf:
            raise UserError(f"temperature={temperature}: must be a number above 0")
        self.net, self.labels, self.size = net.eval(), labels, size
        self.threshold, self.temperature = threshold, temperature

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
        return self._answer(image).prediction.cpu().numpy().astype(self.labels.dtype)

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
        parts = self._answer(image).probabilities()
        return np.concatenate([part.cpu().numpy().copy() for _, part in parts])

    def _answer(self, image: Array) -> Answer:
        image = _as_rgb(image)
        own = (image.shape[0], image.shape[1])
        if self.size is not None and self.size != image.shape[:2]:
            image = stretch(image, self.size)
        some = next(itertools.chain(self.net.parameters(), self.net.buffers()), torch.empty(0))
        batch = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].to(some.device)
        return Answer(whole_logits(self.net, batch), own, self.labels, self.threshold, self.temperature)


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
