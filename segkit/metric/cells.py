"""Counts of images, and what can be made of them without a network: fewer classes, coarser classes.

Only numpy is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.types import Array


class Counts(NamedTuple):
    """What was counted on a set of images.

    Attributes:
        counts: ``[images, K, 3]`` int64: true positives, false positives, false negatives, in
            pixels.
        confusion: ``[K, K]`` int64, rows target, columns prediction; ``None`` in a multilabel task.
        index: ``[images]`` int64, position of each image in its split, ascending.
        cells: ``[m, 4]`` int64 rows (image index, target, prediction, pixels): the cells of every
            image's own confusion matrix that are not zero; ``None`` in a multilabel task.
    """

    counts: Array
    confusion: Array | None
    index: Array  # type: ignore[assignment]  # hides tuple.index, which nobody misses
    cells: Array | None = None


def matrix_of(cells: Array, num_classes: int) -> Array:
    """Confusion matrix ``[K, K]`` int64 of all images, from cells ``[m, 4]``."""
    matrix = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(matrix, (cells[:, 1], cells[:, 2]), cells[:, 3])
    return matrix


def without(counts: Counts, labels: LabelSpace, names: Sequence[str]) -> Counts:
    """Drop the target pixels of some classes, and their counts.

    Raises:
        UserError: See `segkit.metric.protocol.apply`.
    """
    unknown = [name for name in names if name not in labels.names]
    if unknown:
        raise UserError(
            f"metric.protocol.ignore_classes: there is no class '{unknown[0]}'; "
            f"there are {', '.join(labels.names)}"
        )
    if counts.cells is None:
        raise UserError("metric.protocol.ignore_classes: not for multilabel tasks, whose classes overlap")
    dropped = np.array([labels.names.index(name) for name in names])
    cells = counts.cells[~np.isin(counts.cells[:, 1], dropped)]
    kept = counts_of(cells, counts.index, labels.num_classes)
    kept.counts[:, dropped] = 0
    return kept


def at_parents(counts: Counts, labels: LabelSpace, ignored: Sequence[str] = ()) -> tuple[Counts, LabelSpace]:
    """Merge the classes of each parent by summing their cells.

    A class without a parent is left out as an ignored class is. So is a parent all of whose
    classes are ignored.

    Args:
        counts: Of the classes.
        labels: Their label space.
        ignored: Names of classes that `without` has dropped from ``counts``.

    Returns:
        Counts and label space of the P parents. In ``cells`` the prediction P stands for every
        class without a parent.

    Raises:
        UserError: See `segkit.metric.protocol.apply`.
    """
    if not any(labels.parents):
        raise UserError("metric.protocol.level=category: the label space gives its classes no parents")
    if counts.cells is None:
        raise UserError("metric.protocol.level=category: not for multilabel tasks, whose classes overlap")
    family = list(zip(labels.names, labels.parents, strict=True))
    parents = tuple(dict.fromkeys(p for n, p in family if p and n not in ignored))
    orphans = [n for n, parent in family if parent not in parents]
    counts = without(counts, labels, orphans) if orphans else counts
    # What is predicted as an orphan is wrong everywhere: it gets a column of its own, which has no number.
    place = np.array([parents.index(p) if p in parents else len(parents) for p in labels.parents])
    cells = counts.cells.copy()  # type: ignore[union-attr]  # looked at above
    cells[:, 1:3] = place[cells[:, 1:3]]
    cells = _summed(cells)
    colors = tuple(labels.colors[labels.parents.index(p)] for p in parents)
    merged = LabelSpace(parents, colors, tuple((i,) for i in range(len(parents))))
    whole = counts_of(cells, counts.index, len(parents) + bool(orphans))
    k = len(parents)
    assert whole.confusion is not None
    return Counts(whole.counts[:, :k], whole.confusion[:k, :k], whole.index, cells), merged


def counts_of(cells: Array, index: Array, num_classes: int) -> Counts:
    """Counts from the non-zero cells of every image's confusion matrix.

    Args:
        cells: ``[m, 4]`` int64 rows (image index, target, prediction, pixels).
        index: ``[n]`` int64, ascending: the images.
        num_classes: K.
    """
    image = np.searchsorted(index, cells[:, 0])
    _, target, prediction, pixels = cells.T
    counts = np.zeros((len(index), num_classes, 3), np.int64)
    hit = target == prediction
    np.add.at(counts, (image[hit], target[hit], 0), pixels[hit])
    np.add.at(counts, (image[~hit], prediction[~hit], 1), pixels[~hit])
    np.add.at(counts, (image[~hit], target[~hit], 2), pixels[~hit])
    return Counts(counts, matrix_of(cells, num_classes), index, cells)


def _summed(cells: Array) -> Array:
    """Add up the pixels of rows with the same image, target and prediction."""
    keys, which = np.unique(cells[:, :3], axis=0, return_inverse=True)
    pixels = np.zeros(len(keys), np.int64)
    np.add.at(pixels, which.reshape(-1), cells[:, 3])
    return np.column_stack([keys, pixels])
