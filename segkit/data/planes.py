"""Classes that may overlap: one mask file per class and picture (multilabel)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segkit.data.fault import Fault
from segkit.data.folder import Found, find, find_group, find_splits
from segkit.data.labels import nearest, read_labels
from segkit.data.pattern import Planes, find_planes
from segkit.data.read import IMAGE_SUFFIXES, image_size, read_mask
from segkit.data.source import FileSource, existing_folders, root_folder
from segkit.error import plural
from segkit.types import LabelSpace, Sample, UserError

PRESENT, VOID = 1, 255


class PlaneSource(FileSource):
    """Reads targets that are spread over one file per class.

    A class means those values in its own files that its ``ids`` list; 0 means that it is not
    there, ``ignore`` and ``rest`` are as everywhere. Where the label space has no ids of its
    own (they are the positions 0, 1, 2, ...), every value but 0 means the class; only 255 in
    a file that otherwise holds 0 and 1 means ignored pixels.

    Args:
        samples: What there is. ``mask`` is the first file of a sample, or its image where no
            class has one.
        labels: The classes; task ``multilabel``.
        files: Per sample name, per class index the file.
        faults: What was wrong when the files were listed.
    """

    indexed = False

    def __init__(
        self,
        samples: Sequence[Sample],
        labels: LabelSpace,
        files: Mapping[str, Mapping[int, Path]],
        faults: Sequence[Fault] = (),
    ) -> None:
        super().__init__(samples, labels, faults)
        self.files = files
        positions = tuple((i,) for i in range(labels.num_classes))
        self._spaces = None if labels.ids == positions else [_space(labels, i) for i in range(len(positions))]

    def read_target(self, sample: Sample) -> NDArray[Any] | None:
        """``[H, W, K]`` zeros, ones and the ignore index: a class without a file is not there."""
        size = self.target_size(sample)
        if size is None:
            return None
        target = np.zeros((*size, self.labels.num_classes), self.labels.dtype)
        first = None
        for index, path in self.files[sample.name].items():
            values = read_mask(path)
            first = path if first is None else first
            if values.shape != size:
                (height, width), (other_height, other_width) = size, values.shape
                raise UserError(
                    f"the masks of sample '{sample.name}' differ in size: {first} is {width}x{height} and "
                    f"{path} is {other_width}x{other_height}; give each class a mask of the image's size"
                )
            plane = _automatic(values) if self._spaces is None else self._listed(index, path, values)
            target[..., index] = plane
            target[plane == VOID, index] = self.labels.ignore_index
        return target

    def target_size(self, sample: Sample) -> tuple[int, int] | None:
        """Height and width of the first class's file, from its header."""
        return None if sample.mask is None else image_size(sample.mask)

    def mask_files(self, sample: Sample) -> tuple[Path, ...]:
        """The files of all classes that have one."""
        return () if sample.mask is None else tuple(self.files[sample.name].values())

    def _listed(self, index: int, path: Path, values: NDArray[Any]) -> NDArray[Any]:
        assert self._spaces is not None
        try:
            return self._spaces[index].encode(values)
        except UserError as error:
            raise UserError(
                f"mask {path}: {error}; add it to the ids of class '{self.labels.names[index]}', "
                "or to `ignore`"
            ) from None


def planes(
    root: str | Path | None,
    labels: str | Path | Mapping[str, Any] | LabelSpace | None = None,
    *,
    images: str = "images",
    masks: str = "masks/{class}/{name}",
    missing: Literal["absent", "error"] = "absent",
    group: str | None = None,
) -> PlaneSource:
    """List images and the masks of their classes.

    Folders called train, val and test (`SPLIT_NAMES`) may stand in front of both (``train/images``
    and ``train/masks``) or inside (``images/train``, and ``masks/train/CLASS`` or
    ``masks/CLASS/train``).

    Args:
        root: Folder that everything is relative to.
        labels: A label space of task multilabel (`read_labels`); ``None``: the classes that
            ``masks`` finds, in alphabetical order.
        images: Folder of images, or glob of files.
        masks: Where the masks lie: a path with ``{class}`` and ``{name}``; an extension at its
            end may be left out.
        missing: What it means that a picture has no file of some class: ``absent`` (the class
            is not in the picture) or ``error``.
        group: Regular expression whose first group, in a sample's name, is its group.

    Raises:
        UserError: A folder is missing or empty, the label space is none of overlapping
            classes, or no image has a mask. Files without a partner are left out and told in
            `FileSource.faults`.
    """
    space = None if labels is None else _multilabel(read_labels(labels))
    base = root_folder(root, "images and one mask per class")
    pictures = find(base, images, "images", IMAGE_SUFFIXES)
    listed = find_planes(base, masks, pictures, None if space is None else space.names)
    taken = {path for files in listed.files.values() for path in files.values()}
    pictures = {name: path for name, path in pictures.items() if path not in taken}  # both in one folder
    _check_found(base, masks, pictures, listed, space)
    if space is None:
        space = read_labels({"task": "multilabel", "names": listed.classes})
    names, faults = _complete(pictures, listed, space, missing)
    files = {n: _by_index(listed.files.get(n, {}), space) for n in names}
    splits = find_splits(names)
    samples = [
        Sample(
            n,
            pictures[n],
            next(iter(files[n].values()), pictures[n]),
            find_group(n, group),
            splits.get(n, ""),
        )
        for n in names
    ]
    return PlaneSource(samples, space, files, faults)


