"""Folders of images and masks that belong together by name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from segkit.data.fault import Fault
from segkit.data.labels import read_labels
from segkit.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES
from segkit.data.source import SPLIT_NAMES, FileSource, existing_folders, root_folder
from segkit.types import LabelSpace, Sample, UserError

Found = dict[str, Path]  # name of a sample -> file

WILDCARD = r"[*?\[]"
GLOB = {"*": "[^/]*", "?": "[^/]"}
ANYTHING = re.compile("((?:[^/]+/)*)([^/]*)/")


def folder(
    root: str | Path | None,
    labels: str | Path | Mapping[str, Any] | LabelSpace | None,
    *,
    images: str = "images",
    masks: str = "masks",
    image_prefix: str = "",
    image_suffix: str = "",
    mask_prefix: str = "",
    mask_suffix: str = "",
    group: str | None = None,
) -> FileSource:
    """List images and masks.

    Three layouts are known: ``images/...``, ``images/train/...`` and ``train/images/...``,
    with folders called as in `SPLIT_NAMES`. Image and mask belong together when their paths
    below these folders are the same but for prefix, suffix and extension.

    Args:
        root: Folder that everything is relative to.
        labels: A label space (`read_labels`).
        images: Folder of images, or glob of files.
        masks: Folder of masks, or glob of files.
        image_prefix: What image file names begin with and mask names do not.
        image_suffix: What image file names end with, before the extension.
        mask_prefix: What mask file names begin with and image names do not.
        mask_suffix: What mask file names end with, before the extension.
        group: Regular expression whose first group, in a sample's name, is its group.

    Raises:
        UserError: A folder is missing or empty, or no image has a mask. Single files without a
            partner are left out and told in `FileSource.faults`.
    """
    space = read_labels(labels)
    base = root_folder(root, "images and masks")
    pictures = find(base, images, "images", IMAGE_SUFFIXES, image_prefix, image_suffix)
    targets = find(base, masks, "masks", MASK_SUFFIXES, mask_prefix, mask_suffix)
    taken = set(targets.values())  # both may lie in one folder
    pictures = {name: path for name, path in pictures.items() if path not in taken}
    if not pictures:
        raise UserError(
            f"data.images={images} and data.masks={masks} name the same files; set data.mask_suffix"
        )
    pairs = pair(pictures, targets)
    splits = find_splits([name for name, _, _ in pairs])
    samples = [Sample(n, i, m, find_group(n, group), splits.get(n, "")) for n, i, m in pairs]
    return FileSource(samples, space, unpaired(pictures, targets))


def find(
    base: Path, place: str, key: str, suffixes: tuple[str, ...], prefix: str = "", suffix: str = ""
) -> Found:
    """List the files of a folder or glob.

    Args:
        base: Folder that ``place`` is relative to.
        place: Folder or glob.
        key: The key that ``place`` comes from, for messages.
        suffixes: File extensions that count, in lower case.
        prefix: What names must begin with; removed.
        suffix: What names must end with before the extension; removed.

    Returns:
        Name to path. A name holds those parts of the path that ``place`` leaves open.

    Raises:
        UserError: The folder is missing, nothing fits, or two files have one name.
    """
    found: Found = {}
    other = None
    for spot in _places(base, place, key):
        for name, path in _matches(spot, suffixes):
            parent, _, stem = name.rpartition("/")
            inner = stem.removeprefix(prefix).removesuffix(suffix)
            if len(stem) != len(inner) + len(prefix) + len(suffix) or not inner:
                other = path
                continue
            short = "/".join(part for part in (spot.lead, parent, inner) if part)
            if short in found:
                raise UserError(f"two {key} have one name: {found[short]} and {path}; remove or rename one")
            found[short] = path
    if not found:
        raise UserError(_nothing(base / place, key, suffixes, prefix, suffix, other))
    return found


def pair(images: Found, masks: Found) -> list[tuple[str, Path, Path]]:
    """Bring images and masks of one name together, sorted by name; `unpaired` tells the others.

    Raises:
        UserError: No image has a mask.
    """
    both = sorted(images.keys() & masks.keys())
    if not both:
        raise UserError(_no_pairs(min(images.items()), min(masks.items())))
    return [(name, images[name], masks[name]) for name in both]


def unpaired(images: Found, masks: Found) -> list[Fault]:
    """Files that belong to no pair: at most one fault for images and one for masks."""
    lonely = {name: path for name, path in images.items() if name not in masks}
    spare = {name: path for name, path in masks.items() if name not in images}
    twins = {name.lower() for name in lonely} & {name.lower() for name in spare}
    faults = []
    for alone, (what, partner), cause, fix in (
        (lonely, ("image", "a mask"), "not annotated, or named otherwise", "add their masks"),
        (spare, ("mask", "an image"), "left over, or named otherwise", "add their images"),
    ):
        if alone:
            if any(name.lower() in twins for name in alone):
                cause, fix = "some names differ only in capital letters", "rename these"
            files = tuple(str(alone[name]) for name in sorted(alone))
            message = f"{len(files)} {what}{'s' if len(files) > 1 else ''} without {partner} ({cause})"
            faults.append(Fault("unpaired", message, f"{fix}, or move these files elsewhere", files))
    return faults


class _Place(NamedTuple):
    """Where to look: the parts of a path that the pattern leaves open are its groups."""

    start: Path
    pattern: re.Pattern[str]
    lead: str = ""


def _places(base: Path, place: str, key: str) -> list[_Place]:
    if (base / place).is_dir():
        return [_Place(base / place, ANYTHING)]
    if re.search(WILDCARD, place):
        parts = place.replace("\\", "/").split("/")
        first = next(i for i, part in enumerate(parts) if re.search(WILDCARD, part))
        return [_Place(base.joinpath(*parts[:first]), _translate(parts[first:]))]
    children = sorted(p for p in base.iterdir() if p.name.lower() in SPLIT_NAMES)
    inside = [_Place(p / place, ANYTHING, p.name) for p in children if (p / place).is_dir()]
    if not inside:
        raise UserError(
            f"data.{key}={place}: no such folder in {base}, which holds {existing_folders(base)}; "
            f"set data.{key} to one of them, or to a glob of files such as '*_{key}/*.png'"
        )
    return inside


def _translate(parts: list[str]) -> re.Pattern[str]:
    """Turn the parts of a glob into an expression with a group for each part that is left open.

    Raises:
        UserError: Its brackets are no set of characters.
    """
    pieces = []
    for part in parts:
        tokens = re.findall(r"\[!?[^\]]+\]|.", part)
        text = "".join(
            GLOB.get(t) or (t.replace("[!", "[^", 1) if len(t) > 1 else re.escape(t)) for t in tokens
        )
        opens = re.search(WILDCARD, part)
        pieces.append("((?:[^/]+/)*)" if part == "**" else f"({text})/" if opens else f"{text}/")
    try:
        return re.compile("".join(pieces))
    except re.error as error:
        raise UserError(f"the glob {'/'.join(parts)} cannot be read: {error}; mind its brackets") from error


def _matches(place: _Place, suffixes: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Yield name and path of every file that fits, in a fixed order."""
    for path in walk(place.start):
        # The slash at the end makes the file name look like every other part.
        match = place.pattern.fullmatch(path.relative_to(place.start).as_posix() + "/")
        if match and path.suffix.lower() in suffixes:
            parts = [part.strip("/") for part in match.groups() if part]
            if parts and parts[-1] == path.name:
                parts[-1] = path.stem
            yield "/".join(parts), path


