"""Were the edges of a mask smoothed: values that no one drew, between those of two regions.

Where a mask is drawn, three pixels in a row or column are rarely three regions; where it was
resized with interpolation, drawn with anti-aliasing or kept as a JPEG, every edge is a ramp:
the pixel in the middle lies between its two neighbours. Of all changes from pixel to pixel,
0 to 3 % are in such ramps in drawn masks (CamVid, nuclei, generated streets, as ids and as
colours), 13 to 75 % in the same masks blurred, resized or compressed.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from segkit.types import Array

BLOCK = np.ones((3, 3), np.uint8)
LARGE = 2**22  # pixels that are looked at: the rest of a larger mask shows nothing new
RAMPS = 0.08  # share of changes in ramps: between the 3 % and the 13 % above
TURNS = 0.45  # share of changes in lone pixels beside the range: 36 % at most in drawn or resized masks
ENOUGH = 50  # changes: fewer say nothing
NOISE = 0.55  # share of neighbours that differ: 10 % in a drawn mask, 67 % and more in noise and photographs


class Texture(Enum):
    """How the edges of a mask look."""

    PLAIN = "plain"
    SMOOTH = "smooth"
    RINGING = "ringing"  # as JPEG leaves them: values below and above those of both sides, too


class Edges(NamedTuple):
    """What happens from pixel to pixel.

    Attributes:
        ramp: ``[H, W]`` bool, the pixel lies between its two neighbours in a row or column,
            three different values, in every colour channel.
        ramps: How often that is, rows and columns counted apart.
        turns: How often a pixel differs from both neighbours in any other way.
        changes: How many pairs of neighbours differ.
        pairs: How many pairs there are.
    """

    ramp: Array
    ramps: int
    turns: int
    changes: int
    pairs: int


def texture(mask: Array) -> Texture:
    """Tell a drawn mask (``[H, W]`` numbers, or uint32 packed colours) from a smoothed one."""
    found = edges(mask[: max(LARGE // max(mask.shape[1], 1), 1)])
    if found.changes < ENOUGH or found.changes > NOISE * found.pairs:
        return Texture.PLAIN
    if found.ramps < RAMPS * found.changes:
        return Texture.PLAIN
    return Texture.RINGING if found.turns > TURNS * found.changes else Texture.SMOOTH


def blended(mask: Array, value: int) -> bool:
    """Whether a value is only a mixture: it fills no 3x3 block, and a third of it lies in ramps."""
    here = mask == value
    solid = cv2.erode(here.astype(np.uint8), BLOCK, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return not solid.any() and bool(edges(mask).ramp[here].mean() >= 1 / 3)


def edges(mask: Array) -> Edges:
    """Look at all rows and columns of a mask (see `texture`)."""
    planes, ramp = _planes(mask), np.zeros(mask.shape, bool)
    ramps = turns = changes = pairs = 0
    for axis in (0, 1):
        # Views of the mask whose first axis is the one looked along.
        values, channels = np.moveaxis(mask, axis, 0), [np.moveaxis(p, axis, 0) for p in planes]
        step = values[1:] != values[:-1]
        lone = step[1:] & step[:-1]
        middle = lone & (values[2:] != values[:-2])
        for c in channels:
            up, down = c[1:] >= c[:-1], c[1:] <= c[:-1]
            middle = middle & ((up[1:] & up[:-1]) | (down[1:] & down[:-1]))
        np.moveaxis(ramp, axis, 0)[1:-1] |= middle
        ramps, turns = ramps + int(middle.sum()), turns + int((lone & ~middle).sum())
        changes, pairs = changes + int(step.sum()), pairs + step.size
    return Edges(ramp, ramps, turns, changes, pairs)


def _planes(mask: Array) -> list[Array]:
    """The numbers, or the three channels of packed colours (`pack_colors` gives uint32)."""
    if mask.dtype != np.uint32:
        return [mask]
    return [(mask >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)]