def _multilabel(space: LabelSpace) -> LabelSpace:
    if space.task != "multilabel":
        raise UserError(
            f"data=planes has classes that may overlap, but data.labels says task: {space.task}; "
            "set task: multilabel in the label space, or data.labels=null to take the classes that are found"
        )
    return space


def _check_found(base: Path, masks: str, pictures: Found, listed: Planes, space: LabelSpace | None) -> None:
    if not pictures:
        raise UserError(
            f"data.masks={masks} names every file of data.images: the images cannot be told from masks; "
            "name their folders, such as 'masks/{class}/{name}'"
        )
    lonely = [] if space is None else [n for n in space.names if n not in listed.classes]
    if lonely and listed.unknown:
        raise UserError(
            f"data.labels names the class '{lonely[0]}', for which there is no mask"
            f"{nearest(lonely[0], listed.unknown)} There are masks of {', '.join(sorted(listed.unknown))}; "
            "names and folders must agree"
        )
    if not listed.files:
        there = f"the image {min(pictures.values())}"
        other = f" and the mask {listed.spare[0]}" if listed.spare else ""
        raise UserError(
            f"data.masks={masks}: no file in {base} fits; there is {there}{other}, and the folders "
            f"{existing_folders(base)}; say with {{class}} and {{name}} where the masks lie"
        )


def _complete(
    pictures: Found, listed: Planes, space: LabelSpace, missing: str
) -> tuple[list[str], list[Fault]]:
    """Names of the samples to take, and what is wrong with the others."""
    needed = len(space.names) if missing == "error" else 0
    names = sorted(n for n in pictures if len(listed.files.get(n, ())) >= needed)
    faults = []
    if lonely := sorted(set(pictures) - set(names)):
        text = f"{plural(len(lonely), 'image')} without the mask of a class, and data.missing=error"
        fix = "add the missing masks, or set data.missing=absent if these classes are not in the pictures"
        faults.append(Fault("unpaired", text, fix, tuple(str(pictures[n]) for n in lonely)))
    if not names:
        raise UserError(faults[0].line())
    if listed.spare:
        text = f"{plural(len(listed.spare), 'mask')} without an image (left over, or named otherwise)"
        fix = "add their images, or move these files elsewhere"
        faults.append(Fault("unpaired", text, fix, tuple(map(str, listed.spare))))
    if bare := [n for n in names if n not in listed.files]:
        text = f"{plural(len(bare), 'image')} without a mask of any class, taken as pictures that show none"
        fix = "remove them if nobody has looked at them, or set data.missing=error"
        files = tuple(str(pictures[n]) for n in bare)
        faults.append(Fault("unpaired", text, fix, files, tuple(bare), "warning"))
    for name in sorted(listed.unknown):
        text = f"masks of '{name}', a class that data.labels does not name, are passed over"
        files = tuple(map(str, listed.unknown[name]))
        faults.append(Fault("unpaired", text, "name the class, or move these files", files, (), "warning"))
    return names, faults


def _by_index(files: Mapping[str, Path], space: LabelSpace) -> dict[int, Path]:
    return {i: files[name] for i, name in enumerate(space.names) if name in files}


def _automatic(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Zeros, ones and 255 (ignored) by what a file holds."""
    plane = (values > 0).astype(np.uint8)
    top = int(values.max(initial=0))
    if top == VOID and (values == PRESENT).any() and not ((values > PRESENT) & (values < VOID)).any():
        plane[values == VOID] = VOID
    return plane


def _space(labels: LabelSpace, index: int) -> LabelSpace:
    """Absent (0) or present (1) in the files of one class."""
    own, name = labels.ids[index], labels.names[index]
    absent = () if 0 in own or 0 in labels.ignore else (0,)
    rest = {name: "present", "error": "error", "ignore": "ignore"}.get(labels.rest, "absent")
    return LabelSpace(("absent", "present"), ((0, 0, 0),) * 2, (absent, own), labels.ignore, rest)
