"""Which pictures of an evaluation to look at, and why.

Only numpy is needed: counts and numbers that were stored can be asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segkit.metric.cells import Counts
from segkit.metric.overlap import image_scores, rates
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

MOST = 12  # pictures, and suspicious crops
REASONS = 3  # of one picture, at most


class Choice(NamedTuple):
    """A picture to look at.

    Attributes:
        position: Of the image among the rows of the counts (and of ``Evaluation.samples``).
        reason: Why it was chosen, in words.
        numbers: ``miou`` of the image (0..1; nan where no pixel is counted), and what the first reason
            speaks of: ``iou`` (of a class in it), ``pixels``, ``share``, ``confidence``, ``score``.
    """

    position: int
    reason: str
    numbers: dict[str, float]


class Doubt(NamedTuple):
    """A part of a picture whose label may be wrong.

    Attributes:
        position: As in `Choice`.
        reason: What target and prediction say.
        numbers: ``pixels``, ``confidence``, ``score``.
        box: (top, left, height, width) in pixels of the target.
    """

    position: int
    reason: str
    numbers: dict[str, float]
    box: tuple[int, int, int, int]


class Pair(NamedTuple):
    """Two classes of which one is taken for the other.

    Attributes:
        target: Name of the class that is there.
        prediction: Name of the class that is predicted.
        pixels: How many.
        share: Of the pixels of the target's class, 0..1.
    """

    target: str
    prediction: str
    pixels: int
    share: float


def confused_pairs(confusion: Array, labels: LabelSpace, most: int = MOST) -> list[Pair]:
    """Pairs of classes by the share of the target's pixels that went to the other class, largest first.

    The share and not the number of pixels decides, as in a mean over classes: a rare class
    that is lost counts as much as a frequent one.

    Args:
        confusion: ``[K, K]`` int64, rows target, columns prediction.
        labels: Names of the classes.
        most: How many pairs.
    """
    size = confusion.sum(1, keepdims=True)
    share = np.where(np.eye(len(confusion), dtype=bool), 0, confusion / np.maximum(size, 1))
    order = np.lexsort([-confusion.ravel(), -share.ravel()])[:most]
    cells = [divmod(int(i), len(confusion)) for i in order]
    return [
        Pair(labels.names[t], labels.names[p], int(confusion[t, p]), float(share[t, p]))
        for t, p in cells
        if share[t, p] > 0
    ]


def worst_pictures(
    counts: Counts,
    labels: LabelSpace,
    suspicious: Sequence[Mapping[str, Any]] = (),
    most: int = MOST,
) -> list[Choice]:
    """Choose pictures: the worst of all, of each class, of confused pairs, and doubtful labels.

    The four lists, each of at most ``most``, take turns. A picture that several of them ask for is
    there once, with up to `REASONS` reasons.

    Args:
        counts: Of the images; without the classes that a protocol ignores.
        labels: Their label space.
        suspicious: As in the numbers of `segkit.metric.failure.Failure`.
        most: How many pictures.

    Returns:
        At most ``most``, in the order of their first reason.
    """
    lists = (
        _worst_of_all(counts),
        _worst_of_classes(counts, labels),
        _worst_of_pairs(counts, labels),
        _doubtful(counts, suspicious),
    )
    chosen: dict[int, list[Choice]] = {}
    turns = zip_longest(*(islice(one, most) for one in lists))
    for choice in chain.from_iterable(turns):
        if choice is None or (choice.position not in chosen and len(chosen) == most):
            continue
        chosen.setdefault(choice.position, []).append(choice)
    scores = image_scores(counts.counts)
    return [_joined(choices[:REASONS], float(scores[i])) for i, choices in chosen.items()]


def suspicious_crops(
    counts: Counts, suspicious: Sequence[Mapping[str, Any]], most: int = MOST
) -> list[Doubt]:
    """Parts of pictures whose labels may be wrong, the most suspicious first.

    Args:
        counts: Of the images.
        suspicious: As in the numbers of `segkit.metric.failure.Failure`.
        most: How many.
    """
    found = []
    for position, row in _with_positions(counts, suspicious[:most]):
        top, left, height, width = row["box"]
        numbers = {k: row[k] for k in ("pixels", "confidence", "score")}
        found.append(Doubt(position, _doubt(row), numbers, (top, left, height, width)))
    return found


def _worst_of_all(counts: Counts) -> Iterator[Choice]:
    scores, wrong = image_scores(counts.counts), counts.counts[..., 1:].sum((1, 2))
    order = np.lexsort([-wrong, scores])  # nan is last
    number = int((~np.isnan(scores)).sum())
    for rank, position in enumerate(order[:number].tolist(), 1):
        score = float(scores[position])
        yield Choice(position, f"worst picture {rank} of {number}: image mIoU {score:.3f}", {"miou": score})


def _worst_of_classes(counts: Counts, labels: LabelSpace) -> Iterator[Choice]:
    """For each class, the weakest first, the picture of lowest IoU among those that show it."""
    size = counts.counts[..., 0] + counts.counts[..., 2]
    iou, whole = rates(counts.counts)["iou"], rates(counts.counts.sum(0))["iou"]
    for c in np.argsort(whole, kind="stable").tolist():
        shown = np.flatnonzero(size[:, c])
        if not len(shown):
            continue
        # IoU is 0 in many pictures of a weak class: then the one that loses most pixels.
        position = int(shown[np.lexsort([-size[shown, c], iou[shown, c]])[0]])
        score, pixels = float(iou[position, c]), int(size[position, c])
        reason = f"worst of {labels.names[c]}: IoU {score:.3f} with {pixels:,} pixels of it"
        yield Choice(position, reason, {"iou": score, "pixels": pixels})


def _worst_of_pairs(counts: Counts, labels: LabelSpace) -> Iterator[Choice]:
    """For each pair of classes, the most confused first, the picture with most pixels of it."""
    if counts.cells is None or counts.confusion is None:
        return
    for pair in confused_pairs(counts.confusion, labels):
        codes = labels.names.index(pair.target), labels.names.index(pair.prediction)
        cells = counts.cells[(counts.cells[:, 1:3] == codes).all(1)]
        image, *_, pixels = cells[np.argmax(cells[:, 3])].tolist()
        reason = f"most pixels of {pair.target} taken for {pair.prediction}: {pixels:,}"
        yield Choice(
            int(np.searchsorted(counts.index, image)), reason, {"pixels": pixels, "share": pair.share}
        )


def _doubtful(counts: Counts, suspicious: Sequence[Mapping[str, Any]]) -> Iterator[Choice]:
    for position, row in _with_positions(counts, suspicious):
        yield Choice(position, _doubt(row), {k: row[k] for k in ("pixels", "confidence", "score")})


def _with_positions(
    counts: Counts, suspicious: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    place = {index: position for position, index in enumerate(counts.index.tolist())}
    return ((place[row["index"]], row) for row in suspicious)


def _doubt(row: Mapping[str, Any]) -> str:
    return (
        f"label in doubt: {row['target']}, where {row['prediction']} is predicted with confidence "
        f"{row['confidence']:.3f} ({row['pixels']:,} pixels)"
    )


def _joined(choices: Sequence[Choice], miou: float) -> Choice:
    """One choice with all reasons, and the numbers of the first."""
    reason = "; ".join(choice.reason for choice in choices)
    return choices[0]._replace(reason=reason, numbers={"miou": miou, **choices[0].numbers})
