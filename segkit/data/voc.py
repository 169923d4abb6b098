"""PASCAL VOC (Everingham et al. 2010, 2015) as it is downloaded, with or without SBD's masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segkit.data.fault import Fault
from segkit.data.folder import Found, find, unpaired
from segkit.data.labels import read_labels
from segkit.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES
from segkit.data.source import FileSource, existing_folders, root_folder
from segkit.error import plural
from segkit.types import SPLITS, LabelSpace, Sample, UserError

IMAGES, MASKS, AUGMENTED, SETS = (
    "JPEGImages",
    "SegmentationClass",
    "SegmentationClassAug",
    "ImageSets/Segmentation",
)


def voc(
    root: str | Path | None,
    labels: str | Path | Mapping[str, Any] | LabelSpace | None = "voc21",
    *,
    year: int = 2012,
    augmented: bool = False,
) -> FileSource:
    """List the images of VOC's segmentation task with the masks of ``SegmentationClass``.

    The parts are those of ``ImageSets/Segmentation``: ``train.txt``, ``val.txt`` and, as far
    as it has masks (the year 2007 alone), ``test.txt``. Where there is only ``trainval.txt``
    the samples have no official split.

    Args:
        root: ``VOC2012``, the ``VOCdevkit`` around it, or the folder around that.
        labels: A label space (`read_labels`) for the ids 0..20 and 255.
        year: Which ``VOC{year}`` is meant where ``root`` is a folder around it.
        augmented: Train on the images of ``trainaug.txt``, whose masks lie in
            ``SegmentationClassAug`` (SBD, Hariharan et al. 2011: 10 582 images); an image
            that has none there keeps its own. Validation is the same with and without.

    Raises:
        UserError: A folder or an image set is missing, or nothing that it lists is there.
            Single files that are missing are told in `FileSource.faults`.
    """
    space = read_labels(labels)
    base = _year_folder(root_folder(root, f"VOC{year}"), year)
    images = find(base, IMAGES, "images", IMAGE_SUFFIXES)
    masks = find(base, MASKS, "masks", MASK_SUFFIXES)
    if augmented:
        _need(base, AUGMENTED, "data.augmented=true reads SBD's masks from there")
        masks |= {f"+{n}": p for n, p in find(base, AUGMENTED, "masks", MASK_SUFFIXES).items()}
    samples: list[Sample] = []
    faults: list[Fault] = []
    listed: dict[str, Path] = {}
    for split, file in _sets(base, augmented):
        names = _names(file)
        _refuse_double(file, names, listed)
        own = {n: masks[n] for n in names if n in masks}
        if file.stem == "trainaug":
            own |= {n: masks[f"+{n}"] for n in names if f"+{n}" in masks}
        if split == "test":  # its masks were never published after 2007
            names = [n for n in names if n in own]
        there = {n: images[n] for n in names if n in images}
        samples += [Sample(n, there[n], own[n], split=split) for n in names if n in there and n in own]
        faults += _faults(file, names, there, own)
    if not samples:
        raise UserError(f"{base}: no image that its sets list has a mask; unpack all of VOC{year}")
    return FileSource(samples, space, faults)


def _year_folder(base: Path, year: int) -> Path:
    """The folder with ``JPEGImages``, in ``base`` or up to two levels below it."""
    name = f"VOC{year}"
    for folder in (base, base / name, base / "VOCdevkit" / name):
        if (folder / IMAGES).is_dir():
            _need(folder, MASKS, "the masks lie there")
            _need(folder, SETS, "the lists train.txt and val.txt lie there")
            return folder
    raise UserError(
        f"data.root={base} holds no {name} with {IMAGES}; it holds {existing_folders(base)}; "
        "set data.root to VOCdevkit, or data.year"
    )


def _need(base: Path, folder: str, why: str) -> None:
    if not (base / folder).is_dir():
        raise UserError(f"{base / folder} does not exist ({why}); {base} holds {existing_folders(base)}")


def _sets(base: Path, augmented: bool) -> list[tuple[str, Path]]:
    """Part and list of every image set that is used."""
    lists = {split: base / SETS / f"{split}.txt" for split in SPLITS}
    if augmented:
        lists["train"] = base / SETS / "trainaug.txt"
        if not lists["train"].is_file():
            raise UserError(f"{lists['train']} does not exist; put it there, or set data.augmented=false")
    found: list[tuple[str, Path]] = [(split, file) for split, file in lists.items() if file.is_file()]
    if any(split == "train" for split, _ in found):
        return found
    whole = base / SETS / "trainval.txt"
    if not whole.is_file():
        raise UserError(f"{base / SETS} holds neither train.txt nor trainval.txt; put VOC's lists there")
    return [("", whole)]


def _names(file: Path) -> list[str]:
    """What a list names: ``2007_000032``, or ``/JPEGImages/2007_000032.jpg`` and more, one per line."""
    try:
        first = [line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as a list of names: {error}") from error
    if not first:
        raise UserError(f"{file} is empty; it must name one image per line")
    return [Path(f).stem if f.lower().endswith(IMAGE_SUFFIXES) else Path(f).name for f in first]


def _refuse_double(file: Path, names: list[str], listed: dict[str, Path]) -> None:
    """A picture counts once; ``listed`` collects which list names it."""
    for name in names:
        other = listed.setdefault(name, file)
        if other != file:
            raise UserError(f"{other} and {file.name} both list {name}; remove it from one of them")
    if double := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"{file} lists {double[0]} twice; remove one line")


def _faults(file: Path, names: list[str], images: Found, masks: Found) -> list[Fault]:
    faults = unpaired(images, masks)
    if absent := [n for n in names if n not in images and n not in masks]:
        shown = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        message = f"lists {plural(len(absent), 'name')} with neither image nor mask: {shown}"
        faults.append(Fault("unpaired", message, "add the files, or remove these lines", (str(file),)))
    return faults
