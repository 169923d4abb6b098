"""How far the borders of two label maps lie apart. Neither torch nor a network is needed.

A *contour pixel* of a class is a pixel of it with a neighbour (above, below, left or right) of
another class. A mask's inner pixel layer is thus its contour, as in MONAI and DeepMind's
surface-distance; unlike there,

- the picture's frame is no contour: where an object leaves the picture, nobody has drawn a
  border. MONAI, torchmetrics and Cheng et al.'s own code take the frame as one, which
  target and prediction then share for nothing;
- ignored pixels belong to no class, and a border to them is none: where it runs is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from segkit.types import Array

__all__ = [
    "DISTANCES",
    "NUMBERS",
    "SCORES",
    "Measured",
    "Widths",
    "borders",
    "compare",
    "distance_to",
    "surface_distances",
]

SCORES = ("boundary_f1", "boundary_iou", "trimap_iou", "surface_dice")  # 0..1, more is better
DISTANCES = ("hausdorff", "hd95", "assd")  # pixels, less is better
NUMBERS = (*SCORES, *DISTANCES)
SPARSE = 32  # a tree is faster than a distance transform where fewer than one pixel in so many is asked


class Widths(NamedTuple):
    """How near is near, all in pixels.

    Attributes:
        boundary: Tolerance of the boundary F1; a contour pixel at just this distance is near.
        surface: The same for the surface Dice.
        band: Width of the band inside a mask that the boundary IoU looks at: the pixels that
            are nearer than this to a contour pixel, so that 1 is the contour alone and 2 is
            two pixels thick along straight borders, as in Cheng et al.'s code (which measures
            along rows, columns and diagonals: it differs at corners and on slopes).
        trimap: Width on either side of the target's borders that the trimap IoU looks at,
            as ``band``.
    """

    boundary: float
    surface: float
    band: float
    trimap: float


class Measured(NamedTuple):
    """What was measured on a picture.

    Attributes:
        score: ``[K, 7]`` float64, the numbers that `NUMBERS` names: scores 0..1, distances in
            pixels. A class that only one of target and prediction shows has the worst values,
            0 and the diagonal of the picture; nan where there is nothing to measure: neither
            shows the class, or both do and the target has no border of it.
        shown: ``[K, 2]`` bool: whether target and prediction show the class.
        trimap: ``[K, 3]`` int64: true positives, false positives and false negatives within
            the trimap.
    """

    score: Array
    shown: Array
    trimap: Array


def compare(target: Array, prediction: Array, counted: Array, num_classes: int, widths: Widths) -> Measured:
    """Measure every class of a picture.

    Args:
        target: ``[H, W]`` class indices.
        prediction: ``[H, W]`` class indices.
        counted: ``[H, W]`` bool: where neither is ignored.
        num_classes: K.
        widths: How near is near.
    """
    sizes = [np.bincount(labels[counted], minlength=num_classes) for labels in (target, prediction)]
    shown = np.stack(sizes, 1) > 0
    edges = [borders(labels, counted) for labels in (target, prediction)]
    to_target = distance_to(edges[0])
    trimap = _trimap(target, prediction, counted & (to_target < widths.trimap), num_classes)
    bands = [counted & (near < widths.band) for near in (to_target, distance_to(edges[1]))]
    inner = _band_iou(target, prediction, bands, num_classes)
    points = [
        _by_class(labels, edge, num_classes) for labels, edge in zip((target, prediction), edges, strict=True)
    ]
    score = np.full((num_classes, len(NUMBERS)), np.nan)
    worst = [0.0] * len(SCORES) + [float(np.hypot(*target.shape))] * len(DISTANCES)
    for c in np.flatnonzero(shown.any(1)):
        real, claimed = points[0][c], points[1][c]
        if not shown[c].all() or (len(real) and not len(claimed)):
            score[c] = worst
        elif len(real):
            distances = surface_distances(real, claimed)
            trimap_iou = trimap[c, 0] / trimap[c].sum()  # the target's contour is in it
            score[c] = (
                _f1(*distances, widths.boundary),
                inner[c],
                trimap_iou,
                (np.concatenate(distances) <= widths.surface).mean(),
                *_summary(*distances),
            )
    return Measured(score, shown, trimap)


def borders(labels: Array, counted: Array) -> Array:
    """Contour pixels of all classes of a label map: ``[H, W]`` bool.

    Args:
        labels: ``[H, W]`` class indices.
        counted: ``[H, W]`` bool: where they are not ignored.
    """
    edge = np.zeros(labels.shape, bool)
    across = (labels[1:] != labels[:-1]) & counted[1:] & counted[:-1]
    along = (labels[:, 1:] != labels[:, :-1]) & counted[:, 1:] & counted[:, :-1]
    edge[1:] |= across
    edge[:-1] |= across
    edge[:, 1:] |= along
    edge[:, :-1] |= along
    return edge


def distance_to(points: Array) -> Array:
    """Exact Euclidean distance of every pixel to the nearest of some, in pixels.

    Args:
        points: ``[H, W]`` bool.

    Returns:
        ``[H, W]`` float32; infinite where there is no point at all.
    """
    if not points.any():
        return np.full(points.shape, np.inf, np.float32)
    return cv2.distanceTransform((~points).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def surface_distances(one: Array, other: Array) -> tuple[Array, Array]:
    """Distance of each pixel of a contour to the nearest of another, both ways.

    Args:
        one: ``[n, 2]`` (row, column) of contour pixels, n > 0.
        other: ``[m, 2]``, m > 0.

    Returns:
        ``[n]`` and ``[m]`` float64, in pixels; exact, except that beyond 2,000 pixels the
        transform, which dense contours need, may be off by 0.001.
    """
    low = np.minimum(one.min(0), other.min(0))
    size = np.maximum(one.max(0), other.max(0)) - low + 1
    if (len(one) + len(other)) * SPARSE < size.prod():
        return KDTree(other).query(one)[0], KDTree(one).query(other)[0]
    return _nearest(one - low, other - low, size), _nearest(other - low, one - low, size)


def _nearest(asked: Array, points: Array, size: Array) -> Array:
    """The same one way, by the distance transform of the box that holds both."""
    there = np.zeros(size, bool)
    there[points[:, 0], points[:, 1]] = True
    found = distance_to(there)[asked[:, 0], asked[:, 1]].astype(np.float64)
    return np.sqrt(np.rint(found * found))  # squares are whole numbers: float32's rounding is undone


def _by_class(labels: Array, edge: Array, num_classes: int) -> list[Array]:
    """Contour pixels ``[n, 2]`` (row, column) of each class."""
    points = np.argwhere(edge)
    of = labels[edge]
    order = np.argsort(of, kind="stable")
    ends = np.bincount(of, minlength=num_classes).cumsum()[:-1]
    return np.split(points[order], ends)


def _trimap(target: Array, prediction: Array, near: Array, num_classes: int) -> Array:
    """Counts of each class among the pixels of ``near``: ``[K, 3]`` int64."""
    real, claimed = target[near], prediction[near]
    hit = np.bincount(real[real == claimed], minlength=num_classes)
    size, claims = (np.bincount(labels, minlength=num_classes) for labels in (real, claimed))
    return np.stack([hit, claims - hit, size - hit], 1)


def _band_iou(target: Array, prediction: Array, bands: list[Array], num_classes: int) -> Array:
    """IoU of the bands inside the masks of each class: ``[K]``; 0 for a class without any.

    The nearest border may be that of another class only where ignored pixels lie between.
    """
    size, claims = (
        np.bincount(labels[band], minlength=num_classes)
        for labels, band in zip((target, prediction), bands, strict=True)
    )
    both = bands[0] & bands[1] & (target == prediction)
    hit = np.bincount(target[both], minlength=num_classes)
    return hit / np.maximum(size + claims - hit, 1)


def _f1(of_target: Array, of_prediction: Array, tolerance: float) -> float:
    """Harmonic mean of the shares of both contours that lie near the other."""
    recall, precision = (of_target <= tolerance).mean(), (of_prediction <= tolerance).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _summary(of_target: Array, of_prediction: Array) -> tuple[float, float, float]:
    """Hausdorff distance, its 95 % form, and the average of all distances."""
    both = of_target, of_prediction
    return (
        float(max(d.max() for d in both)),
        float(max(np.percentile(d, 95) for d in both)),
        float((of_target.sum() + of_prediction.sum()) / (len(of_target) + len(of_prediction))),
    )
