"""The one source of every overlap number: int64 counts per image and class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segkit.metric.cells import Counts, matrix_of
from segkit.metric.table import Column, ImageTable
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.metric.scored import Scored

__all__ = ["Counts", "OverlapCounts"]


class OverlapCounts(ImageTable):
    """Counts true positives, false positives and false negatives of every image and class.

    Batches may come in any order, size and process; `count` gives the same. Ignored pixels
    are counted nowhere.

    Args:
        labels: What prediction and target mean.
        **kwargs: As for every `torchmetrics.Metric`.
    """

    def __init__(self, labels: LabelSpace, **kwargs: Any) -> None:
        columns = {"counts": Column((labels.num_classes, 3), torch.int64)}
        if labels.task != "multilabel":
            columns["cells"] = Column((4,), torch.int64, ragged=True)
        super().__init__(columns, **kwargs)
        self.labels = labels

    def update(self, scored: Scored) -> None:
        """Count a picture.

        Raises:
            ValueError: The shapes differ, or a value is no class of the label space.
        """
        prediction, target, ignore = scored.prediction, scored.target, self.labels.ignore_index
        if prediction.shape != target.shape:
            raise ValueError(f"prediction {list(prediction.shape)} and target {list(target.shape)} differ")
        if self.labels.task == "multilabel":
            self.add(scored.index, counts=planes(prediction, target, ignore))
            return
        matrix = confusion(prediction, target, self.labels.num_classes, ignore)
        hit = matrix.diagonal()
        counts = torch.stack([hit, matrix.sum(0) - hit, matrix.sum(1) - hit], 1)
        row, column = matrix.nonzero(as_tuple=True)
        cells = torch.stack([torch.full_like(row, scored.index), row, column, matrix[row, column]], 1)
        self.add(scored.index, counts=counts, cells=cells)

    def count(self) -> Counts:
        """Return the counts of all images, sorted by their index.

        Raises:
            ValueError: An image was counted twice.
        """
        rows = self.compute()
        cells = rows.get("cells")
        matrix = None if cells is None else matrix_of(cells, self.labels.num_classes)
        return Counts(rows["counts"], matrix, rows["index"], cells)


def confusion(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Confusion matrix of a picture, by a single `torch.bincount` over small integer codes.

    Args:
        prediction: ``[...]`` class indices.
        target: ``[...]`` class indices with ignored pixels.
        num_classes: K.
        ignore_index: Value of ignored pixels.

    Returns:
        ``[K, K]`` int64, rows target, columns prediction.

    Raises:
        ValueError: A value is neither a class index nor ``ignore_index``.
    """
    k = num_classes
    dtype = _smallest((ignore_index + 2) * k)
    # Row 0 takes the ignored pixels; an unknown value of the target falls behind the last bin.
    code = target.to(dtype, copy=True).add_(1).masked_fill_(target == ignore_index, 0)
    code.mul_(k).add_(prediction.to(dtype))  # in place: new memory is slower
    bins = torch.bincount(code.flatten(), minlength=(k + 1) * k)
    if len(bins) > (k + 1) * k or (prediction.numel() and int(prediction.max()) >= k):
        raise ValueError(f"a value of target or prediction is outside the {k} classes of the label space")
    return bins.view(k + 1, k)[1:]


def planes(prediction: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Count classes that may overlap: ``[K, H, W]`` zeros and ones -> ``[K, 3]`` int64."""
    real = target == 1
    claimed = (prediction == 1) & (target != ignore_index)
    hit, claims, size = (m.sum((1, 2)) for m in (claimed & real, claimed, real))
    return torch.stack([hit, claims - hit, size - hit], 1)


def _smallest(largest: int) -> torch.dtype:
    """Integer type for codes up to ``largest``: small codes are counted several times faster."""
    fits = (t for t in (torch.int16, torch.int32) if largest <= torch.iinfo(t).max)
    return next(fits, torch.int64)
