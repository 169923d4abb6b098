"""COCO's JSON (Lin et al. 2014) -> pictures and their regions, with everything that is wrong in it."""

from __future__ import annotations

import contextlib
import gc
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segkit.data.fault import Fault, Severity
from segkit.data.region import Region, Runs, cover, is_size, outline_problem, too_many_pixels
from segkit.types import UserError

BACKGROUND, MOVED_BACKGROUND = 0, 65535  # file id of pixels without annotation; where 0 is a category

# What can be wrong with an annotation: what happened, what to do, how bad it is.
PROBLEMS: dict[str, tuple[str, str, Severity]] = {
    "image": ("refer to an image that the file does not list", "remove them or list the image", "warning"),
    "category": ("have a category that the file does not list", "add it to `categories`", "error"),
    "none": ("have no outline (a box alone?)", "draw their outlines, or remove them", "error"),
    "short": ("have a polygon of less than 3 points, which is left out", "remove these polygons", "warning"),
    "polygon": (
        "have a polygon that is no list of numbers x, y, x, y, ...",
        "export them as [[x, y, x, y, x, y, ...]]",
        "error",
    ),
    "far": (
        "have points far outside their picture",
        "see whether the coordinates belong to a picture of another size",
        "error",
    ),
    "outside": (
        "lie outside their picture",
        "see whether the coordinates belong to a picture of another size",
        "error",
    ),
    "stray": ("reach out of their picture, where they are cut off", "clip them to the picture", "warning"),
    "size": ("have run lengths for a picture of another size", "export them anew", "error"),
    "runs": ("have run lengths that are none", "export them anew", "error"),
}


class Picture(NamedTuple):
    """An image of a COCO file.

    Attributes:
        file: Its ``file_name``, with forward slashes.
        size: Height and width as the file gives them.
        regions: Its annotations, in the order of the file.
    """

    file: str
    size: tuple[int, int]
    regions: tuple[Region, ...] = ()


class CocoFile(NamedTuple):
    """What a COCO file holds.

    Attributes:
        path: Of the file.
        names: Category id -> name, in the order of the ids.
        colors: Category id -> RGB triple, as far as it gives any.
        pictures: Its images, in its order.
        faults: What is wrong with single annotations.
    """

    path: Path
    names: dict[int, str]
    colors: dict[int, list[int]]
    pictures: list[Picture]
    faults: list[Fault]


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Millions of new lists make Python look for garbage again and again, a third of the time in vain."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


@_no_collector()
def read_coco(path: Path, layer: int = 0) -> CocoFile:
    """Read a file of instances, of stuff, or an export of one's own.

    Outlines are kept as arrays of coordinates, run lengths as they are written (118 000
    images of COCO: 0.7 GB, and 2.8 GB for the moment of reading); nothing is drawn.

    Args:
        path: The JSON.
        layer: Layer of its regions.

    Raises:
        UserError: The file is missing, no JSON, has another layout, or lists something twice.
    """
    document = _load(path)
    names, colors = _categories(path, document["categories"])
    images = _images(path, document["images"])
    regions: dict[Any, list[Region]] = defaultdict(list)
    wrong: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    annotations = document.get("annotations", [])
    for position, item in enumerate(annotations):
        if not isinstance(item, Mapping) or "image_id" not in item or "category_id" not in item:
            raise UserError(f"{path}: annotation {position} has no image_id or category_id; export it anew")
        picture = images.get(_key(item["image_id"]))
        problem, region = _region(item, names, picture, layer)
        if problem:
            wrong[problem].append((item.get("id", position), picture.file if picture else ""))
        if region is not None:
            regions[_key(item["image_id"])].append(region)
    if annotations and len(wrong["image"]) == len(annotations):
        raise UserError(
            f"{path}: no annotation refers to an image that is listed (the first to image_id "
            f"{annotations[0]['image_id']!r}, the first image is {next(iter(images))!r}); export it anew"
        )
    pictures = [p._replace(regions=tuple(regions.get(key, ()))) for key, p in images.items()]
    return CocoFile(path, names, colors, pictures, _faults(path, wrong))


