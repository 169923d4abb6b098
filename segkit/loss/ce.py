"""``loss=ce``: softmax cross-entropy, one of K classes per pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from segkit.loss.bce import BinaryCrossEntropy
from segkit.loss.loss import Loss, Term, class_weight_vector, require_task, smoothing_share
from segkit.loss.scores import SoftmaxScores
from segkit.types import LabelSpace


class CrossEntropy:
    """Weighted softmax cross-entropy of a multiclass task.

    Sum over the valid pixels of ``w[target] * -log p[target]``, divided by the sum of
    ``w[target]``. With label smoothing e, the first is taken (1 - e) times and
    ``e / K * sum_c w[c] * -log p[c]`` is added (Szegedy et al. 2016, section 7). Both are what
    `torch.nn.functional.cross_entropy` gives with ``reduction="mean"``.

    Args:
        labels: A multiclass label space.
        class_weights: ``[K]`` or ``None``.
        label_smoothing: e, in 0..1 (1 excluded).
    """

    exact = True

    def __init__(
        self, labels: LabelSpace, class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> None:
        self.weights = class_weight_vector(class_weights, labels)
        self.uniform = class_weights is None
        self.smoothing = smoothing_share(label_smoothing)
        self.ignore_index = labels.ignore_index
        # Looked up by the target as it is: ignored pixels weigh nothing.
        self.table = torch.zeros(labels.ignore_index + 1, dtype=torch.float64)
        self.table[: labels.num_classes] = self.weights

    def weigh(self, target: Tensor) -> Tensor:
        """Sum of the class weights of the valid pixels, float64 scalar."""
        if self.uniform:
            return (target != self.ignore_index).sum().double()
        return self.table.to(target.device, non_blocking=True)[target.long()].sum()

    def total(self, scores: SoftmaxScores) -> Tensor:
        """Sum of the weighted cross-entropy over the valid pixels."""
        weights = self.weights.to(scores.mass, non_blocking=True)
        true = scores.picked if self.uniform else weights[scores.true] * scores.picked
        total = -true.sum()
        if not self.smoothing:
            return total
        every = (scores.log_mass @ weights).sum()
        return (1 - self.smoothing) * total - self.smoothing / len(weights) * every


def cross_entropy(labels: LabelSpace, class_weights: Tensor | None, label_smoothing: float) -> Term:
    """Return the softmax form, or its two-class form on one logit in a binary task."""
    form = BinaryCrossEntropy if labels.task == "binary" else CrossEntropy
    return form(labels, class_weights, label_smoothing)


def ce(labels: LabelSpace, class_weights: Tensor | None = None, *, label_smoothing: float = 0.0) -> Loss:
    """Cross-entropy for multiclass and binary labels.

    Args:
        labels: What the target means.
        class_weights: ``[K]`` weight of each class, already resolved from the scheme that the
            configuration names; ``None`` weighs all alike.
        label_smoothing: Share of the target's certainty that is spread over all classes, 0..1.

    Raises:
        UserError: The labels are multilabel, or the smoothing is out of range.
    """
    require_task(labels, ("multiclass", "binary"), "ce", "bce")
    return Loss(labels, {"ce": (1.0, cross_entropy(labels, class_weights, label_smoothing))})
