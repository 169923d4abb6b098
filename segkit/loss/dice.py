"""``loss=dice``: soft Dice, the overlap of probabilities with the target."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segkit.loss.loss import Loss
from segkit.loss.scores import SigmoidScores, SoftmaxScores
from segkit.types import LabelSpace, UserError


class Dice:
    """One minus the soft Dice coefficient, averaged over classes, then over images.

    Per class ``1 - (2 sum p y + s) / (sum p + sum y + s)`` over the valid pixels: the idea of
    Milletari et al. 2016 (V-Net) with the unsquared sums of Drozdzal et al. 2016.

    Which classes an image counts: in a multiclass task those that its target shows (an absent
    class neither dilutes the mean nor is rewarded); in a binary task the foreground; in a
    multilabel task every class. Without a softmax an absent class is still learned from: the
    smoothing s makes its loss fall to 0 as its probability does.

    Class weights do not apply: every class counts the same however few its pixels, which is
    the balance that weights made from pixel counts are after.

    Args:
        labels: What the target means.
        per_image: Take the Dice of each image, which adds up over micro-batches; otherwise the
            Dice of all pixels of the batch together, which does not (``exact`` is False:
            accumulation then gives the mean over micro-batches of their batch Dice).
        smooth: s, in pixels.

    Raises:
        UserError: ``smooth`` is negative or not finite.
    """

    def __init__(self, labels: LabelSpace, per_image: bool = True, smooth: float = 1.0) -> None:
        if not (smooth >= 0 and math.isfinite(smooth)):
            raise UserError(f"loss.dice_smooth={smooth} must be zero or more: type loss.dice_smooth=1.0")
        self.exact = per_image
        self.smooth = smooth
        self.ignore_index = labels.ignore_index

    def weigh(self, target: Tensor) -> Tensor:
        """Return how many images (or batches: 0 or 1) have a valid pixel, float64 scalar."""
        shown = (target != self.ignore_index).flatten(1).any(1)
        return (shown.sum() if self.exact else shown.any()).double()

    def total(self, scores: SoftmaxScores | SigmoidScores) -> Tensor:
        """Sum over the images, or the one value of the batch."""
        intersection, mass, size, counted = scores.overlap()
        if not self.exact:
            intersection, mass, size = (s.sum(0, keepdim=True) for s in (intersection, mass, size))
            counted = counted.any(0, keepdim=True)
        whole = mass + size + self.smooth
        dice = (2 * intersection + self.smooth) / torch.where(whole > 0, whole, 1)
        return (((1 - dice) * counted).sum(1) / counted.sum(1).clamp_min(1)).sum()


def dice(
    labels: LabelSpace,
    class_weights: Tensor | None = None,
    *,
    dice_per_image: bool = True,
    dice_smooth: float = 1.0,
) -> Loss:
    """Soft Dice for every task.

    Args:
        labels: What the target means.
        class_weights: Must be ``None``: see `Dice`.
        dice_per_image: Dice of each image, or of the batch.
        dice_smooth: Pixels added to numerator and denominator.

    Raises:
        UserError: Class weights are given, or the smoothing is negative.
    """
    if class_weights is not None:
        raise UserError(
            "loss=dice counts every class the same and takes no loss.class_weights: use loss=ce_dice"
        )
    return Loss(labels, {"dice": (1.0, Dice(labels, dice_per_image, dice_smooth))})
