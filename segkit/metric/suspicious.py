"""Regions where a network that is sure of itself disagrees with the label: perhaps the label is wrong.

The idea is that of Northcutt et al. 2021 ("Confident Learning: Estimating Uncertainty in Dataset
Labels"): confident disagreement points at label faults. Here it is asked of regions, since
pixels are not labelled one by one, and away from borders, which no two annotators draw alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import find_objects

from segkit.metric.errors import KINDS, RIGHT, Division
from segkit.metric.regions import regions

if TYPE_CHECKING:
    from segkit.types import Array

# Of a row, after the index of the image.
FIELDS = ("target", "prediction", "top", "left", "height", "width", "pixels", "confidence")


def disagreements(
    target: Array, prediction: Array, division: Division, least: float, confidence: Callable[[], Array]
) -> Array:
    """List the regions of one pair of classes where prediction and target differ.

    Pixels of the boundary band belong to none.

    Args:
        target: ``[H, W]`` class indices.
        prediction: ``[H, W]`` class indices.
        division: Of this picture.
        least: Pixels that a region needs.
        confidence: Gives the probability of what was predicted, ``[H, W]``; called only where
            there is a region, since it costs more than all the rest.

    Returns:
        ``[m, 8]`` float64 rows of `FIELDS`; confidence is the mean over the region.
    """
    doubted = (division.kind != RIGHT) & (division.kind != KINDS.index("boundary"))
    if np.count_nonzero(doubted) < least:
        return np.zeros((0, len(FIELDS)))
    pairs = target.astype(np.int32) << 16 | prediction  # class indices have 16 bits
    found = regions(pairs, doubted)
    large = np.flatnonzero(found.area >= max(1, least))
    if not len(large):
        return np.zeros((0, len(FIELDS)))
    renamed = np.zeros(len(found.area), np.int32)
    renamed[large] = np.arange(1, len(large) + 1)
    ids, sure = renamed[found.ids], confidence()
    rows = [
        (box[0].start, box[1].start, box[0].stop - box[0].start, box[1].stop - box[1].start,
         found.area[large[i]], sure[box][ids[box] == i + 1].mean(dtype=np.float64))
        for i, box in enumerate(find_objects(ids))
    ]  # fmt: skip
    return np.column_stack([found.value[large] >> 16, found.value[large] & 0xFFFF, np.array(rows)])


def score(rows: Array, confidence: float) -> Array:
    """Rank of rows of `FIELDS`: how far above ``confidence`` the network is, times the region's size.

    ``(mean confidence - confidence) / (1 - confidence) * sqrt(pixels)``: ``[m]``, negative where the
    network is not that sure. The root is the length of a side: a region of four times the area
    counts twice.
    """
    return (rows[..., -1] - confidence) / (1 - confidence) * np.sqrt(rows[..., -2])


def ranked(rows: Array, scores: Array, most: int) -> Array:
    """Positions of the ``most`` rows with the largest scores that are not negative, best first.

    Equal scores are in the order of the other columns, so that nothing depends on the order of
    the rows.
    """
    order = np.lexsort([*rows.T[::-1], -scores])
    return order[scores[order] >= 0][:most]


def words(least: str, confidence: float) -> dict[str, str]:
    """What the regions and their score mean, for a least area in words and a confidence."""
    return {
        "suspicious": "regions outside the boundary band where one class is predicted and another one is the "
        f"label, of at least {least}, with a mean confidence of at least {confidence:g}",
        "score": f"(mean confidence - {confidence:g}) / {1 - confidence:g} x square root of the pixels",
    }
