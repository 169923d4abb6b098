"""Wrong pixels divided into four kinds, so that every one of them is in exactly one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segkit.metric.regions import Regions, near, regions

if TYPE_CHECKING:
    from segkit.types import Array

KINDS = ("boundary", "missed", "invented", "confused")
RIGHT = len(KINDS)  # in `Division.kind`: no error, or not counted


class Division(NamedTuple):
    """What a picture's pixels are, and the regions that this was decided with.

    Attributes:
        kind: ``[H, W]`` uint8: position in `KINDS`, or `RIGHT` where nothing is wrong or the
            target is ignored.
        real: Regions of the target, ignored pixels in none.
        claimed: Regions of the prediction, pixels that the target ignores in none.
        hits: ``[H, W]`` bool, counted pixels that are right.
        real_hits: Right pixels of each region of the target: ``[R + 1]`` int64.
    """

    kind: Array
    real: Regions
    claimed: Regions
    hits: Array
    real_hits: Array


def divide(target: Array, prediction: Array, counted: Array, distance: int, share: float) -> Division:
    """Give every wrong pixel its kind.

    The first that applies:

    1. *boundary*: within ``distance`` the target has the predicted class and the prediction has
       the target's class: a border between the two that lies a little off.
    2. Otherwise it depends on the region of the target and the region of the prediction that
       the pixel lies in. A region of the target is *found* if at least ``share`` of it is
       predicted as its class; a region of the prediction is *real* if at least ``share`` of it
       is that class in the target. *missed*: not found, but the prediction is real (what
       lies beside the object was drawn over it). *invented*: found, but the prediction is not real.
    3. *confused*: all others: neither (the region is seen, under another name) or both (a part
       of a region, far from where the border is).

    The idea, to ask what an error is for, follows TIDE (Bolya et al. 2020, "TIDE: A General Toolbox
    for Identifying Object Detection Errors"), which does it for boxes.

    Args:
        target: ``[H, W]`` class indices.
        prediction: ``[H, W]`` class indices of the same type.
        counted: ``[H, W]`` bool, False where the target is ignored.
        distance: Width of the boundary band on each side, in pixels.
        share: Of a region, 0..1.
    """
    hits = counted & (target == prediction)
    wrong = np.flatnonzero(counted & ~hits)
    real, claimed = regions(target, counted), regions(prediction, counted)
    real_hits, claimed_hits = _inside(real, hits), _inside(claimed, hits)
    found = (real_hits >= share * real.area)[real.ids.ravel()[wrong]]
    true = (claimed_hits >= share * claimed.area)[claimed.ids.ravel()[wrong]]
    ours, theirs = target.ravel()[wrong], prediction.ravel()[wrong]
    border = near(target, counted, distance, wrong, theirs) & near(prediction, counted, distance, wrong, ours)
    kind = np.full(target.shape, RIGHT, np.uint8)
    kind.ravel()[wrong] = np.select([border, ~found & true, found & ~true], [0, 1, 2], 3)
    return Division(kind, real, claimed, hits, real_hits)


def by_class(division: Division, classes: Array, num_classes: int) -> Array:
    """Count the kinds for each class of ``classes`` ``[H, W]``: ``[num_classes, 4]`` int64."""
    wrong = division.kind != RIGHT
    code = classes[wrong].astype(np.int64) * len(KINDS) + division.kind[wrong]
    return np.bincount(code, minlength=num_classes * len(KINDS)).reshape(num_classes, len(KINDS))


def _inside(of: Regions, where: Array) -> Array:
    """Pixels of each region where something holds: ``[R + 1]`` int64."""
    return np.bincount(of.ids[where], minlength=len(of.area))


def words(distance: str, share: float) -> dict[str, str]:
    """What the kinds mean, for a distance in words and a share."""
    percent = f"{100 * share:g} %"
    return {
        "boundary": "wrong pixels with the predicted class in the target and the target's class in the "
        f"prediction, both at most {distance} away (rows and columns)",
        "missed": f"other wrong pixels in a region of the target of which less than {percent} is predicted "
        "as its class, where what is predicted belongs to a region that is real (see invented)",
        "invented": f"other wrong pixels in a predicted region of which less than {percent} is that class "
        "in the target, where the target's region was found (see missed)",
        "confused": "all other wrong pixels: regions seen under another name, and parts of regions",
        "total": "all wrong pixels: the sum of the four kinds, each pixel being in one",
        "errors_per_class": "by the class of the target",
        "errors_per_prediction": "by the class that was predicted",
    }
