"""How far the borders of a mask lie from those of its picture, in parts of a pixel.

A picture of blocks shows its mask: every class has a colour of its own. Where the mask
changes from one class to another, the picture must change its colour; the place where it is
half way between both colours is found to parts of a pixel, whatever has been done to
brightness, contrast and colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from segkit.types import Array

REACH = 4  # pixels that are looked at on each side of a border
NEAR = 1.5  # pixels; three roundings to whole pixels (crop, warp, warp) stay below it
BLOCK = (16, 30)  # smallest and largest side of a block, in source pixels
FAINT = 0.1  # of the picture's own contrast: less is no border
# Any two differ in two channels, in brightness too; no mixture of them is its own negative.
COLORS = np.array([(40, 40, 40), (40, 215, 215), (215, 40, 215), (215, 215, 40)], np.uint8)


class Found(NamedTuple):
    """Borders of one augmented sample.

    Attributes:
        offset: (rows, columns), how far the picture's borders lie below and right of the mask's,
            on average over the near ones, in pixels; nan where there are too few.
        far: Share of the mask's borders, 0..1, where the picture has none within `NEAR` pixels.
    """

    offset: tuple[float, float]
    far: float


def blocks(height: int, width: int, values: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw a picture of blocks, and what each block is.

    Args:
        height: Of the picture, in pixels.
        width: The same.
        values: What the blocks are drawn from; at most four.
        rng: Where the randomness comes from.

    Returns:
        Image ``[height, width, 3]`` uint8, and ``[height, width]`` of ``values``' type. One value
        has one colour.
    """
    rows, columns = _steps(height, rng), _steps(width, rng)
    grid = rng.integers(0, len(values), (rows[-1] + 1, columns[-1] + 1))
    drawn = grid[rows][:, columns]
    return rng.permutation(COLORS)[drawn], values[drawn]


def _steps(length: int, rng: np.random.Generator) -> Array:
    """Number of the block that each pixel of an axis is in."""
    ends = np.cumsum(rng.integers(*BLOCK, length // BLOCK[0] + 1))
    return np.searchsorted(ends[ends < length - BLOCK[0] // 2], np.arange(length), side="right")


def borders(image: Array, mask: Array, ignore_index: int) -> Found:
    """Compare the borders of an augmented picture of blocks with those of its mask.

    Args:
        image: ``[H, W, 3]`` uint8, or int16 as the difference of two pictures.
        mask: ``[H, W]`` class indices; ``ignore_index`` where nothing is to be compared.
        ignore_index: See ``mask``.
    """
    along_rows = _offsets(image, mask, ignore_index)
    along_columns = _offsets(image.swapaxes(0, 1), mask.T, ignore_index)
    offsets = np.concatenate([along_rows, along_columns])
    near = [a[np.abs(a) <= NEAR + 1] for a in (along_columns, along_rows)]
    mean = [float(a.mean()) if len(a) >= 20 else float("nan") for a in near]
    far = float((~(np.abs(offsets) <= NEAR)).mean()) if len(offsets) else 0.0
    return Found((mean[0], mean[1]), far)


def _offsets(image: Array, mask: Array, ignore_index: int) -> Array:
    """Image border minus mask border, in pixels along the rows; nan where the image has none."""
    seen = sliding_window_view(mask, 2 * REACH, axis=1)
    left, right = seen[..., :REACH], seen[..., REACH:]
    plain = (left == left[..., :1]).all(2) & (right == right[..., :1]).all(2)
    differ = (
        (left[..., 0] != right[..., 0]) & (left[..., 0] != ignore_index) & (right[..., 0] != ignore_index)
    )
    rows, columns = np.nonzero(plain & differ)
    profile = image[rows[:, None], columns[:, None] + np.arange(2 * REACH)].astype(np.float32)
    start, end = profile[:, :2].mean(1), profile[:, -2:].mean(1)
    change = end - start
    strength = (change**2).sum(1)
    visible = strength > (FAINT * np.linalg.norm(image.std((0, 1)) * 2)) ** 2
    # 0 on the left, 1 on the right: the part that is still "left" ends where the border is.
    way = ((profile - start[:, None]) * change[:, None]).sum(2) / np.maximum(strength, 1)[:, None]
    return np.where(visible, (1 - way).sum(1) - REACH, np.nan)
