"""Sums and weights -> means, the same for any batch size and number of processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class WeightedMeans(Metric):
    """Weighted means of T numbers: Σ value x weight / Σ weight, each over all updates.

    Args:
        size: T.
    """

    full_state_update = False
    totals: Tensor
    weights: Tensor

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("totals", torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weights", torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor, weights: Tensor) -> None:
        """Add ``values`` ``[T]``, each a mean over ``weights`` ``[T]`` float64."""
        self.totals += values.double() * weights
        self.weights += weights

    def compute(self) -> Tensor:
        """Return the means ``[T]`` float64; 0 where nothing was weighed."""
        return torch.where(self.weights > 0, self.totals / self.weights, 0.0)
