"""A folder with numbers -> what was counted there, without torch; and which folders can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from segkit.files import read_npz, refuse_links
from segkit.foreign import json_value, read_text
from segkit.metric.cells import Counts, matrix_of
from segkit.metric.overlap import ABSENT
from segkit.metric.protocol import Protocol
from segkit.report.arrays import check_counts
from segkit.report.recipe import Origin, origin
from segkit.types import LabelSpace, Task, UserError

COMPARED = ("split", "resolution", "threshold")  # of metrics.json
KEPT = ("counts", "index", "cells", "names", "groups", "classes", "colors", "task", "parents")
WORDS = ("task", "level", "aggregate", "absent", "ignored_classes")  # of its protocol


class Stored(NamedTuple):
    """What a folder holds.

    Attributes:
        folder: As it was given.
        name: What the run calls itself.
        numbers: ``metrics.json``.
        counts: What was counted, image by image.
        names: The sample of each image.
        groups: Their groups, or empty strings.
        labels: The classes (ids are positions: what mask files hold is not known here).
        protocol: How the overlap numbers are defined.
        origin: Run, checkpoint and recipe.
    """

    folder: Path
    name: str
    numbers: dict[str, Any]
    counts: Counts
    names: tuple[str, ...]
    groups: tuple[str, ...]
    labels: LabelSpace
    protocol: Protocol
    origin: Origin


def read_stored(folder: Path) -> Stored:
    """Read what ``segkit train`` (at its end) or ``segkit evaluate`` left.

    Raises:
        UserError: There is no such folder, it has no counts, or they are damaged.
    """
    if folder.is_dir():
        refuse_links(folder)
    for name in ("counts.npz", "metrics.json"):
        if not (folder / name).is_file():
            what = f"has no {name}" if folder.is_dir() else "there is no such folder"
            raise UserError(
                f"{folder}: {what}; give a finished run, or what python -m segkit.evaluate run=RUN wrote"
            )
    try:
        numbers = json_value(read_text(folder / "metrics.json"))
        kept = read_npz(folder / "counts.npz", KEPT)
        check_counts(kept)
        labels = _labels(kept)
        cells = kept.get("cells")
        matrix = None if cells is None else matrix_of(cells, labels.num_classes)
        return Stored(
            folder,
            str(numbers["name"]),
            numbers,
            Counts(kept["counts"], matrix, kept["index"], cells),
            tuple(kept["names"].tolist()),
            tuple(kept["groups"].tolist()),
            labels,
            _protocol(numbers["protocol"]),
            origin(folder, numbers["checkpoint"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[0][:100]
        raise UserError(
            f"{folder}: its counts.npz or metrics.json cannot be used ({reason}); "
            "measure again with python -m segkit.evaluate run=RUN"
        ) from None


def _labels(kept: dict[str, Any]) -> LabelSpace:
    names = tuple(kept["classes"].tolist())
    colors = tuple((int(r), int(g), int(b)) for r, g, b in kept["colors"])
    ids, task = tuple((i,) for i in range(len(names))), cast(Task, str(kept["task"]))
    return LabelSpace(names, colors, ids, task=task, parents=tuple(kept["parents"].tolist()))


def _protocol(words: dict[str, Any]) -> Protocol:
    absent = {text: key for key, text in ABSENT.items()}[words["absent"]]
    return Protocol(absent, words["ignored_classes"], words["aggregate"], words["level"])  # type: ignore[arg-type]


def aligned(runs: Sequence[Stored]) -> list[Stored]:
    """Check that runs can be compared, and put their images into the order of the first.

    Raises:
        UserError: They were measured on other samples, targets, classes, or by another protocol.
    """
    return [runs[0], *(_like(run, runs[0]) for run in runs[1:])]


def _like(run: Stored, first: Stored) -> Stored:
    pair = f"{first.folder} and {run.folder} cannot be compared"
    if run.labels.names != first.labels.names:
        a, b = (", ".join(_only(x.labels.names, y.labels.names)) for x, y in ((first, run), (run, first)))
        raise UserError(
            f"{pair}: other classes (only the first: {a or 'none'}; only the second: {b or 'none'})"
        )
    for key, a, b in _definitions(first, run):
        if a != b:
            raise UserError(
                f"{pair}: {key} is {_text(a)} in one and {_text(b)} in the other; measure both alike"
            )
    left, right = _only(first.names, run.names), _only(run.names, first.names)
    if left or right:
        example = f"'{(left or right)[0]}' is in the {'first' if left else 'second'} only"
        found = f"{len(left)} only in the first, {len(right)} only in the second: {example}"
        raise UserError(f"{pair}: other samples ({found})")
    ordered = _ordered(run, first.names)
    size = [r.counts.counts[..., 0] + r.counts.counts[..., 2] for r in (first, ordered)]
    if (changed := np.flatnonzero((size[0] != size[1]).any(1))).size:
        raise UserError(
            f"{pair}: other targets, in {len(changed)} of {len(first.names)} samples, such as "
            f"'{first.names[changed[0]]}'; measure both on the same masks"
        )
    return ordered


def _definitions(a: Stored, b: Stored) -> list[tuple[str, Any, Any]]:
    keys = COMPARED if a.labels.task != "multiclass" else COMPARED[:2]  # nothing is cut at a threshold there
    own = [(key, a.numbers.get(key), b.numbers.get(key)) for key in keys]
    words = (r.numbers["protocol"] for r in (a, b))
    first, second = words
    return own + [(key.replace("_", " "), first.get(key), second.get(key)) for key in WORDS]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _only(these: Sequence[str], those: Sequence[str]) -> list[str]:
    others = set(those)
    return [name for name in these if name not in others]


def _ordered(run: Stored, names: tuple[str, ...]) -> Stored:
    """The same counts with the images in the order of ``names``."""
    place = {name: i for i, name in enumerate(run.names)}
    rows = np.array([place[name] for name in names], np.int64)
    index, cells = np.arange(len(names)), run.counts.cells
    if cells is not None:
        moved = np.empty(len(names), np.int64)
        moved[rows] = index  # where the image in each old row stands now
        cells = cells.copy()
        cells[:, 0] = moved[np.searchsorted(run.counts.index, cells[:, 0])]
        cells = cells[np.argsort(cells[:, 0], kind="stable")]
    counts = Counts(run.counts.counts[rows], run.counts.confusion, index, cells)
    groups = tuple(run.groups[i] for i in rows)
    return run._replace(counts=counts, names=names, groups=groups)