def walk(start: Path) -> Iterator[Path]:
    """Yield every file below a folder in a fixed order; links are followed, hidden files are not shown."""
    for here, folders, files in os.walk(start, followlinks=True):
        real = Path(here).resolve()
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__MACOSX"))
            and not real.is_relative_to((Path(here) / name).resolve())  # a link to one of its parents
        )
        yield from (Path(here) / name for name in sorted(files) if not name.startswith("."))


def find_splits(names: list[str]) -> dict[str, str]:
    """Official splits where the first folder of every name is one; nothing where there are none.

    Raises:
        UserError: Some names lie in the folder of a training part and others in no such folder.
    """
    first = {name: name.split("/")[0].lower() if "/" in name else "" for name in names}
    outside = [name for name in names if first[name] not in SPLIT_NAMES]
    if outside and any(SPLIT_NAMES.get(f) == "train" for f in first.values()):
        raise UserError(
            f"{len(outside)} of {len(names)} images lie outside train/, val/, test/ (first: {outside[0]}); "
            "move them into one of these folders, or give all images without such folders"
        )
    return {} if outside else {name: SPLIT_NAMES[f] for name, f in first.items()}


def find_group(name: str, pattern: str | None) -> str:
    """What the first bracket of a regular expression finds in a sample's name.

    Raises:
        UserError: The pattern is none, or finds nothing.
    """
    if pattern is None:
        return ""
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise UserError(f"data.group={pattern} is no regular expression: {error}") from error
    if match is None or not match.groups() or match.group(1) is None:
        raise UserError(
            f"data.group={pattern} finds no group in the sample name '{name}'; "
            "put the part to group by in brackets, such as '^([^_]+)_'"
        )
    return match.group(1)


def _nothing(
    place: Path, key: str, suffixes: tuple[str, ...], prefix: str, suffix: str, other: Path | None
) -> str:
    single = key.removesuffix("s")
    if other is None:
        return f"no {key} in {place}: expected files that end with {', '.join(suffixes)}; set data.{key}"
    wanted = f"begins with '{prefix}' and ends with '{suffix}' before its extension"
    return (
        f"no file in {place} {wanted}; there is, for example, {other.name}: "
        f"set data.{single}_prefix and data.{single}_suffix"
    )


def _no_pairs(image: tuple[str, Path], mask: tuple[str, Path]) -> str:
    one, other = image[0].rsplit("/", 1)[-1], mask[0].rsplit("/", 1)[-1]
    keys = {
        "mask_suffix": other[len(one) :] if other.startswith(one) else "",
        "mask_prefix": other[: -len(one)] if other.endswith(one) else "",
        "image_suffix": one[len(other) :] if one.startswith(other) else "",
        "image_prefix": one[: -len(other)] if one.endswith(other) else "",
    }
    fix = next((f"data.{key}={value}" for key, value in keys.items() if value), "")
    advice = (
        f"set {fix}" if fix else "set data.mask_suffix, data.mask_prefix or the folders so that names agree"
    )
    return f"no image has a mask of its name: there is image {image[1]} and mask {mask[1]}; {advice}"
