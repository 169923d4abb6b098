"""Annotations in COCO's format -> targets, drawn when they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.data.coco_file import BACKGROUND, MOVED_BACKGROUND, CocoFile, Picture
from segkit.data.fault import Fault
from segkit.data.labels import read_labels
from segkit.data.region import Canvas, Region, run_area, run_lengths, run_mask
from segkit.data.source import FileSource
from segkit.types import LabelSpace, Sample, UserError

GREY = [60, 60, 60]  # of the background: none of the colours that classes get by themselves


class CocoSource(FileSource):
    """Draws targets from annotations when they are read.

    Outlines are drawn as pycocotools draws them. A file id is a category id; pixels that no
    annotation covers have id 0, or 65535 where 0 is a category. Annotations refer to the
    picture as viewers show it, EXIF orientation applied.

    Args:
        samples: What there is.
        labels: What category ids mean.
        faults: What was wrong when the files were read.
        pictures: Annotations of each sample, by its name.
        files: The JSON files of each sample, by its name.
        background: File id of pixels that no annotation covers.
        crowd: See `coco`.
        overlap: See `coco`.
    """

    indexed = False

    def __init__(
        self,
        samples: Sequence[Sample],
        labels: LabelSpace,
        faults: Sequence[Fault],
        *,
        pictures: Mapping[str, Picture],
        files: Mapping[str, tuple[Path, ...]],
        background: int,
        crowd: str,
        overlap: str,
    ) -> None:
        super().__init__(samples, labels, faults)
        self.pictures, self.files, self.background = pictures, files, background
        self.crowd, self.overlap = crowd, overlap

    def read_target(self, sample: Sample) -> NDArray[Any] | None:
        """Draw the target of a sample; ``None`` where it is unlabelled.

        Raises:
            UserError: Run lengths do not fit the picture, or the label space does not know a
                category.
        """
        if sample.mask is None:
            return None
        picture = self.pictures[sample.name]
        height, width = picture.size
        canvas = Canvas(self.labels, height * width, self._value(self.background))
        covered = np.zeros(height * width, bool) if self.overlap == "ignore" else None
        layer = 0
        try:
            for region, runs in self._ordered(picture):
                if covered is not None and region.layer != layer:
                    covered[:] = False  # what lies below is covered, not contradicted
                layer = region.layer
                start, mask = run_mask(runs)
                if self._void(region):
                    canvas.paint(mask, self.labels.ignore_index, start)
                else:
                    canvas.paint(mask, self._value(region.file_id), start, covered)
        except ValueError as error:
            raise UserError(
                f"{sample.mask}: an annotation of {picture.file} cannot be drawn: {error}"
            ) from error
        columns = canvas.target.reshape(width, height, *canvas.target.shape[1:])
        return np.ascontiguousarray(columns.swapaxes(0, 1))

    def target_size(self, sample: Sample) -> tuple[int, int] | None:
        """Height and width of the target as the JSON gives them; ``None`` where it is unlabelled."""
        return None if sample.mask is None else self.pictures[sample.name].size

    def mask_files(self, sample: Sample) -> tuple[Path, ...]:
        """The JSON files that annotate the sample."""
        return () if sample.mask is None else self.files[sample.name]

    def _ordered(self, picture: Picture) -> list[tuple[Region, NDArray[np.int64]]]:
        """Regions with their run lengths, the lowest first."""
        drawn = [(r, run_lengths(r, *picture.size)) for r in picture.regions]
        by_size = self.overlap == "smallest"
        return sorted(
            drawn,
            key=lambda d: (d[0].layer, not self._void(d[0]), -run_area(d[1]) if by_size else 0),
        )

    def _void(self, region: Region) -> bool:
        return region.crowd and self.crowd == "ignore"

    def _value(self, file_id: int) -> Any:
        """The target value that an id means."""
        return self.labels.encode(np.array([[file_id]], np.uint32))[0, 0]


def category_names(files: Iterable[CocoFile]) -> dict[int, str]:
    """Category id -> name over several files, in the order of the ids.

    Raises:
        UserError: An id means one thing here and another thing there.
    """
    names: dict[int, str] = {}
    for file in files:
        for number, name in file.names.items():
            if names.setdefault(number, name) != name:
                raise UserError(
                    f"{file.path}: category id {number} is '{name}', but '{names[number]}' in another file; "
                    "export all parts with the same categories"
                )
    return dict(sorted(names.items()))


def background_id(names: Mapping[int, str], labels: LabelSpace | None) -> int:
    """File id of pixels without annotation: 0, or 65535 where 0 is a category or a label space says so."""
    moved = labels is not None and any(MOVED_BACKGROUND in ids for ids in (*labels.ids, labels.ignore))
    return MOVED_BACKGROUND if BACKGROUND in names or moved else BACKGROUND


def own_labels(names: Mapping[int, str], files: Iterable[CocoFile]) -> LabelSpace:
    """The categories of the files as classes behind ``background``, in the order of their ids.

    A category that is called ``background`` itself is one with the pixels without annotation.

    Raises:
        UserError: Two ids have one name, or a name cannot be that of a class.
    """
    ids: dict[str, list[int]] = {"background": [background_id(names, None)]}
    for number, name in names.items():
        word = "background" if name.lower() == "background" else name
        if word in ids and word != "background":
            raise UserError(
                f"category ids {ids[word][0]} and {number} are both called '{name}'; give data.labels that "
                f"merge them, such as {{names: [background, {name}], ids: [0, [{ids[word][0]}, {number}]]}}"
            )
        ids.setdefault(word, []).append(number)
    given = {number: color for file in files for number, color in file.colors.items()}
    colors = [GREY, *(given.get(numbers[0]) for numbers in list(ids.values())[1:])]
    if len({str(c) for c in colors}) < len(colors):  # too few, or two are the same
        colors = [GREY, *([None] * (len(ids) - 1))]
    return read_labels({"names": list(ids), "ids": list(ids.values()), "colors": colors, "ignore": []})


def check_known(pictures: Iterable[Picture], names: Mapping[int, str], labels: LabelSpace) -> None:
    """Raise `UserError` where the label space does not know a category that occurs, or the background."""
    background = background_id(names, labels)
    listed = {i for ids in labels.ids for i in ids} | set(labels.ignore)
    if background == MOVED_BACKGROUND not in listed and labels.rest not in ("ignore", "none"):
        raise UserError(
            f"0 is the category '{names[BACKGROUND]}' here, so pixels without annotation have the id "
            f"{MOVED_BACKGROUND}: give data.labels that say so, such as {{task: binary, names: [background, "
            f"foreground], ids: [{MOVED_BACKGROUND}, {list(names)}]}}"
        )
    if labels.unknown(np.array([background])):
        raise UserError(
            "data.labels know no id 0, which pixels without annotation have: give it to a class "
            "`background`, or add it to `ignore`"
        )
    used = Counter(region.file_id for picture in pictures for region in picture.regions)
    if unknown := sorted(labels.unknown(np.array(sorted(used), np.uint32))):
        shown = ", ".join(f"{i} ('{names[i]}', {used[i]} annotations)" for i in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise UserError(
            f"data.labels do not know the category ids {shown}{more}; add them to `ids` or `ignore`, or set "
            "`rest: ignore`, or use data.labels=null for the file's own classes"
        )
