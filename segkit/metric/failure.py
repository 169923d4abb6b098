"""Where a network fails: kinds of errors, objects by size, and labels that may be wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from segkit.metric.errors import KINDS, by_class, divide
from segkit.metric.errors import words as error_words
from segkit.metric.objects import COUNTED, by_size
from segkit.metric.objects import words as size_words
from segkit.metric.suspicious import FIELDS, disagreements, ranked, score
from segkit.metric.suspicious import words as suspicion_words
from segkit.metric.table import Column, ImageTable
from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.metric.scored import Scored
    from segkit.types import Array

SHOWN = 50  # suspicious regions among the numbers


class Failure(ImageTable):
    """Divides errors into kinds, looks at objects by size and at confident disagreement.

    Regions are connected by their edges (4 neighbours) and end at ignored pixels. Of a
    multilabel task each label is a picture of its own, with two classes: the label and the rest.

    Args:
        labels: What prediction and target mean.
        distance: Half the width of the boundary band: below 1 a share of the picture's diagonal,
            otherwise pixels.
        share: Of a region of the target (of the prediction), 0..1, that must be right for the
            region not to be missed (invented).
        size_names: Names of the sizes of objects, small ones first.
        size_limits: Areas at which the second and every further size begins, ascending: all
            below 1 (shares of the picture) or all from 1 on (pixels).
        suspicious: Regions that are kept of each picture.
        suspicious_confidence: Mean probability of the prediction from which a region that
            disagrees with the target is suspicious, 0..1.
        suspicious_area: Its least size: below 1 a share of the picture, otherwise pixels.
        **kwargs: As for every `torchmetrics.Metric`.

    Raises:
        UserError: An option has no meaning.
    """

    def __init__(
        self,
        labels: LabelSpace,
        distance: float = 0.005,
        share: float = 0.1,
        size_names: Sequence[str] = ("tiny", "small", "medium", "large"),
        size_limits: Sequence[float] = (0.0001, 0.0033, 0.03),
        suspicious: int = 5,
        suspicious_confidence: float = 0.8,
        suspicious_area: float = 0.0005,
        **kwargs: Any,
    ) -> None:
        _check(distance, share, suspicious, suspicious_confidence, suspicious_area)
        _check_sizes(size_names, size_limits)
        k, buckets = labels.num_classes, len(size_names)
        columns = {
            "errors": Column((k, len(KINDS)), torch.int64),
            "objects": Column((k, buckets, len(COUNTED)), torch.int64),
            "object_iou": Column((k, buckets)),
            "suspicious": Column((1 + len(FIELDS),), ragged=True),
        }
        if labels.task != "multilabel":
            columns["claims"] = Column((k, len(KINDS)), torch.int64)
        super().__init__(columns, **kwargs)
        self.labels, self.distance, self.share = labels, distance, share
        self.size_names, self.size_limits = tuple(size_names), tuple(size_limits)
        self.suspicious_most = suspicious
        self.suspicious_confidence, self.suspicious_area = suspicious_confidence, suspicious_area

    def update(self, scored: Scored) -> None:
        """Look at a picture."""
        target = scored.target.cpu().numpy().astype(self.labels.dtype)
        prediction = scored.prediction.cpu().numpy().astype(self.labels.dtype)
        if self.labels.task != "multilabel":
            seen = self._look(target, prediction, scored, None)
            self._keep(scored.index, **seen._asdict())
            return
        planes = [
            self._look(t, p, scored, k) for k, (t, p) in enumerate(zip(target, prediction, strict=True))
        ]
        self._keep(
            scored.index,
            suspicious=np.concatenate([plane.suspicious for plane in planes]),
            errors=np.stack([plane.errors.sum(0) for plane in planes]),
            objects=np.stack([plane.objects[1] for plane in planes]),
            object_iou=np.stack([plane.object_iou[1] for plane in planes]),
        )

    def _look(self, target: Array, prediction: Array, scored: Scored, plane: int | None) -> _Seen:
        """All of one label map; ``plane`` is that of a multilabel task, whose classes are then 0 and 1."""
        k = self.labels.num_classes if plane is None else 2
        counted = target != self.labels.ignore_index
        distance = max(1, round(pixels(self.distance, math.hypot(*target.shape))))
        division = divide(target, prediction, counted, distance, self.share)
        limits = [pixels(limit, target.size) for limit in self.size_limits]
        objects, iou = by_size(division, k, limits)

        def confidence() -> Array:
            values = scored.confidence if plane is None else scored.confidence[plane]
            return values.cpu().numpy()

        least = pixels(self.suspicious_area, target.size)
        rows = disagreements(target, prediction, division, least, confidence)
        if plane is not None:
            rows[:, :2] = np.where(rows[:, :2] == 1, plane, -1)
        errors, claims = (by_class(division, classes, k) for classes in (target, prediction))
        return _Seen(errors, claims, objects, iou, rows)

    def _keep(self, index: int, suspicious: Array, **columns: Array) -> None:
        best = ranked(suspicious, score(suspicious, self.suspicious_confidence), self.suspicious_most)
        rows = np.column_stack([np.full(len(best), index), suspicious[best]])
        self.add(index, suspicious=rows, **columns)

    def numbers(self, rows: Mapping[str, Array]) -> dict[str, Any]:
        """Derive the numbers from what `compute` gave.

        Returns:
            ``errors``: pixels of each kind and their total; ``errors_per_class``: the same by the
            target's class; ``errors_per_prediction``: by the class that was predicted (``None``
            in a multilabel task); ``sizes``: name and limits of each size of objects; ``size``
            and ``size_per_class``: objects, those found, pixel recall, mean IoU;
            ``suspicious``: the `SHOWN` regions with the highest scores; ``protocol``: what they
            mean. ``None`` where there is no object or no pixel.
        """
        names = self.labels.names
        errors, objects, iou = (rows[name].sum(0) for name in ("errors", "objects", "object_iou"))
        claims = rows["claims"].sum(0) if "claims" in rows else None
        return {
            "protocol": self._words(),
            "errors": _kinds(errors.sum(0)),
            "errors_per_class": {n: _kinds(errors[c]) for c, n in enumerate(names)},
            "errors_per_prediction": (
                None if claims is None else {n: _kinds(claims[c]) for c, n in enumerate(names)}
            ),
            "sizes": self._sizes(),
            "size": self._by_size(objects.sum(0), iou.sum(0)),
            "size_per_class": {n: self._by_size(objects[c], iou[c]) for c, n in enumerate(names)},
            "suspicious": self._suspicious(rows["suspicious"]),
        }

    def _sizes(self) -> list[dict[str, Any]]:
        edges = [0, *self.size_limits, None]
        return [
            {"name": name, "from": low, "to": high}
            for name, low, high in zip(self.size_names, edges[:-1], edges[1:], strict=True)
        ]

    def _by_size(self, counts: Array, iou: Array) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "objects": int(counts[b, 0]),
                "found": int(counts[b, 1]),
                "recall": float(counts[b, 3] / counts[b, 2]) if counts[b, 2] else None,
                "iou": float(iou[b] / counts[b, 0]) if counts[b, 0] else None,
            }
            for b, name in enumerate(self.size_names)
        }

    def _suspicious(self, rows: Array) -> list[dict[str, Any]]:
        scores = score(rows, self.suspicious_confidence)
        found = []
        for i in ranked(rows, scores, SHOWN):
            index, target, prediction, *box, pixels = (int(v) for v in rows[i, :-1])
            found.append(
                {
                    "index": index,
                    "target": self._name(target, prediction),
                    "prediction": self._name(prediction, target),
                    "box": box,
                    "pixels": pixels,
                    "confidence": float(rows[i, -1]),
                    "score": float(scores[i]),
                }
            )
        return found

    def _name(self, value: int, other: int) -> str:
        """Of a class; in a multilabel task -1 stands for the absence of the other one."""
        return self.labels.names[value] if value >= 0 else f"no {self.labels.names[other]}"

    def _words(self) -> dict[str, str]:
        """What the numbers mean, with these options."""
        words = {
            "pixels": "at the size of the target; ignored ones are counted nowhere, and regions end at them",
            "region": "pixels of one class that are connected by their edges",
            **error_words(amount(self.distance, "diagonal"), self.share),
            **size_words(all(limit < 1 for limit in self.size_limits)),
            **suspicion_words(amount(self.suspicious_area, "area"), self.suspicious_confidence),
        }
        words["suspicious"] += f"; at most {self.suspicious_most} of a picture, {SHOWN} of all"
        if self.labels.task == "multilabel":
            words["multilabel"] = "each label is a picture of its own: the label and its absence"
            words["errors_per_class"] = "by label: its missing and its surplus pixels"
            words["errors_per_prediction"] = "not defined where classes overlap"
        return words


class _Seen(NamedTuple):
    """What `Failure` finds in one label map: its columns."""

    errors: Array
    claims: Array
    objects: Array
    object_iou: Array
    suspicious: Array


def _kinds(pixels: Array) -> dict[str, int]:
    return {**dict(zip(KINDS, pixels.tolist(), strict=True)), "total": int(pixels.sum())}


def pixels(value: float, whole: float) -> float:
    """An option that below 1 is a share of something."""
    return value * whole if value < 1 else value


def amount(value: float, of: str) -> str:
    """The same option in words."""
    return f"{100 * value:g} % of the picture's {of}" if value < 1 else f"{value:g} pixels"


def _check(
    distance: float, share: float, suspicious: int, suspicious_confidence: float, suspicious_area: float
) -> None:
    for key, value in (("distance", distance), ("suspicious_area", suspicious_area)):
        if not 0 < value < math.inf:
            raise UserError(f"metric.failure.{key}={value}: give a share below 1, or pixels from 1 on")
    if not 0 < share <= 1:
        raise UserError(f"metric.failure.share={share}: give a number above 0 and at most 1, such as 0.1")
    if suspicious < 0:
        raise UserError(f"metric.failure.suspicious={suspicious}: give 0 (none) or more, such as 5")
    if not 0 <= suspicious_confidence < 1:
        raise UserError(
            f"metric.failure.suspicious_confidence={suspicious_confidence}: "
            "give a number from 0 to below 1, such as 0.8"
        )


def _check_sizes(names: Sequence[str], limits: Sequence[float]) -> None:
    shown = ",".join(f"{limit:g}" for limit in limits)
    if len(names) != len(limits) + 1 or len(set(names)) != len(names):
        raise UserError(
            f"metric.failure.size_limits=[{shown}]: {len(limits)} limits part {len(limits) + 1} sizes; "
            f"size_names gives {len(set(names))} different names"
        )
    ascending = all(a < b for a, b in zip([0, *limits], limits, strict=False))
    if not ascending or len({limit < 1 for limit in limits}) > 1:
        raise UserError(
            f"metric.failure.size_limits=[{shown}]: give ascending areas, all below 1 (shares of the "
            "picture) or all from 1 on (pixels)"
        )
