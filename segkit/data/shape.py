"""labelme's shapes (Wada, labelme 4 to 6): checked, then drawn as its own export draws them."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segkit.data.fault import Severity
from segkit.data.file import open_header
from segkit.data.region import outline_problem

LINE_WIDTH, POINT_RADIUS = 10, 5  # pixels, as `labelme.utils.shape_to_mask` has them by default
LARGEST = 1e9  # no coordinate; sums of larger ones may leave the range of numbers

# How many points each kind of shape has: at least, at most.
KINDS: dict[str, tuple[int, float]] = {
    "polygon": (3, math.inf),
    "rectangle": (2, 2),
    "oriented_rectangle": (4, 4),
    "circle": (2, 2),
    "line": (2, 2),
    "linestrip": (2, math.inf),
    "point": (1, 1),
    "mask": (2, 2),
}

# What can be wrong with a shape: what happened, what to do, how bad it is.
PROBLEMS: dict[str, tuple[str, str, Severity]] = {
    "label": ("without a label", "open them in labelme and name the shapes", "error"),
    "kind": (f"whose shape_type is none of {', '.join(KINDS)}", "draw these anew", "error"),
    "count": ("with too few or too many points for its shape_type", "draw these anew", "error"),
    "points": ("whose points are no pairs of numbers", "draw these anew", "error"),
    "mask": ("whose mask is no PNG of the size that its two points say", "draw these anew", "error"),
    "far": ("with points far outside the picture", "see whether they belong to another picture", "error"),
    "outside": ("that lie outside the picture", "see whether they belong to another picture", "error"),
    "stray": ("that reach out of the picture, where they are cut off", "move their points inside", "warning"),
}


class Shape(NamedTuple):
    """One shape of a labelme file.

    Attributes:
        label: What it shows.
        kind: A key of `KINDS`.
        points: ``[n, 2]`` float64, x and y in pixels.
        mask: Of kind ``mask``: ``[h, w]`` bool, from the first point to the second.
    """

    label: str
    kind: str
    points: NDArray[np.float64]
    mask: NDArray[np.bool_] | None = None


def parse_shape(item: Any, height: int, width: int) -> tuple[str, Shape | None]:
    """Read one entry of ``shapes``.

    Returns:
        A key of `PROBLEMS` (or nothing), and the shape as far as it can be drawn.
    """
    label = item.get("label") if isinstance(item, Mapping) else None
    if not isinstance(label, str) or not label.strip():
        return "label", None
    kind = item.get("shape_type") or "polygon"  # older versions leave it out
    if not isinstance(kind, str) or kind not in KINDS:
        return "kind", None
    try:
        points = np.array(item.get("points"), np.float64)
    except (ValueError, TypeError, OverflowError):
        return "points", None
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        return "points", None
    low, high = KINDS[kind]
    if not low <= len(points) <= high:
        return "count", None
    if np.abs(points).max() > LARGEST:
        return "far", None
    shape = Shape(label, kind, points)
    problem = outline_problem([_extent(shape).ravel()], height, width)
    if problem in ("far", "outside"):
        return problem, None
    if kind == "mask":
        mask = _mask(item.get("mask"), points)
        return ("", shape._replace(mask=mask)) if mask is not None else ("mask", None)
    return problem, shape


def draw_shape(shape: Shape, height: int, width: int) -> NDArray[np.bool_]:
    """Draw a shape: ``[H, W]`` bool, as ``labelme.utils.shape_to_mask`` does.

    Outlines belong to the shape; lines are 10 pixels wide, points are discs of radius 5.
    """
    if shape.mask is not None:
        return _pasted(shape, height, width)
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    points = [(float(x), float(y)) for x, y in shape.points]
    if shape.kind in ("circle", "point"):
        draw.ellipse(_extent(shape).ravel().tolist(), fill=1, outline=1)
    elif shape.kind == "rectangle":
        draw.rectangle([*shape.points.min(0).tolist(), *shape.points.max(0).tolist()], fill=1, outline=1)
    elif shape.kind in ("line", "linestrip"):
        draw.line(points, fill=1, width=LINE_WIDTH)
    else:
        draw.polygon(points, fill=1, outline=1)
    return np.array(canvas, bool)


def _extent(shape: Shape) -> NDArray[np.float64]:
    """Points that the shape reaches: opposite corners of its box, or the points themselves."""
    if shape.kind == "circle":
        center, rim = shape.points
        reach = math.dist(center, rim)
    elif shape.kind == "point":
        center, reach = shape.points[0], POINT_RADIUS
    else:
        return shape.points
    return np.array([center - reach, center + reach])


def _mask(text: Any, points: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    """Decode a mask of the size that the two points say; ``None`` where it is none."""
    if not isinstance(text, str):
        return None
    try:
        picture = open_header(Path("mask"), base64.b64decode(text))
        (left, top), (right, bottom) = points.astype(int)  # cut off, not rounded, as labelme does
        if picture is None or picture.size != (right - left + 1, bottom - top + 1):
            return None
        mask = np.array(picture).astype(bool)
        return mask if mask.ndim == 2 else None
    except Exception:  # a damaged picture can make a decoder raise anything
        return None


def _pasted(shape: Shape, height: int, width: int) -> NDArray[np.bool_]:
    canvas = np.zeros((height, width), bool)
    mask = shape.mask if shape.mask is not None else canvas
    left, top = shape.points[0].astype(int)
    cut = mask[max(-top, 0) :, max(-left, 0) :]
    part = canvas[max(top, 0) : max(top, 0) + len(cut), max(left, 0) : max(left, 0) + cut.shape[1]]
    part[:] = cut[: part.shape[0], : part.shape[1]]
    return canvas
