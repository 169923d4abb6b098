"""``loss=bce``: sigmoid cross-entropy, one yes-or-no question per class and pixel."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from segkit.loss.loss import Loss, class_weight_vector, require_task, smoothing_share
from segkit.loss.scores import SigmoidScores
from segkit.types import LabelSpace


class BinaryCrossEntropy:
    """Weighted cross-entropy of sigmoid outputs.

    Sum over the valid entries of ``w * -log p(true answer)``, divided by the sum of w. In a
    binary task w is the weight of the pixel's class (background or foreground); in a
    multilabel task it is the weight of the class that is asked for, whatever the answer.
    Label smoothing e moves the answers to ``1 - e / 2`` and ``e / 2``, which for one logit is
    what softmax cross-entropy does with two classes.

    Args:
        labels: A binary or multilabel label space.
        class_weights: ``[K]`` or ``None``.
        label_smoothing: e, in 0..1 (1 excluded).
    """

    exact = True

    def __init__(
        self, labels: LabelSpace, class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> None:
        weights = class_weight_vector(class_weights, labels)
        binary = labels.task == "binary"
        self.weights = weights[None] if binary else torch.stack([weights, weights], 1)  # [C, (no, yes)]
        self.smoothing = smoothing_share(label_smoothing)
        self.ignore_index = labels.ignore_index

    def weigh(self, target: Tensor) -> Tensor:
        """Sum of the weights of the valid entries, float64 scalar."""
        pixels = math.prod(target.shape[1:]) // len(self.weights)  # -1 would not do for an empty batch
        t = target.reshape(len(target), len(self.weights), pixels)
        yes = (t == 1).sum((0, 2))
        no = (t != self.ignore_index).sum((0, 2)) - yes
        return (self.weights.to(target.device, non_blocking=True) * torch.stack([no, yes], 1)).sum()

    def total(self, scores: SigmoidScores) -> Tensor:
        """Sum of the weighted cross-entropy over the valid entries."""
        z = scores.logits
        no, yes = self.weights.to(z, non_blocking=True)[:, :, None].unbind(1)  # each [C, 1]
        weight = torch.where(scores.positive, yes, no) * scores.valid
        total = -(weight * F.logsigmoid(torch.where(scores.positive, z, -z))).sum()
        if not self.smoothing:
            return total
        every = (yes * F.logsigmoid(z) + no * F.logsigmoid(-z)) * scores.valid
        return (1 - self.smoothing) * total - self.smoothing / 2 * every.sum()


def bce(labels: LabelSpace, class_weights: Tensor | None = None, *, label_smoothing: float = 0.0) -> Loss:
    """Sigmoid cross-entropy for binary and multilabel labels.

    Args:
        labels: What the target means.
        class_weights: ``[K]`` weight of each class, already resolved from the scheme that the
            configuration names; ``None`` weighs all alike.
        label_smoothing: Share of the target's certainty that is given up, 0..1.

    Raises:
        UserError: The labels are multiclass, or the smoothing is out of range.
    """
    require_task(labels, ("binary", "multilabel"), "bce", "ce")
    return Loss(labels, {"bce": (1.0, BinaryCrossEntropy(labels, class_weights, label_smoothing))})
