"""One file of labelme's -> its image and its shapes, or what is wrong with it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from segkit.data.cache import cache_folder
from segkit.data.fault import Fault, Severity
from segkit.data.inside import inside, is_file
from segkit.data.read import image_size, open_image
from segkit.data.region import is_size, too_many_pixels
from segkit.data.shape import PROBLEMS, Shape, parse_shape
from segkit.error import plural
from segkit.files import write_bytes
from segkit.types import UserError

Wrong = dict[str, list[str]]  # problem -> files

# What can be wrong with a file: what happened, what to do.
FILE_PROBLEMS: dict[str, tuple[str, str]] = {
    "json": ("not readable as JSON", "save it in labelme again, or remove it"),
    "format": ("no labelme file (it has no list `shapes`)", "move it elsewhere"),
    "image": (
        "its image is neither at imagePath, nor beside it, nor inside it",
        "put the image beside it, inside data.root",
    ),
    "data": ("imageData cannot be decoded", "save it again in labelme"),
    "escape": (
        "its imagePath leads out of data.root, and no image is beside it or inside it",
        "put the image beside it, or set data.root to a folder that holds both",
    ),
    "size": (
        "it has no imageHeight and imageWidth that fit a picture",
        "open it in labelme and save it again",
    ),
}


class Drawing(NamedTuple):
    """What a labelme file holds.

    Attributes:
        path: Of the file.
        image: Of its image.
        size: Height and width.
        shapes: In the order in which they are drawn.
    """

    path: Path
    image: Path
    size: tuple[int, int]
    shapes: tuple[Shape, ...]


def read_drawing(path: Path, base: Path, wrong: Wrong) -> Drawing | None:
    """Read a file; what is wrong with it is noted under a key of `FILE_PROBLEMS` or `PROBLEMS`."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        wrong["json"].append(str(path))
        return None
    if not isinstance(content, Mapping) or not isinstance(content.get("shapes"), list):
        wrong["format"].append(str(path))
        return None
    image = _image(content, path, base)
    if isinstance(image, str):
        wrong[image].append(str(path))
        return None
    size = _size(content, image)
    if size is None:
        wrong["size"].append(str(path))
        return None
    parsed = [parse_shape(item, *size) for item in content["shapes"]]
    for problem in sorted({problem for problem, _ in parsed if problem}):
        wrong[problem].append(str(path))
    return Drawing(path, image, size, tuple(shape for _, shape in parsed if shape is not None))


def _image(content: Mapping[str, Any], path: Path, base: Path) -> Path | str:
    """The image of a file, or a key of `FILE_PROBLEMS`."""
    text, copy = content.get("imagePath"), content.get("imageData")
    text = text if isinstance(text, str) else ""
    named = inside(text, path.parent, base)
    for file in (named, path.parent / text.replace("\\", "/").rpartition("/")[2]):
        if file is not None and file.suffix.lower() != ".json" and is_file(file):
            return file  # some files name themselves
    try:
        data = base64.b64decode(copy) if isinstance(copy, str) else b""
    except ValueError:
        return "data"
    if data:
        return _unpack(path, data) or "data"
    return "escape" if named is None else "image"


def _unpack(path: Path, data: bytes) -> Path | None:
    """Write the picture that a JSON holds into the cache, under a name made from its bytes.

    Returns:
        The file; ``None`` where the bytes are no picture.
    """
    file = cache_folder() / "labelme" / f"{hashlib.sha256(data).hexdigest()[:32]}.img"
    if not file.is_file() or file.read_bytes() != data:  # damaged: a cache is never trusted
        try:
            open_image(path, data)
        except UserError:
            return None
        write_bytes(file, data)
    return file


def _size(content: Mapping[str, Any], image: Path) -> tuple[int, int] | None:
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if height is None or width is None:
        try:
            return image_size(image)
        except UserError:
            return None
    return (height, width) if is_size(height, width) and not too_many_pixels(height, width) else None


def file_problem(wrong: Wrong) -> str:
    """What is wrong with the first file, in one line."""
    problem, files = next(iter(wrong.items()))
    text, fix = FILE_PROBLEMS[problem]
    return f"{files[0]}: {text}; {fix}"


def drawing_faults(wrong: Wrong) -> list[Fault]:
    """One fault for each thing that is wrong, with all files that show it."""
    faults = []
    severity: Severity
    for problem, files in wrong.items():
        if problem in PROBLEMS:
            text, fix, severity = PROBLEMS[problem]
            text, kind = f"{plural(len(files), 'file')} with shapes {text}", "annotation"
        else:
            text, fix = FILE_PROBLEMS[problem]
            text, kind = f"{plural(len(files), 'file')}: {text}", "annotation"
            kind = "unpaired" if problem in ("image", "escape") else kind
            severity = "warning" if problem == "format" else "error"
        faults.append(Fault(kind, text, fix, tuple(files), (), severity))
    return faults
