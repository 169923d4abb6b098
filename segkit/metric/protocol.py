"""How a number is defined: the choices that make eight "mIoUs" of one prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from segkit.metric.cells import Counts, at_parents, without
from segkit.types import LabelSpace, UserError

Absent = Literal["exclude", "zero", "one"]
Aggregate = Literal["dataset", "image", "pair"]
Level = Literal["class", "category"]


@dataclass(frozen=True)
class Protocol:
    """What the means are taken over.

    Attributes:
        absent: What a class counts that neither target nor prediction shows (in the data set,
            or in an image where numbers are taken per image): ``exclude`` leaves it out of the
            mean, ``zero`` counts it as 0, ``one`` as 1.
        ignore_classes: Names of classes that have no number and whose pixels in the target
            count nowhere; predicting one of them elsewhere is still wrong. A category is
            left out when all of its classes are.
        aggregate: ``dataset``: all pixels together, then the mean over classes. ``image``: the
            mean over the classes of each image, then over images. ``pair``: the mean over all
            pairs of an image and a class.
        level: ``class``, or ``category``: classes of one parent are merged by summing their
            cells of the confusion matrix.
    """

    absent: Absent = "exclude"
    ignore_classes: Sequence[str] = ()
    aggregate: Aggregate = "dataset"
    level: Level = "class"

    def __post_init__(self) -> None:
        for key, choices in (
            ("absent", ("exclude", "zero", "one")),
            ("aggregate", ("dataset", "image", "pair")),
            ("level", ("class", "category")),
        ):
            if (value := getattr(self, key)) not in choices:
                raise UserError(f"metric.protocol.{key}={value}: choose {', '.join(choices)}")

    def check(self, labels: LabelSpace) -> None:
        """Find out now whether it fits the labels, and not when everything is measured.

        Raises:
            UserError: As `apply`.
        """
        k = labels.num_classes
        cells = None if labels.task == "multilabel" else np.zeros((0, 4), np.int64)
        nothing = Counts(np.zeros((0, k, 3), np.int64), None, np.zeros(0, np.int64), cells)
        apply(self, nothing, labels)

    def ignored(self, labels: LabelSpace) -> list[int]:
        """Indices of the classes that are ignored."""
        return [labels.names.index(name) for name in self.ignore_classes]


def apply(protocol: Protocol, counts: Counts, labels: LabelSpace) -> tuple[Counts, LabelSpace]:
    """Counts and label space as a protocol sees them: without ignored classes, at its level.

    Raises:
        UserError: An ignored class is none of the label space, the label space has no
            categories, or the task is multilabel, where neither can be told from counts.
    """
    if protocol.ignore_classes:
        counts = without(counts, labels, protocol.ignore_classes)
    if protocol.level == "category":
        counts, labels = at_parents(counts, labels, protocol.ignore_classes)
    return counts, labels