def _load(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {' '.join(str(error).split())}") from error
    layout = "expected COCO's lists `images`, `annotations` and `categories`"
    if not isinstance(document, Mapping):
        raise UserError(f"{path} holds {type(document).__name__}, such as results have; {layout}")
    for key in ("images", "categories", "annotations"):
        value = document.get(key, [] if key == "annotations" else None)  # image_info_test*.json has none
        if not isinstance(value, list):
            raise UserError(f"{path} has no list `{key}`; {layout}")
    first = document.get("annotations", [])[:1]
    if any(isinstance(a, Mapping) and "segments_info" in a for a in first):
        raise UserError(f"{path} holds panoptic annotations; give instances_*.json and stuff_*.json instead")
    return document


def _categories(path: Path, items: list[Any]) -> tuple[dict[int, str], dict[int, list[int]]]:
    names: dict[int, str] = {}
    colors = {}
    for item in items:
        number, name = (item.get("id"), item.get("name")) if isinstance(item, Mapping) else (None, None)
        if not isinstance(number, int) or not 0 <= number < MOVED_BACKGROUND or not isinstance(name, str):
            raise UserError(
                f"{path}: category {item!r} needs a name and an id, a whole number from 0 to 65534"
            )
        if names.get(number, name) != name:
            raise UserError(f"{path}: category id {number} is both '{names[number]}' and '{name}'")
        names[number] = name
        color = item.get("color")
        if isinstance(color, list) and len(color) == 3 and all(isinstance(c, int) for c in color):
            colors[number] = [min(max(c, 0), 255) for c in color]
    return dict(sorted(names.items())), colors


def _images(path: Path, items: list[Any]) -> dict[Any, Picture]:
    found: dict[Any, Picture] = {}
    for position, item in enumerate(items):
        file = item.get("file_name") if isinstance(item, Mapping) else None
        if not isinstance(file, str) or not file or "id" not in item:
            raise UserError(f"{path}: image {position} has no file_name or no id; export it anew")
        key = _key(item["id"])
        if key in found:
            raise UserError(f"{path}: image id {key!r} stands for {found[key].file} and for {file}")
        height, width = item.get("height"), item.get("width")
        if not is_size(height, width):
            raise UserError(f"{path}: image {file} has no height and width; export it anew")
        if too_many_pixels(height, width):
            raise UserError(f"{path}: image {file} cannot be {width}x{height}; export it anew")
        found[key] = Picture(file.replace("\\", "/"), (height, width))
    if not found:
        raise UserError(f"{path} lists no images")
    return found


def _key(value: Any) -> Any:
    """An id that can be looked up, whatever the JSON holds."""
    return value if isinstance(value, int | str) else repr(value)


def _region(
    item: Mapping[str, Any], names: Mapping[int, str], picture: Picture | None, layer: int
) -> tuple[str, Region | None]:
    """Problem of an annotation (a key of `PROBLEMS`, or nothing), and what can be drawn of it."""
    if picture is None:
        return "image", None
    category, shape = item["category_id"], item.get("segmentation")
    if not isinstance(category, int) or category not in names:
        return "category", None
    if not shape:
        return "none", None
    problem, form = _runs(shape, picture) if isinstance(shape, Mapping) else _polygons(shape, picture)
    return problem, Region(category, form, bool(item.get("iscrowd")), layer) if form else None


def _runs(shape: Mapping[str, Any], picture: Picture) -> tuple[str, Runs | None]:
    size, counts = shape.get("size"), shape.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(s, int) for s in size):
        return "runs", None
    if tuple(size) != picture.size:
        return "size", None
    if isinstance(counts, str) and counts.isascii():
        return "", Runs(size[0], size[1], counts.encode())
    try:
        runs = np.array(counts, np.int64)
    except (ValueError, TypeError, OverflowError):
        return "runs", None
    right = runs.ndim == 1 and runs.size and cover(runs, size[0] * size[1])
    return ("", Runs(size[0], size[1], runs)) if right else ("runs", None)


def _polygons(shape: Any, picture: Picture) -> tuple[str, tuple[Any, ...] | None]:
    try:
        parts = [np.array(part, np.float64) for part in shape]
    except (ValueError, TypeError, OverflowError):
        return "polygon", None
    if any(part.ndim != 1 or part.size % 2 for part in parts):
        return "polygon", None
    whole = tuple(part for part in parts if part.size >= 6)
    if not whole:
        return "short", None
    problem = outline_problem(whole, *picture.size)
    short = "short" if len(whole) < len(parts) else ""
    return problem or short, None if problem in ("far", "outside") else whole


def _faults(path: Path, wrong: Mapping[str, list[tuple[Any, str]]]) -> list[Fault]:
    faults = []
    for problem, (text, fix, severity) in PROBLEMS.items():
        if found := wrong.get(problem):
            ids = ", ".join(str(number) for number, _ in found[:3]) + (", ..." if len(found) > 3 else "")
            one = next((file for _, file in found if file), "")
            example = f", first in {one}" if one else ""
            message = f"{len(found)} annotations (id {ids}{example}) {text}"
            faults.append(Fault("annotation", message, fix, (str(path),), severity=severity))
    return faults
