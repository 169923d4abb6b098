"""COCO (Lin et al. 2014), COCO-Stuff (Caesar et al. 2018), and exports in their format."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from segkit.data.coco_file import CocoFile, Picture, read_coco
from segkit.data.coco_source import CocoSource, background_id, category_names, check_known, own_labels
from segkit.data.fault import Fault
from segkit.data.folder import find_group
from segkit.data.inside import file_names, inside, is_file
from segkit.data.labels import read_labels
from segkit.data.region import Runs
from segkit.data.source import existing_folders, root_folder
from segkit.error import plural
from segkit.types import SPLITS, LabelSpace, Sample, UserError

Overlap = Literal["smallest", "last", "ignore"]
Unannotated = Literal["background", "skip", "unlabelled"]
Files = str | Sequence[str] | None
Named = Mapping[str, tuple[Files, str | None]]  # split -> JSON files and folder of images
Entry = tuple["_Part", Path, Picture]


class _Part(NamedTuple):
    """The JSON files of one split and the folder of their images."""

    split: str
    annotations: tuple[Path, ...]
    images: str | None


def coco(
    root: str | Path | None,
    labels: str | Path | Mapping[str, Any] | LabelSpace | None = None,
    *,
    annotations: Files = None,
    images: str | None = None,
    train_annotations: Files = None,
    train_images: str | None = None,
    val_annotations: Files = None,
    val_images: str | None = None,
    test_annotations: Files = None,
    test_images: str | None = None,
    crowd: Literal["ignore", "class"] = "ignore",
    overlap: Overlap = "smallest",
    unannotated: Unannotated = "background",
    group: str | None = None,
) -> CocoSource:
    """List the images of JSON files in COCO's format; their annotations become targets.

    Where no annotations are named, COCO's own layout is expected:
    ``annotations/instances_train2017.json`` with ``train2017/``, and val likewise. Several
    files for one split (stuff and instances) are laid over each other, the last on top. The
    folder of images may be left out if it is called ``images`` or as the file ends
    (``train2017``), below ``root`` or below ``root/images``, or holds the file itself.

    Args:
        root: Folder that everything is relative to.
        labels: A label space (`read_labels`) for category ids; ``None``: the categories of
            the files, in the order of their ids, behind a class ``background``.
        annotations: JSON file or files of data without an official split.
        images: Folder of their images.
        train_annotations: JSON file or files of the training part.
        train_images: Folder of their images.
        val_annotations: The same for validation.
        val_images: Folder of their images.
        test_annotations: The same for the test.
        test_images: Folder of their images.
        crowd: What regions of many things (``iscrowd``) are: ``ignore``: ignored, but for what
            is annotated inside them; ``class``: a region like any other.
        overlap: Which annotation has a pixel that several cover: ``smallest`` (the one with
            the fewest pixels, and of equal ones the later), ``last`` (the later in the file),
            ``ignore`` (none, where their classes differ). A multilabel task keeps them all.
        unannotated: Images without any annotation: ``background`` (nothing is on them),
            ``skip`` (leave them out) or ``unlabelled`` (list them without a target).
        group: Regular expression whose first group, in a sample's name, is its group.

    Raises:
        UserError: A file is missing or has another layout, the label space does not know a
            category that occurs, pycocotools is missing, or no image is there. What is wrong
            with single images and annotations is told in `FileSource.faults`.
    """
    base = root_folder(root, "COCO's folder annotations, or your own JSON and images")
    named: Named = {
        "": (annotations, images),
        "train": (train_annotations, train_images),
        "val": (val_annotations, val_images),
        "test": (test_annotations, test_images),
    }
    parts = _named_parts(base, named) or _official_parts(base, named)
    read: list[CocoFile] = []
    entries: list[Entry] = []
    faults: list[Fault] = []
    for part in parts:
        files = [read_coco(path, layer) for layer, path in enumerate(part.annotations)]
        found, absent = _present(base, part, _merge(part, files, unannotated))
        read, entries = [*read, *files], [*entries, *found]
        faults += [*(fault for file in files for fault in file.faults), *absent]
    names = category_names(read)
    space = own_labels(names, read) if labels is None else read_labels(labels)
    check_known((picture for _, _, picture in entries), names, space)
    _need_tools(entries)
    samples, pictures, sources = _samples(entries, unannotated, group)
    return CocoSource(
        samples,
        space,
        faults,
        pictures=pictures,
        files=sources,
        background=background_id(names, space),
        crowd=crowd,
        overlap=overlap,
    )


def _named_parts(base: Path, named: Named) -> list[_Part]:
    """The parts that keys name; none where no key does."""
    given = [split for split, (files, _) in named.items() if files]
    if "" in given and len(given) > 1:
        raise UserError(
            f"data.annotations is for data without official parts, and data.{given[1]}_annotations is set "
            "as well; keep one of them"
        )
    lonely = [split for split, (files, images) in named.items() if images and not files]
    if given and lonely:
        key = _key(lonely[0])
        raise UserError(f"data.{key}images is set, but data.{key}annotations is not; give both or none")
    parts = []
    for split in given:
        files, images = named[split]
        paths = [files] if isinstance(files, str) else list(files or ())
        parts.append(_Part(split, tuple(base / Path(p).expanduser() for p in paths), images))
    return parts


def _official_parts(base: Path, named: Named) -> list[_Part]:
    """``annotations/instances_{train,val}*.json``, as COCO is downloaded."""
    parts = []
    for split in SPLITS:
        found = sorted((base / "annotations").glob(f"instances_{split}*.json"))
        if len(found) > 1:
            shown = " and ".join(p.name for p in found)
            fix = f"data.{split}_annotations=annotations/{found[-1].name}"
            raise UserError(f"{base / 'annotations'} holds {shown}; choose with {fix}")
        if found:
            parts.append(_Part(split, tuple(found), named[split][1]))
    if not any(part.split == "train" for part in parts):
        files = sorted(p for p in (*base.glob("*.json"), *base.glob("*/*.json")))
        shown = ", ".join(p.relative_to(base).as_posix() for p in files[:5]) or "no JSON file"
        example = files[0].relative_to(base).as_posix() if files else "FILE.json"
        raise UserError(
            f"data.root={base} has no annotations/instances_train*.json; it holds {shown}: set "
            f"data.annotations={example}, or data.train_annotations and data.val_annotations"
        )
    return parts


def _merge(part: _Part, files: Sequence[CocoFile], unannotated: Unannotated) -> list[Picture]:
    """The pictures of all files of a part, each with the regions of all of them."""
    merged: dict[str, Picture] = {}
    for file in files:
        for picture in file.pictures:
            below = merged.get(picture.file, picture._replace(regions=()))
            if below.size != picture.size:
                raise UserError(f"{file.path}: image {picture.file} has another size than in {files[0].path}")
            merged[picture.file] = picture._replace(regions=(*below.regions, *picture.regions))
    if unannotated != "unlabelled" and not any(p.regions for p in merged.values()):
        raise UserError(
            f"{part.annotations[0]} has no annotation that can be drawn: every pixel would be background; "
            "give the file with the annotations, or set data.unannotated=unlabelled"
        )
    return [p for p in merged.values() if p.regions or unannotated != "skip"]


def _present(base: Path, part: _Part, pictures: Sequence[Picture]) -> tuple[list[Entry], list[Fault]]:
    """The pictures whose files are there, and the fault of the others."""
    folder = _image_folder(base, part, pictures)
    names: dict[Path, set[str]] = {}
    found, absent = [], []
    for picture in pictures:
        path = _file(base, folder, part, picture)
        if path.parent not in names:  # one listing is faster than asking for each file
            names[path.parent] = file_names(path.parent)
        if path.name in names[path.parent]:
            found.append((part, path, picture))
        else:
            absent.append(str(path))
    if not found:
        raise UserError(
            f"none of the {len(pictures)} images of {part.annotations[0]} exists (first: {absent[0]}); set "
            f"data.{_key(part.split)}images to their folder"
        )
    message = f"{plural(len(absent), 'image')} of {part.annotations[0].name} missing"
    fix = f"add them, remove them from the file, or set data.{_key(part.split)}images"
    return found, [Fault("unpaired", message, fix, tuple(absent))] if absent else []


def _image_folder(base: Path, part: _Part, pictures: Sequence[Picture]) -> Path:
    if part.images is not None:
        folder = base / Path(part.images).expanduser()
        if not folder.is_dir():
            key = f"data.{_key(part.split)}images"
            raise UserError(
                f"{key}={part.images}: no such folder in {base}, which holds {existing_folders(base)}"
            )
        return folder
    file = part.annotations[0]
    name = file.stem.rpartition("_")[2]  # instances_train2017 -> train2017
    places = (base / name, base / "images" / name, base / "images", file.parent, file.parent / "images", base)
    fitting = (f for f in places if any(is_file(_file(base, f, part, p)) for p in pictures[:20]))
    return next(fitting, base / name if (base / name).is_dir() else base / "images")


def _file(base: Path, folder: Path, part: _Part, picture: Picture) -> Path:
    path = inside(picture.file, folder, folder, base)
    if path is None:
        raise UserError(
            f"{part.annotations[0]}: image {picture.file} leads out of {folder} and of data.root; "
            "write paths relative to the folder of images"
        )
    return path


def _samples(
    entries: Sequence[Entry], unannotated: Unannotated, group: str | None
) -> tuple[list[Sample], dict[str, Picture], dict[str, tuple[Path, ...]]]:
    """Samples, and by name their pictures and JSON files; the part leads the name where parts share names."""
    parts: dict[str, set[str]] = {}
    for part, _, picture in entries:
        parts.setdefault(_name(picture), set()).add(part.split)
    shared = any(len(splits) > 1 for splits in parts.values())
    samples, pictures, files = [], {}, {}
    for part, path, picture in entries:
        name = f"{part.split}/{_name(picture)}" if shared else _name(picture)
        labelled = bool(picture.regions) or unannotated == "background"
        mask = part.annotations[0] if labelled else None
        samples.append(Sample(name, path, mask, find_group(name, group), part.split))
        pictures[name], files[name] = picture, part.annotations
    return samples, pictures, files


def _name(picture: Picture) -> str:
    path = PurePosixPath(picture.file)
    return "/".join(p for p in path.with_suffix("").parts if p not in (path.anchor, ".", ".."))


def _need_tools(entries: Iterable[Entry]) -> None:
    """Raise `UserError` where outlines must be drawn and pycocotools is not installed."""
    outlines = any(not isinstance(r.shape, Runs) for _, _, picture in entries for r in picture.regions)
    if outlines and importlib.util.find_spec("pycocotools") is None:
        raise UserError(
            "data=coco draws polygons with pycocotools, which is missing: pip install 'segkit[coco]'"
        )


def _key(split: str) -> str:
    return f"{split}_" if split else ""
