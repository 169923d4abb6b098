"""Connected regions of a label map, and which classes lie near a pixel.

Only numpy and OpenCV are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from segkit.types import Array

WORD = 32  # classes that `near` looks for at a time, each a bit of a number


class Regions(NamedTuple):
    """Connected regions of a label map: neighbours share an edge and a value.

    Attributes:
        ids: ``[H, W]`` int32: the region of each pixel, 1..R; 0 for pixels that are in none.
        value: ``[R + 1]``: the value of each region's pixels; that of region 0 means nothing.
        area: ``[R + 1]`` int64: pixels of each region, 0 for region 0.
    """

    ids: Array
    value: Array
    area: Array


def regions(values: Array, counted: Array) -> Regions:
    """Find all regions of all values at once.

    OpenCV knows regions of a binary picture alone. Here pixels become every second point of a
    larger picture, and the points between two neighbours are set where these share a value: one
    search instead of one for each class.

    Args:
        values: ``[H, W]`` integers.
        counted: ``[H, W]`` bool; pixels where it is False belong to no region.
    """
    height, width = values.shape
    grid = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    grid[::2, ::2] = counted
    grid[::2, 1::2] = (values[:, 1:] == values[:, :-1]) & counted[:, 1:] & counted[:, :-1]
    grid[1::2, ::2] = (values[1:] == values[:-1]) & counted[1:] & counted[:-1]
    number, points = cv2.connectedComponents(grid, connectivity=4, ltype=cv2.CV_32S)
    ids = np.ascontiguousarray(points[::2, ::2])
    value = np.zeros(number, values.dtype)
    value[ids.ravel()] = values.ravel()
    area = np.bincount(ids.ravel(), minlength=number)
    area[0] = 0
    return Regions(ids, value, area)


def near(values: Array, counted: Array, distance: int, where: Array, wanted: Array) -> Array:
    """Tell whether a class lies near a pixel: within a square, as the Boundary IoU measures distance.

    Args:
        values: ``[H, W]`` class indices.
        counted: ``[H, W]`` bool; what lies where it is False is not found.
        distance: Rows and columns that a pixel may be away, in pixels.
        where: ``[n]`` flat positions of the pixels that are asked for.
        wanted: ``[n]`` class indices, of each of these pixels.

    Returns:
        bool ``[n]``.
    """
    found = np.zeros(len(where), bool)
    present = np.unique(wanted)
    for first in range(0, len(present), WORD):
        bit_of = np.zeros(int(np.iinfo(values.dtype).max) + 1, np.uint32)
        word = present[first : first + WORD]
        bit_of[word] = np.uint32(1) << np.arange(len(word), dtype=np.uint32)
        bits = np.where(counted, bit_of[values], np.uint32(0))
        around = _spread(_spread(bits, distance, 1), distance, 0)
        found |= (around.ravel()[where] & bit_of[wanted]) > 0
    return found


def _spread(bits: Array, distance: int, axis: int) -> Array:
    """Bits of all neighbours along an axis, in steps that double: 5 of them look 16 pixels far."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (distance, distance)
    spread = np.pad(bits, pad)
    length, reach = spread.shape[axis], 1
    while reach < 2 * distance + 1:
        step = min(reach, 2 * distance + 1 - reach)
        length -= step
        cut = [slice(None), slice(None)]
        moved = [slice(None), slice(None)]
        cut[axis], moved[axis] = slice(0, length), slice(step, None)
        spread = spread[tuple(cut)] | spread[tuple(moved)]
        reach += step
    return spread
