"""Files whose paths tell both a sample and a class."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from segkit.data.folder import walk
from segkit.data.read import MASK_SUFFIXES
from segkit.data.source import SPLIT_NAMES, existing_folders
from segkit.types import UserError


class Planes(NamedTuple):
    """The masks that were found.

    Attributes:
        files: Per sample name, per class name the file; samples without a file are not there.
        classes: Names of the classes that have a file, sorted.
        unknown: Files of classes that were not asked for, per class.
        spare: Files that belong to no image.
    """

    files: dict[str, dict[str, Path]]
    classes: list[str]
    unknown: dict[str, list[Path]]
    spare: list[Path]


class Pattern(NamedTuple):
    """A path with ``{class}`` and ``{name}``, taken apart.

    Attributes:
        folder: The folders in front of the first placeholder.
        head: What a file's path below them begins with.
        between: What stands between the placeholders.
        tail: What the path ends with before its extension.
        class_first: Whether ``{class}`` is the first of the two.
        suffixes: Extensions that count.
    """

    folder: str
    head: str
    between: str
    tail: str
    class_first: bool
    suffixes: tuple[str, ...]


def find_planes(base: Path, masks: str, images: Collection[str], classes: Collection[str] | None) -> Planes:
    """Find the masks of every sample and class.

    A path such as ``a_b_c`` can be cut in several ways: the cut whose name is that of an
    image and whose class is known counts; of several the one with the longest name.

    Args:
        base: Folder that ``masks`` is relative to.
        masks: Path with ``{class}`` and ``{name}``.
        images: Names of the samples.
        classes: Names of the classes; ``None``: whatever there is.

    Raises:
        UserError: ``masks`` is no such path, its folder is missing, or two files are the
            mask of one class of one sample.
    """
    pattern = parse(masks)
    found = Planes({}, [], {}, [])
    for lead, path, inner in _files(base, pattern, masks):
        cuts = [(n, c) for n, c in _cuts(pattern, lead, inner) if n in images]
        known = [cut for cut in cuts if classes is None or cut[1] in classes]
        if not cuts:
            found.spare.append(path)
        elif not known:
            found.unknown.setdefault(cuts[0][1], []).append(path)
        else:
            name, label = known[0]
            of_sample = found.files.setdefault(name, {})
            if label in of_sample:
                raise UserError(
                    f"two masks of class '{label}' belong to '{name}': {of_sample[label]} and {path}; "
                    "remove or rename one"
                )
            of_sample[label] = path
    return found._replace(classes=sorted({c for files in found.files.values() for c in files}))


def parse(masks: str) -> Pattern:
    """Take a path with ``{class}`` and ``{name}`` apart.

    Raises:
        UserError: It does not hold each of them once with something between them.
    """
    suffix = Path(masks).suffix.lower()
    bare, suffixes = (masks[: -len(suffix)], (suffix,)) if suffix in MASK_SUFFIXES else (masks, MASK_SUFFIXES)
    match = re.fullmatch(r"([^{}]*)\{(class|name)\}([^{}]+)\{(class|name)\}([^{}]*)", bare)
    if match is None or match[2] == match[4]:
        raise UserError(
            f"data.masks={masks} must hold {{class}} and {{name}} once each, with something between them, "
            "such as 'masks/{class}/{name}' or 'masks/{name}_{class}'"
        )
    folder, _, head = match[1].rpartition("/")
    return Pattern(folder, head, match[3], match[5], match[2] == "class", suffixes)


def _files(base: Path, pattern: Pattern, masks: str) -> Iterator[tuple[str, Path, str]]:
    """Folder of the split in front, file, and its path below the pattern's folder without extension."""
    spots = [("", base / pattern.folder)]
    if not spots[0][1].is_dir():
        children = sorted(p for p in base.iterdir() if p.name.lower() in SPLIT_NAMES)
        spots = [(p.name, p / pattern.folder) for p in children if (p / pattern.folder).is_dir()]
    if not spots:
        raise UserError(
            f"data.masks={masks}: no folder {pattern.folder} in {base}, which holds "
            f"{existing_folders(base)}; "
            "say with {class} and {name} where the masks lie"
        )
    for lead, start in spots:
        for path in walk(start):
            if path.suffix.lower() in pattern.suffixes:
                yield lead, path, path.relative_to(start).with_suffix("").as_posix()


def _cuts(pattern: Pattern, lead: str, inner: str) -> Iterator[tuple[str, str]]:
    """Every sample name and class that a path can mean, long names first."""
    first, _, rest = inner.partition("/")
    for split, text in (("", inner), (first, rest)):
        if split and split.lower() not in SPLIT_NAMES:
            continue
        if not text.startswith(pattern.head) or not text.endswith(pattern.tail):
            continue
        middle = text[len(pattern.head) : len(text) - len(pattern.tail)]
        spots = [m.start() for m in re.finditer(f"(?={re.escape(pattern.between)})", middle)]
        for spot in spots if pattern.class_first else reversed(spots):
            one, other = middle[:spot], middle[spot + len(pattern.between) :]
            label, name = (one, other) if pattern.class_first else (other, one)
            if label and name and "/" not in label:
                yield "/".join(part for part in (lead, split, name) if part), label
