"""How well objects are found, by their size: sums that add up over pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from segkit.metric.errors import Division

if TYPE_CHECKING:
    from segkit.types import Array

COUNTED = ("objects", "found", "pixels", "hits")  # of the last axis of the counts
FOUND = 0.5  # share of an object that must be predicted as its class


def by_size(division: Division, num_classes: int, limits: Sequence[float]) -> tuple[Array, Array]:
    """Sum over the objects of each class and size.

    An object is a region of the target (`segkit.metric.regions.regions`).

    Args:
        division: Of the picture.
        num_classes: K.
        limits: Areas in pixels, ascending, at which the next size begins; B - 1 of them.

    Returns:
        ``[K, B, 4]`` int64 (objects; those of which at least half is predicted as their class;
        their pixels; those that are predicted as their class) and ``[K, B]`` float64, the sum
        of each object's IoU with the union of the predicted regions of its class that overlap it.
    """
    real, hits = division.real, division.real_hits
    buckets = len(limits) + 1
    place = real.value[1:].astype(np.int64) * buckets + np.digitize(real.area[1:], limits)
    area, hit = real.area[1:], hits[1:]
    shape, size = (num_classes, buckets), num_classes * buckets
    counts = np.zeros((size, len(COUNTED)), np.int64)
    np.add.at(counts, place, np.stack([np.ones_like(area), hit >= FOUND * area, area, hit], 1))
    iou = np.bincount(place, hit / (area + _claimed_area(division) - hit), minlength=size)
    return counts.reshape(*shape, len(COUNTED)), iou.reshape(shape)


def _claimed_area(division: Division) -> Array:
    """Pixels of all predicted regions of an object's class that overlap it: ``[R]``."""
    hits, real, claimed = division.hits, division.real, division.claimed
    pair = real.ids[hits].astype(np.int64) * len(claimed.area) + claimed.ids[hits]
    # Neighbours are mostly the same pair: sorting what is left is a hundred times less work.
    pair = np.unique(pair[np.diff(pair, prepend=-1) != 0])
    theirs = claimed.area[pair % len(claimed.area)]
    area = np.zeros(len(real.area), np.int64)
    np.add.at(area, pair // len(claimed.area), theirs)
    return area[1:]


def words(shares: bool) -> dict[str, str]:
    """What the numbers of objects mean; ``shares``: limits are shares of the picture."""
    return {
        "size": "objects are regions of the target; from, to: their area "
        + ("as a share of the picture's" if shares else "in pixels"),
        "found": f"objects of which at least {100 * FOUND:g} % is predicted as their class",
        "recall": "share of the pixels of the objects that is predicted as their class",
        "iou": "mean over objects of the IoU with all predicted regions of the class that overlap the object",
    }
