"""Class indices -> colours: masks, errors and overlays as RGB arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array


def flatten(mask: Array, labels: LabelSpace) -> Array:
    """Turn any mask into one class index per pixel, for painting.

    Args:
        mask: ``[H, W]`` class indices, or ``[K, H, W]`` zeros, ones and ``ignore_index``.
        labels: What they mean.

    Returns:
        ``[H, W]`` int64. Where several labels of a multilabel mask hold, the last one is on top;
        where none holds the value is K, which is painted like no class.
    """
    if mask.ndim == 2:
        return mask.astype(np.int64)
    flat = np.full(mask.shape[1:], labels.num_classes, np.int64)
    for index, present in enumerate(mask):
        flat[present == 1] = index
    flat[mask[0] == labels.ignore_index] = labels.ignore_index
    return flat


def wrong_pixels(target: Array, prediction: Array, labels: LabelSpace) -> Array:
    """Tell where a prediction is wrong: bool ``[H, W]``, False where the target is ignored."""
    wrong = (target != prediction) & (target != labels.ignore_index)
    return wrong if wrong.ndim == 2 else wrong.any(0)


def paint_classes(mask: Array, labels: LabelSpace) -> Array:
    """Paint a mask: uint8 RGB ``[H, W, 3]``, ignored pixels in grey stripes."""
    flat = flatten(mask, labels)
    palette = np.full((max(labels.ignore_index, labels.num_classes) + 1, 3), 32, np.uint8)
    palette[: labels.num_classes] = labels.colors
    return _hatch(palette[flat], flat == labels.ignore_index)


def paint_errors(image: Array, target: Array, prediction: Array, labels: LabelSpace) -> Array:
    """Show wrong pixels on the faded picture, each in the colour of the class predicted there.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        target: ``[H, W]`` or ``[K, H, W]``.
        prediction: As ``target``.
        labels: Names and colours.

    Returns:
        uint8 RGB ``[H, W, 3]``, ignored pixels in grey stripes.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    ground = np.repeat((185 + 0.27 * grey).astype(np.uint8)[..., None], 3, 2)  # pale: class colours stand out
    wrong = wrong_pixels(target, prediction, labels)
    ground[wrong] = paint_classes(prediction, labels)[wrong]
    return _hatch(ground, flatten(target, labels) == labels.ignore_index)


def overlay(image: Array, mask: Array, labels: LabelSpace, opacity: float = 0.5) -> Array:
    """Lay class colours over a picture, with edges in full colour.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        mask: ``[H, W]`` class indices, or ``[K, H, W]`` zeros and ones.
        labels: Names and colours.
        opacity: Share of the class colour, 0..1.

    Returns:
        uint8 RGB ``[H, W, 3]``.
    """
    flat, colors = flatten(mask, labels), paint_classes(mask, labels)
    blended = cv2.addWeighted(np.ascontiguousarray(image), 1 - opacity, colors, opacity, 0)
    nothing = flat == labels.num_classes
    if labels.task == "binary":
        nothing = flat == 0  # the background stays as it is
    blended[nothing] = image[nothing]
    edge = _edges(flat) & ~nothing
    blended[edge] = colors[edge]
    return blended


def _edges(flat: Array) -> Array:
    """Pixels beside another class: one pixel wide, wider in large pictures."""
    edge = np.zeros(flat.shape, bool)
    edge[:, 1:] |= flat[:, 1:] != flat[:, :-1]
    edge[1:] |= flat[1:] != flat[:-1]
    width = max(1, min(flat.shape) // 300)
    return cv2.dilate(edge.astype(np.uint8), np.ones((width, width), np.uint8)).astype(bool)


def _hatch(colors: Array, where: Array) -> Array:
    """Draw grey diagonal stripes over some pixels."""
    height, width = where.shape
    period = max(4, min(height, width) // 24)
    diagonal = (np.arange(height)[:, None] + np.arange(width)) % period
    stripes = np.where(diagonal < period / 2, 70, 110).astype(np.uint8)
    colors[where] = stripes[where][:, None]
    return colors
