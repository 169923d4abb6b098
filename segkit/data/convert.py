"""Any source -> index PNGs, images, a table and a label space that are read without a converter."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.data.file import read_bytes
from segkit.data.labels import labels_yaml
from segkit.data.read import IMAGE_SUFFIXES, image_size, read_image
from segkit.data.source import SPLIT_NAMES, FileSource, size_fault
from segkit.files import write_bytes, write_csv, write_png, write_text
from segkit.types import LabelSpace, Sample, Source, UserError

Row = dict[str, str]
Images = Literal["copy", "link", "none"]

TABLE, LABELS = "samples.csv", "labels.yaml"
OWN = (LABELS, TABLE, "images", "masks")  # in the order in which an earlier conversion is taken away
MARK = ".convert"  # a file that stands in every folder that was written here
VOID = 255  # ignored pixels in the files of single classes


class Written(NamedTuple):
    """What a conversion has made.

    Attributes:
        samples: Those that were written.
        left_out: Those without a mask, of which nothing was written.
    """

    samples: list[Sample]
    left_out: list[Sample]


def convert(
    source: Source,
    folder: Path,
    *,
    images: Images = "copy",
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Written:
    """Write a source into a folder that ``data=folder`` and ``data=csv`` read to the same targets.

    Masks hold class indices and the ignore index, with the class colours as palette (16 bits
    without palette from 256 classes on). Overlapping classes get one file of 0, 1 and 255 each,
    for ``data=planes``; a class that is not in a picture has no file. ``labels.yaml`` comes last:
    where it stands, the folder is complete.

    Args:
        source: What to write.
        folder: Where to; new, empty, or an earlier conversion.
        images: ``copy`` them byte by byte (generated ones as PNG), ``link`` to them, or ``none``.
        overwrite: Replace an earlier conversion.
        workers: Threads; ``None``: as many as are useful.
        progress: Show a progress bar, if the output is a terminal.

    Raises:
        UserError: The folder holds something else, a name is not safe as a path, no sample has
            a mask, or a sample cannot be read.
    """
    samples = [s for s in source.samples if s.mask is not None or not isinstance(source, FileSource)]
    if images == "none" and any(s.image == Path() for s in samples):
        raise UserError("images=none: these pictures are generated and lie nowhere else; use images=copy")
    labels = source.labels
    for name in labels.names if labels.task == "multilabel" else ():
        if "/" in name or _unsafe(name):
            raise UserError(f"the class '{name}' cannot be a folder; give it another name in data.labels")
    job = _Job(source, folder, images, _places(samples))
    _claim(folder, samples, overwrite)
    rows = _each(job, samples, workers, progress)
    done = [s for s, row in zip(samples, rows, strict=True) if row is not None]
    if not done:
        raise UserError(f"none of {len(source.samples)} samples has a mask: there is nothing to convert")
    columns = (
        ("image", "split", "group") if labels.task == "multilabel" else ("image", "mask", "split", "group")
    )
    write_csv(folder / TABLE, columns, [row for row in rows if row is not None])
    write_text(folder / LABELS, f"# Written by segkit convert.\n{labels_yaml(written_labels(labels))}")
    names = {s.name for s in done}
    return Written(done, [s for s in source.samples if s.name not in names])


def written_labels(labels: LabelSpace) -> LabelSpace:
    """The label space of the masks that are written: every class is its own index."""
    ids: tuple[tuple[int, ...], ...] = tuple((i,) for i in range(labels.num_classes))
    ignore = labels.ignore_index
    if labels.task == "multilabel":  # one file per class
        ids, ignore = ((1,),) * labels.num_classes, VOID
    return LabelSpace(labels.names, labels.colors, ids, (ignore,), "error", labels.task, labels.parents)


class _Job(NamedTuple):
    """Source, folder, what to do with images, and the path of each sample in the new folders."""

    source: Source
    folder: Path
    images: Images
    places: Mapping[str, str]

    def image_path(self, sample: Sample) -> Path:
        """Where the image is to stand, or stands if it is left where it is."""
        if self.images == "none":
            return sample.image.absolute()
        suffix = sample.image.suffix if sample.image.suffix.lower() in IMAGE_SUFFIXES else ".png"
        return self.folder / "images" / f"{self.places[sample.name]}{suffix}"

    def mask_path(self, sample: Sample, label: str = "") -> Path:
        """Where the mask (of one class) is to stand."""
        return self.folder / "masks" / label / f"{self.places[sample.name]}.png"

    def write(self, sample: Sample) -> Row | None:
        """Write one sample and return its row of the table; ``None`` if it has no target."""
        image, target = _read(self.source, sample)
        if target is None:
            return None
        labels, path = self.source.labels, self.image_path(sample)
        if self.images != "none":
            _write_image(path, sample, image, self.images == "link")
            path = path.relative_to(self.folder)
        row = {"image": path.as_posix(), "split": sample.split, "group": sample.group}
        if labels.task == "multilabel":
            self._write_planes(sample, target)
            return row
        mask = self.mask_path(sample)
        write_png(mask, target, labels.colors if labels.dtype is np.uint8 else None)
        return {**row, "mask": mask.relative_to(self.folder).as_posix()}

    def _write_planes(self, sample: Sample, target: NDArray[Any]) -> None:
        """One file per class that is there; the first class's if none is, for the picture was looked at."""
        labels = self.source.labels
        shown = [i for i in range(labels.num_classes) if target[..., i].any()] or [0]
        for index in shown:
            plane = np.where(target[..., index] == labels.ignore_index, VOID, target[..., index])
            palette = [(0, 0, 0), labels.colors[index]]
            write_png(self.mask_path(sample, labels.names[index]), plane.astype(np.uint8), palette)


