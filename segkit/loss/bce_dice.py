"""``loss=bce_dice``: sigmoid cross-entropy plus Dice, for binary and overlapping classes."""

from __future__ import annotations

from torch import Tensor

from segkit.loss.bce import BinaryCrossEntropy
from segkit.loss.dice import Dice
from segkit.loss.loss import Loss, require_task
from segkit.types import LabelSpace


def bce_dice(
    labels: LabelSpace,
    class_weights: Tensor | None = None,
    *,
    bce: float = 1.0,
    dice: float = 1.0,
    label_smoothing: float = 0.0,
    dice_per_image: bool = True,
    dice_smooth: float = 1.0,
) -> Loss:
    """Sigmoid cross-entropy plus soft Dice for binary and multilabel labels.

    Args:
        labels: What the target means.
        class_weights: ``[K]`` weight of each class in the cross-entropy, already resolved from
            the scheme that the configuration names; ``None`` weighs all alike.
        bce: Coefficient of the cross-entropy.
        dice: Coefficient of the Dice loss.
        label_smoothing: Share of certainty that the cross-entropy gives up.
        dice_per_image: Dice of each image, or of the batch.
        dice_smooth: Pixels added to numerator and denominator of the Dice.

    Raises:
        UserError: The labels are multiclass, or a number is out of range.
    """
    require_task(labels, ("binary", "multilabel"), "bce_dice", "ce_dice")
    entropy = BinaryCrossEntropy(labels, class_weights, label_smoothing)
    return Loss(labels, {"bce": (bce, entropy), "dice": (dice, Dice(labels, dice_per_image, dice_smooth))})
