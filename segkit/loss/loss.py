"""A loss is a sum of terms, each divided by a weight that is known before the forward pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from segkit.loss.scores import scores
from segkit.types import LabelSpace, UserError


class Term(Protocol):
    """One summand of a loss: ``total(scores) / weigh(target)``.

    Attributes:
        exact: Whether totals and weights of micro-batches add up to those of their union, so
            that accumulation gives the gradient of the big batch.
    """

    exact: bool

    def weigh(self, target: Tensor) -> Tensor:
        """Return the float64 scalar to divide by, on the device of ``target``, without waiting for it."""
        ...

    def total(self, scores: Any) -> Tensor:
        """Return the scalar sum over a batch, from the task's scores (see `segkit.loss.scores`)."""
        ...


class Loss(nn.Module):
    """Sum of coefficient x term.

    The object has neither parameters nor buffers: a checkpoint does not change with the loss.

    Args:
        labels: What the target means.
        terms: Name -> (coefficient, term); the names are those that are logged.

    Attributes:
        names: Names of the T terms, in the order of `weigh`.
        coefficients: What each term is multiplied by.
        inexact: Names of the terms whose micro-batches do not add up to the big batch.

    Raises:
        UserError: A coefficient is negative or not finite, or all are zero.
    """

    def __init__(self, labels: LabelSpace, terms: Mapping[str, tuple[float, Term]]) -> None:
        super().__init__()
        for name, (coefficient, _) in terms.items():
            if not (coefficient >= 0 and math.isfinite(coefficient)):
                raise UserError(f"loss.{name}={coefficient} must be zero or more: type loss.{name}=1.0")
        if not any(coefficient for coefficient, _ in terms.values()):
            raise UserError(f"every coefficient of the loss is zero: type loss.{next(iter(terms))}=1.0")
        self.labels = labels
        self.terms = tuple(term for _, term in terms.values())
        self.names = tuple(terms)
        self.coefficients = tuple(float(coefficient) for coefficient, _ in terms.values())
        self.inexact = tuple(name for name, (_, term) in terms.items() if not term.exact)

    def weigh(self, target: Tensor) -> Tensor:
        """Weight of each term for this target.

        Args:
            target: ``[N, H, W]`` class indices or ``[N, K, H, W]`` zeros and ones, with
                ignored pixels; uint8, int32 or int64.

        Returns:
            ``[T]`` float64 on the target's device. The weights of an accumulation window
            (all its micro-batches, on all processes) are to be added up.
        """
        return torch.stack([term.weigh(target) for term in self.terms])

    def forward(
        self, logits: Tensor, target: Tensor, window: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch, or its share in the loss of a window.

        Args:
            logits: ``[N, C, H, W]``.
            target: As for `weigh`.
            window: ``[T]`` float64, summed weights of the window this batch belongs to;
                ``None`` for a batch that stands alone.

        Returns:
            The scalar loss, and the detached value of every term before its coefficient. With
            a window both are shares: those of its batches add up to the values of the whole.
            Where a weight is zero (everything ignored) the term is 0 and so is its gradient.
        """
        weights = self.weigh(target) if window is None else window.to(target.device, non_blocking=True)
        scale = torch.where(weights > 0, 1 / weights, 0)
        with torch.autocast(logits.device.type, enabled=False):
            shared = scores(logits, target, self.labels)
            values = torch.stack([term.total(shared) for term in self.terms])
            values = values * scale.to(values.dtype)
            parts = [c * value for c, value in zip(self.coefficients, values, strict=True)]
            return torch.stack(parts).sum(), dict(zip(self.names, values.detach(), strict=True))


def class_weight_vector(weights: Tensor | None, labels: LabelSpace) -> Tensor:
    """Return ``[K]`` float64 class weights on the CPU; ones where there are none.

    They are kept as a plain tensor, not as a buffer: the loader weighs targets on the CPU while
    the network trains elsewhere.

    Raises:
        ValueError: There is not one weight per class.
    """
    if weights is None:
        return torch.ones(labels.num_classes, dtype=torch.float64)
    if weights.shape != (labels.num_classes,):
        raise ValueError(f"class weights of shape {list(weights.shape)} for {labels.num_classes} classes")
    return weights.detach().double().cpu()


def smoothing_share(value: float) -> float:
    """Return a checked label smoothing.

    Raises:
        UserError: It is not in 0..1, 1 excluded.
    """
    if not 0 <= value < 1:
        raise UserError(
            f"loss.label_smoothing={value} must be at least 0 and below 1: type 0.1, or 0 for none"
        )
    return float(value)


def require_task(labels: LabelSpace, allowed: tuple[str, ...], name: str, instead: str) -> None:
    """Refuse a loss that does not fit the task.

    Raises:
        UserError: The task is not among ``allowed``.
    """
    if labels.task not in allowed:
        raise UserError(
            f"loss={name} is for {' and '.join(allowed)} labels, these are {labels.task}: use loss={instead}"
        )