def _read(source: Source, sample: Sample) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Image (only of a generated sample) and target."""
    if sample.image == Path() or not isinstance(source, FileSource):
        image, target = source.read(sample)
        return (image if sample.image == Path() else None), target
    target = source.read_target(sample)
    size = image_size(sample.image)
    if target is not None and target.shape[:2] != size:
        raise UserError(size_fault(sample, size, target.shape[:2]))
    return None, target


def _write_image(path: Path, sample: Sample, image: NDArray[Any] | None, link: bool) -> None:
    if image is not None:
        write_png(path, image)
    elif path.suffix != sample.image.suffix:  # a kind of file that data=folder does not look for
        write_png(path, read_image(sample.image))
    elif link:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(sample.image.resolve())
        except OSError as error:
            raise UserError(f"cannot link {path}: {error.strerror or error}; use images=copy") from error
    else:
        write_bytes(path, read_bytes(sample.image))


def _each(job: _Job, samples: Sequence[Sample], workers: int | None, progress: bool) -> list[Row | None]:
    from tqdm import tqdm  # type: ignore[import-untyped,unused-ignore]

    pool = ThreadPoolExecutor(workers)
    try:
        done = pool.map(job.write, samples)
        return list(tqdm(done, "convert", len(samples), disable=None if progress else True, unit="image"))
    finally:
        pool.shutdown(cancel_futures=True)


def _places(samples: Sequence[Sample]) -> dict[str, str]:
    """Path of each sample below ``images`` and ``masks``, without extension.

    `segkit.data.folder` takes a first folder called train, val or test for the official split:
    it is put in front where the names do not have it, and kept from being one where it is none.
    """
    if unsafe := next((s for s in samples if _unsafe(s.name)), None):
        raise UserError(
            f"the name of sample '{unsafe.name}' ({unsafe.image}) would lead out of the folder or be hidden "
            "in it; rename the file"
        )
    if any(s.split for s in samples) and (without := [s.name for s in samples if not s.split]):
        raise UserError(
            f"{len(without)} of {len(samples)} samples have no official split while the others have "
            f"(first: {without[0]}); give all of them one or none"
        )
    inside = [SPLIT_NAMES.get(s.name.split("/")[0].lower(), "") if "/" in s.name else "" for s in samples]
    if all(i == s.split for i, s in zip(inside, samples, strict=True)):
        return {s.name: s.name for s in samples}
    return {s.name: f"{s.split or 'all'}/{s.name}" for s in samples}


def _unsafe(name: str) -> bool:
    """Whether a name, taken as a path, leaves its folder or is passed over by `segkit.data.folder`."""
    parts = name.split("/")
    return "\\" in name or "\0" in name or any(not p or p.startswith((".", "__MACOSX")) for p in parts)


def _claim(folder: Path, samples: Sequence[Sample], overwrite: bool) -> None:
    """Make the folder, or empty it of an earlier conversion and of nothing else.

    Raises:
        UserError: It holds something else, or the very files that are to be converted.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output={folder} is a file; give a new folder")
    held = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    if held and not overwrite:
        what = "an earlier conversion" if MARK in held else f"something, such as {held[0]}"
        what = "an unfinished conversion" if MARK in held and LABELS not in held else what
        raise UserError(f"output={folder} holds {what}; give a new folder, or set overwrite=true")
    if (foreign := [n for n in OWN if n in held]) and MARK not in held:
        raise UserError(
            f"output={folder} holds {foreign[0]}, which segkit convert has not written; give a new folder"
        )
    own = [Path(os.path.realpath(folder / name)) for name in OWN]
    for path in (Path(os.path.realpath(p)) for s in samples for p in (s.image, s.mask) if p and p != Path()):
        if any(path.is_relative_to(place) for place in own):
            raise UserError(f"output={folder} holds {path}, which is to be converted; give a new folder")
    for name in OWN:
        place = folder / name
        shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)
    write_text(folder / MARK, "Written by segkit convert; complete if labels.yaml is there.\n")
