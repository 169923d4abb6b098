"""Regions of an image -> its target: outlines and run lengths, painted one over the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.data.limit import max_pixels
from segkit.types import LabelSpace

REACH = 1.0  # how far outside the picture a point may lie, in lengths of its longer side
STRAY = 1.0  # pixels by which an outline may leave the picture without a word: drawing tools round


class Runs(NamedTuple):
    """A region as COCO's run lengths: zeros, ones, zeros, ... down the columns, left to right.

    Attributes:
        height: Of the picture.
        width: Of the picture.
        counts: The lengths ``[n]`` int64, or COCO's text that compresses them.
    """

    height: int
    width: int
    counts: NDArray[np.int64] | bytes


class Region(NamedTuple):
    """One annotated region.

    Attributes:
        file_id: What it is, as a label space knows it.
        shape: Polygons (each ``[2n]`` float64: x, y, x, y, ... in pixels, 0 is the left or upper
            edge of the picture) whose union it is, or its run lengths.
        crowd: It marks many things at once (COCO's ``iscrowd``).
        layer: Regions of a higher layer lie above all of a lower one.
    """

    file_id: int
    shape: tuple[NDArray[np.float64], ...] | Runs
    crowd: bool = False
    layer: int = 0


class Canvas:
    """A target as one row of pixels, painted region after region.

    In a multilabel task painting adds a class to what is there, and ignored stays ignored.

    Args:
        labels: What the values mean.
        pixels: How many there are.
        value: What they are before anything is painted.
    """

    def __init__(self, labels: LabelSpace, pixels: int, value: Any) -> None:
        planes = (labels.num_classes,) if labels.task == "multilabel" else ()
        self.target: NDArray[Any] = np.empty((pixels, *planes), labels.dtype)
        self.target[:] = value
        self.ignore_index, self.planes = labels.ignore_index, bool(planes)

    def paint(
        self, mask: NDArray[np.bool_], value: Any, start: int = 0, covered: NDArray[np.bool_] | None = None
    ) -> None:
        """Paint a region.

        Args:
            mask: ``[n]``, which of the pixels from ``start`` on belong to it.
            value: A class index or `LabelSpace.ignore_index`; ``[K]`` in a multilabel task.
            start: Where ``mask`` begins.
            covered: ``[pixels]``, where regions lie already: pixels of these that have another
                value become ignored. It is brought up to date.
        """
        part = self.target[start : start + len(mask)]
        if self.planes:
            part[mask] = np.maximum(part[mask], value)
            return
        if covered is not None:
            under = covered[start : start + len(mask)]
            clash = mask & under & (part != value)
            under |= mask
            part[clash] = self.ignore_index
            mask = mask & ~clash
        part[mask] = value


def run_lengths(region: Region, height: int, width: int) -> NDArray[np.int64]:
    """Return COCO's run lengths of a region, outlines drawn as pycocotools draws them.

    Returns:
        ``[n]`` int64 that add up to ``height * width``.

    Raises:
        ValueError: They do not, or are no run lengths.
    """
    if isinstance(region.shape, Runs):
        counts = region.shape.counts
        runs = unpack_runs(counts) if isinstance(counts, bytes) else counts
    else:
        from pycocotools import mask as tools

        drawn = tools.frPyObjects(list(region.shape), height, width)
        runs = unpack_runs(tools.merge(drawn)["counts"])
    if not cover(runs, height * width):
        raise ValueError(f"its run lengths do not add up to {height * width} pixels")
    return runs


def unpack_runs(text: bytes) -> NDArray[np.int64]:
    """Read COCO's compressed run lengths (maskApi.c, ``rleFrString``).

    A number is written in groups of 5 bits, the lowest first, each in a character from "0"
    on whose 6th bit says that another follows; the last group's 5th bit is the sign. From
    the fourth number on it is the difference to the number two before.

    Raises:
        ValueError: It is no such text.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    last = (codes & 32) == 0
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or not last[-1]:
        raise ValueError("its run lengths are no text of COCO's")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > 12:  # 60 bits
        raise ValueError("its run lengths are too large")
    places = np.arange(len(codes)) - np.repeat(starts, sizes)
    runs = np.add.reduceat((codes & 31) << 5 * places, starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << 5 * sizes, 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs


def cover(runs: NDArray[np.int64], pixels: int) -> bool:
    """Whether run lengths ``[n]`` are those of a picture with so many pixels."""
    # Each is looked at before they are added: sums of 64 bits go round, and would ask for all memory.
    return bool(runs.min(initial=0) >= 0 and runs.max(initial=0) <= pixels and runs.sum() == pixels)


def run_area(runs: NDArray[np.int64]) -> int:
    """Pixels of a region."""
    return int(runs[1::2].sum())


def run_mask(runs: NDArray[np.int64]) -> tuple[int, NDArray[np.bool_]]:
    """First pixel of a region, counted down the columns, and its mask from there to its last one."""
    inner = runs[1 : len(runs) // 2 * 2]  # without the zeros before and behind it
    ones = np.arange(len(inner)) % 2 == 0
    return int(runs[0]) if len(runs) else 0, np.repeat(ones, inner)


def is_size(height: Any, width: Any) -> bool:
    """Whether values of a JSON are whole numbers from 1 on (its ``true`` is an int to Python)."""
    return all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in (height, width))


def too_many_pixels(height: int, width: int) -> bool:
    """Whether a size is larger than any picture that is read."""
    return height * width > max_pixels()


def outline_problem(points: Sequence[NDArray[np.float64]], height: int, width: int) -> str:
    """Say what keeps an outline from being drawn; nothing where all is well.

    Args:
        points: Arrays of x, y, x, y, ...
        height: Of the picture.
        width: Of the picture.

    Returns:
        ``far``: a point is no number, or so far away that drawing would take forever.
        ``outside``: nothing of it lies in the picture. ``stray``: a part of it does not.
    """
    places = (points[0] if len(points) == 1 else np.concatenate(points)).reshape(-1, 2)
    (left, top), (right, bottom) = places.min(0).tolist(), places.max(0).tolist()
    reach = REACH * max(height, width)
    near = -reach <= left and -reach <= top and right <= width + reach and bottom <= height + reach
    if not near:  # comparisons with nan are false
        return "far"
    if right < 0 or bottom < 0 or left > width or top > height:
        return "outside"
    if min(left, top) < -STRAY or right > width + STRAY or bottom > height + STRAY:
        return "stray"
    return ""
