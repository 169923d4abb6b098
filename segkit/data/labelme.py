"""labelme's files: one JSON per image, with shapes that become the target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.data.fault import Fault
from segkit.data.folder import find, find_group, find_splits
from segkit.data.labelme_file import Drawing, drawing_faults, file_problem, read_drawing
from segkit.data.labels import nearest, read_labels
from segkit.data.read import IMAGE_SUFFIXES
from segkit.data.region import Canvas
from segkit.data.shape import draw_shape
from segkit.data.source import FileSource, root_folder
from segkit.error import plural
from segkit.types import LabelSpace, Sample, UserError

IGNORED = "__ignore__"  # labelme's own words
BACKGROUND = ("background", "_background_")


class LabelmeSource(FileSource):
    """Draws targets from shapes when they are read: a later shape lies above an earlier one.

    Args:
        samples: What there is.
        labels: The classes, found by their names; their ids mean nothing here.
        faults: What was wrong when the files were read.
        drawings: The drawing of each sample, by its name.

    Raises:
        UserError: The label space does not know a label, or what lies outside all shapes.
    """

    indexed = False

    def __init__(
        self,
        samples: Sequence[Sample],
        labels: LabelSpace,
        faults: Sequence[Fault],
        drawings: Mapping[str, Drawing],
    ) -> None:
        super().__init__(samples, labels, faults)
        self.drawings = drawings
        self.outside = _value(labels, None, None)
        first = {s.label: d.path for d in reversed(list(drawings.values())) for s in reversed(d.shapes)}
        self.values = {label: _value(labels, label, path) for label, path in first.items()}

    def read_target(self, sample: Sample) -> NDArray[Any]:
        """Draw the target of a sample."""
        drawing = self.drawings[sample.name]
        height, width = drawing.size
        canvas = Canvas(self.labels, height * width, self.outside)
        for shape in drawing.shapes:
            canvas.paint(draw_shape(shape, height, width).ravel(), self.values[shape.label])
        return canvas.target.reshape(height, width, *canvas.target.shape[1:])

    def target_size(self, sample: Sample) -> tuple[int, int]:
        """Height and width of the target as the JSON gives them."""
        return self.drawings[sample.name].size


def labelme(
    root: str | Path | None,
    labels: str | Path | Mapping[str, Any] | LabelSpace | None = None,
    *,
    annotations: str = ".",
    group: str | None = None,
) -> LabelmeSource:
    """List labelme's JSON files with their images.

    An image lies where its file says (``imagePath``, relative to the JSON) or beside the
    JSON; where it is in neither place, the copy inside the JSON (``imageData``) is unpacked
    into segkit's cache. Folders called train, val and test are official parts. Shapes with
    the label ``__ignore__`` are ignored, and ``_background_`` is background.

    Args:
        root: Folder that everything is relative to. Images outside of it are refused.
        labels: A label space (`read_labels`) whose names are the labels; ``None``: all labels
            that occur, sorted, behind a class ``background``.
        annotations: Folder of the JSON files, or glob of files.
        group: Regular expression whose first group, in a sample's name, is its group.

    Raises:
        UserError: No file is labelme's, none of the images is there, or the label space does
            not know a label. What is wrong with single files is told in `FileSource.faults`.
    """
    base = root_folder(root, "labelme's JSON files")
    found = find(base, annotations, "annotations", (".json",))
    wrong: dict[str, list[str]] = defaultdict(list)
    read = {name: read_drawing(path, base, wrong) for name, path in found.items()}
    drawings = {name: drawing for name, drawing in read.items() if drawing is not None}
    if not drawings:
        raise UserError(file_problem(wrong))
    space = _own_labels(drawings.values()) if labels is None else read_labels(labels)
    splits = find_splits(list(drawings))
    samples = [
        Sample(n, d.image, d.path, find_group(n, group), splits.get(n, "")) for n, d in drawings.items()
    ]
    faults = [*drawing_faults(wrong), *_unannotated(base / annotations, drawings.values())]
    return LabelmeSource(samples, space, faults, drawings)


def _own_labels(drawings: Iterable[Drawing]) -> LabelSpace:
    found = {shape.label for drawing in drawings for shape in drawing.shapes}
    names = ["background", *sorted(found - {IGNORED, *BACKGROUND})]
    if len(names) == 1:
        raise UserError("no labelme file has a shape with a label of its own: there is nothing to learn")
    return read_labels({"names": names, "colors": [[60, 60, 60], *([None] * (len(names) - 1))], "ignore": []})


def _value(labels: LabelSpace, label: str | None, path: Path | None) -> Any:
    """The target value of a label; ``None`` is what lies outside all shapes.

    Raises:
        UserError: The label space does not know it.
    """
    index = _index(labels, label)
    outside = label is None or label in BACKGROUND
    if labels.task == "multilabel" and (index is not None or outside or labels.rest == "none"):
        value = np.full(labels.num_classes, labels.ignore_index if index == -1 else 0, labels.dtype)
        value[[] if index in (None, -1) else [index]] = 1
        return value
    if index is not None:
        return labels.ignore_index if index == -1 else index
    if outside:
        raise UserError(
            "data.labels have no class `background` for what lies outside all shapes; add it, or set "
            "`rest: ignore` to ignore that"
        )
    raise UserError(
        f"{path}: the label '{label}' is none of data.labels{nearest(str(label), labels.names)} Rename it, "
        "add it to `names`, or set `rest: ignore`"
    )


def _index(labels: LabelSpace, label: str | None) -> int | None:
    """Class index of a label; -1 where it is ignored, ``None`` where the label space does not say."""
    if label == IGNORED:
        return -1
    words = BACKGROUND if label is None or label in BACKGROUND else (label,)
    for word in words:
        if word in labels.names:
            return labels.names.index(word)
    if words == BACKGROUND and labels.task == "binary":
        return 0
    if labels.rest == "ignore":
        return -1
    return labels.names.index(labels.rest) if labels.rest in labels.names else None


def _unannotated(folder: Path, drawings: Iterable[Drawing]) -> list[Fault]:
    """Images that no file is about: forgotten, or without anything to draw."""
    if not folder.is_dir():
        return []
    used = {d.image.resolve() for d in drawings}
    alone = sorted(
        str(p) for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.resolve() not in used
    )
    message = f"left out: {plural(len(alone), 'image')} without a labelme file"
    fix = "annotate them (a file without shapes means background alone), or move them elsewhere"
    return [Fault("unpaired", message, fix, tuple(alone), (), "warning")] if alone else []
