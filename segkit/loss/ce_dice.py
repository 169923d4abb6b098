"""``loss=ce_dice``: cross-entropy for every pixel, Dice for every object size."""

from __future__ import annotations

from torch import Tensor

from segkit.loss.ce import cross_entropy
from segkit.loss.dice import Dice
from segkit.loss.loss import Loss, require_task
from segkit.types import LabelSpace


def ce_dice(
    labels: LabelSpace,
    class_weights: Tensor | None = None,
    *,
    ce: float = 1.0,
    dice: float = 1.0,
    label_smoothing: float = 0.0,
    dice_per_image: bool = True,
    dice_smooth: float = 1.0,
) -> Loss:
    """Cross-entropy plus soft Dice for multiclass and binary labels; both share one softmax.

    Args:
        labels: What the target means.
        class_weights: ``[K]`` weight of each class in the cross-entropy, already resolved from
            the scheme that the configuration names; ``None`` weighs all alike.
        ce: Coefficient of the cross-entropy.
        dice: Coefficient of the Dice loss.
        label_smoothing: Share of certainty that the cross-entropy spreads over all classes.
        dice_per_image: Dice of each image, or of the batch.
        dice_smooth: Pixels added to numerator and denominator of the Dice.

    Raises:
        UserError: The labels are multilabel, or a number is out of range.
    """
    require_task(labels, ("multiclass", "binary"), "ce_dice", "bce_dice")
    entropy = cross_entropy(labels, class_weights, label_smoothing)
    return Loss(labels, {"ce": (ce, entropy), "dice": (dice, Dice(labels, dice_per_image, dice_smooth))})
