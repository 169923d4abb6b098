"""The one source of every overlap number: int64 counts per image and class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from segkit.metric.overlap import Counts
from segkit.types import LabelSpace

__all__ = ["Counts", "OverlapCounts"]


class OverlapCounts(Metric):
    """Counts true positives, false positives and false negatives of every image and class.

    Batches may come in any order, size and process; `compute` gives the same. Ignored pixels
    are counted nowhere.

    Args:
        labels: What prediction and target mean.
        **kwargs: As for every `torchmetrics.Metric`.
    """

    full_state_update = False
    counts: list[Tensor]
    index: list[Tensor]
    confusion: Tensor

    def __init__(self, labels: LabelSpace, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.labels = labels
        k = labels.num_classes
        self.add_state("counts", [], dist_reduce_fx="cat")
        self.add_state("index", [], dist_reduce_fx="cat")
        if labels.task != "multilabel":
            self.add_state("confusion", torch.zeros(k, k, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, index: Tensor) -> None:
        """Count a batch.

        Args:
            prediction: ``[N, H, W]`` int64 class indices, or ``[N, K, H, W]`` zeros and ones in a
                multilabel task.
            target: The same shape, any integer type, with ignored pixels.
            index: ``[N]`` int64, position of each sample in its split.

        Raises:
            ValueError: The shapes differ, or a value is no class of the label space.
        """
        if prediction.shape != target.shape:
            raise ValueError(f"prediction {list(prediction.shape)} and target {list(target.shape)} differ")
        ignore = self.labels.ignore_index
        if self.labels.task == "multilabel":
            counts = planes(prediction, target, ignore)
        else:
            matrix = confusion(prediction, target, self.labels.num_classes, ignore)
            self.confusion += matrix.sum(0)
            hit = matrix.diagonal(dim1=1, dim2=2)
            counts = torch.stack([hit, matrix.sum(1) - hit, matrix.sum(2) - hit], 2)
        self.counts.append(counts)
        self.index.append(index.to(counts.device))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Merge the processes, of which some may have seen no image (more processes than images)."""
        if not self.index:
            shape = (0, self.labels.num_classes, 3)
            self.counts.append(torch.zeros(shape, dtype=torch.int64, device=self.device))
            self.index.append(torch.zeros(0, dtype=torch.int64, device=self.device))
        super().sync(*args, **kwargs)

    def compute(self) -> Counts:
        """Return the counts of all images, sorted by their index.

        Raises:
            ValueError: An image was counted twice.
        """
        index, counts = (_joined(state).cpu() for state in (self.index, self.counts))
        index, order = index.sort()
        if (index[1:] == index[:-1]).any():
            twice = int(index[1:][index[1:] == index[:-1]][0])
            raise ValueError(
                f"the image with index {twice} was counted twice: every sample belongs to one process"
            )
        matrix = None if self.labels.task == "multilabel" else self.confusion.cpu().numpy()
        return Counts(counts[order].reshape(-1, self.labels.num_classes, 3).numpy(), matrix, index.numpy())


def confusion(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """One confusion matrix per image, by a single `torch.bincount` over small integer codes.

    Args:
        prediction: ``[N, H, W]`` class indices.
        target: ``[N, H, W]`` class indices with ignored pixels.
        num_classes: K.
        ignore_index: Value of ignored pixels.

    Returns:
        ``[N, K, K]`` int64, rows target, columns prediction.

    Raises:
        ValueError: A value is neither a class index nor ``ignore_index``.
    """
    n, k = len(target), num_classes
    dtype = _smallest((ignore_index + 2) * k * n)
    # Row 0 takes the ignored pixels. The image is the fastest index, so that an unknown value of
    # the target falls behind the last bin instead of into another image.
    code = target.to(dtype, copy=True).add_(1).masked_fill_(target == ignore_index, 0)
    image = torch.arange(n, dtype=dtype, device=target.device)[:, None, None]
    code.mul_(k).add_(prediction.to(dtype)).mul_(n).add_(image)  # in place: new memory is slower
    bins = torch.bincount(code.flatten(), minlength=(k + 1) * k * n)
    if len(bins) > (k + 1) * k * n or (prediction.numel() and int(prediction.max()) >= k):
        raise ValueError(f"a value of target or prediction is outside the {k} classes of the label space")
    return bins.view(k + 1, k, n)[1:].permute(2, 0, 1).contiguous()


def planes(prediction: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Count classes that may overlap: ``[N, K, H, W]`` zeros and ones -> ``[N, K, 3]`` int64."""
    real = target == 1
    claimed = (prediction == 1) & (target != ignore_index)
    hit, claims, size = (m.sum((2, 3)) for m in (claimed & real, claimed, real))
    return torch.stack([hit, claims - hit, size - hit], 2)


def _smallest(largest: int) -> torch.dtype:
    """Integer type for codes up to ``largest``: small codes are counted several times faster."""
    fits = (t for t in (torch.int16, torch.int32) if largest <= torch.iinfo(t).max)
    return next(fits, torch.int64)


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    """A list state before synchronisation, or the tensor that it becomes."""
    if isinstance(state, Tensor):
        return state
    return torch.cat(state) if state else torch.zeros(0, dtype=torch.int64)
