"""IoU and Dice of probabilities, which a threshold or an argmax would hide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segkit.metric.overlap import plain
from segkit.metric.table import Column, ImageTable
from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.metric.scored import Scored
    from segkit.types import Array

PROTOCOL = {
    "prediction": "probabilities, not hard labels",
    "soft_iou": (
        "(I + s) / (P + T - I + s): I the sum of the class's probabilities where the target shows it, "
        "P their sum over all pixels, T its pixels in the target, s the smoothing"
    ),
    "soft_dice": "(2 I + s) / (P + T + s)",
    "per_class": "sums over the pixels of all images together",
    "mean": "over the classes that the target shows in the data set, each with the same weight",
    "per_image": "over all pairs of an image and a class that its target shows, each with the same weight",
    "absent": "a class without a pixel in the target has no number: its probabilities are never quite 0",
    "ignored": "pixels with the ignore index are counted nowhere",
}


class Soft(ImageTable):
    """Adds up, for every image and class, ``sums [K, 3]``: I, P and T (see `PROTOCOL`).

    With probabilities of 0 and 1 and ``smooth=0`` these are IoU and Dice of hard labels.

    Args:
        labels: What prediction and target mean.
        smooth: s, in pixels: added above and below. 1 is usual where a loss is meant; it
            moves classes and pictures of few pixels towards 1.
        **kwargs: As for every `torchmetrics.Metric`.

    Raises:
        UserError: ``smooth`` is negative or no finite number.
    """

    def __init__(self, labels: LabelSpace, smooth: float = 0.0, **kwargs: Any) -> None:
        if not (smooth >= 0 and math.isfinite(smooth)):
            raise UserError(f"metric.soft.smooth={smooth}: give a number of at least 0, such as 0 or 1")
        super().__init__({"sums": Column((labels.num_classes, 3))}, **kwargs)
        self.labels, self.smooth = labels, smooth

    def update(self, scored: Scored) -> None:
        """Add up a picture."""
        rows = []
        for first, part in scored.probabilities():
            for k, probability in enumerate(part, first):
                real, valid = scored.real(k), scored.valid(k)
                masses = [probability.masked_fill(~m, 0).sum(dtype=torch.float64) for m in (real, valid)]
                rows.append(torch.stack([*masses, real.sum(dtype=torch.float64)]))
        self.add(scored.index, sums=torch.stack(rows))

    def numbers(self, rows: Mapping[str, Array]) -> dict[str, Any]:
        """Derive soft overlap from what was kept.

        Args:
            rows: The columns.

        Returns:
            Plain containers: ``mean``: soft_iou, soft_dice, per_image_soft_iou,
            per_image_soft_dice, 0..1; ``per_class``: name -> the same four; ``protocol``. What is
            not defined is ``None``.
        """
        whole, single = self._ratios(rows["sums"].sum(0)), self._ratios(rows["sums"])
        return {
            "mean": {
                **{name: _mean(values) for name, values in whole.items()},
                **{f"per_image_{name}": _mean(values) for name, values in single.items()},
            },
            "per_class": {
                class_name: {
                    **{name: plain(values[k]) for name, values in whole.items()},
                    **{f"per_image_{name}": _mean(values[:, k]) for name, values in single.items()},
                }
                for k, class_name in enumerate(self.labels.names)
            },
            "protocol": {"smooth": self.smooth, **PROTOCOL},
        }

    def _ratios(self, sums: Array) -> dict[str, Array]:
        """Both numbers of ``[..., K, 3]`` sums, each ``[..., K]``; nan where the class is absent."""
        both, said, real = (sums[..., i] for i in range(3))
        shown = real > 0
        ratios = {
            "soft_iou": (both + self.smooth, said + real - both + self.smooth),
            "soft_dice": (2 * both + self.smooth, said + real + self.smooth),
        }
        return {
            name: np.where(shown, over / np.where(shown, under, 1), np.nan)
            for name, (over, under) in ratios.items()
        }


def _mean(values: Array) -> float | None:
    """Mean of what is defined."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else None
