"""Bring an image and its target to another size, so that both show the same place.

Training and evaluation use the same functions, hence the same pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from segkit.types import Array


class Window(NamedTuple):
    """A rectangle of the source, in its pixels; it may reach beyond the picture.

    Attributes:
        top: First row, negative where the window begins above the picture.
        left: First column, negative where it begins left of the picture.
        height: Rows, at least 1.
        width: Columns, at least 1.
    """

    top: int
    left: int
    height: int
    width: int


def stretch(image: Array, size: tuple[int, int]) -> Array:
    """Resize an image: mean over the covered area when shrinking, bilinear when enlarging.

    Args:
        image: ``[H, W, 3]`` (or ``[H, W]``) uint8.
        size: (height, width) of the result, in pixels.

    Returns:
        ``[*size, 3]`` uint8, always a new array. Each axis is treated by itself: 360x480 to
        256x512 first shrinks the rows, then enlarges the columns, because OpenCV's area
        mode averages nothing once one of the axes grows.
    """
    height, width = size
    old_height, old_width = image.shape[:2]
    if height < old_height or width < old_width:
        smaller = (min(width, old_width), min(height, old_height))
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        if smaller == (width, height):
            return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def stretch_target(target: Array, size: tuple[int, int]) -> Array:
    """Resize a target: every pixel takes the value of the nearest source pixel.

    Args:
        target: ``[H, W]`` or ``[H, W, K]``, uint8 or uint16.
        size: (height, width) of the result, in pixels.

    Returns:
        ``[*size]`` or ``[*size, K]`` of the same type, always a new array.
    """
    # INTER_NEAREST takes the corner of a pixel instead of its centre: it moves the target
    # against the image by up to half a source pixel when enlarging, more when shrinking.
    planes = [target] if target.ndim == 2 else np.split(target, range(64, target.shape[2], 64), axis=2)
    resized = [cv2.resize(p, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT) for p in planes]
    if target.ndim == 2:
        return resized[0]
    return np.concatenate([p.reshape(*size, -1) for p in resized], axis=2)  # OpenCV drops an axis of one


def cut(
    image: Array, target: Array, window: Window, size: tuple[int, int], ignore_index: int
) -> tuple[Array, Array]:
    """Cut a window out of image and target and stretch it to ``size``.

    Args:
        image: ``[H, W, 3]`` uint8.
        target: ``[H, W]`` or ``[H, W, K]``, uint8 or uint16.
        window: The part of the source that fills the result.
        size: (height, width) of the result, in pixels.
        ignore_index: Value of the target outside the picture; the image is black there.

    Returns:
        Image ``[*size, 3]`` and target ``[*size]`` or ``[*size, K]``; new arrays.
    """
    rows, to_rows = _overlap(window.top, window.height, target.shape[0], size[0])
    columns, to_columns = _overlap(window.left, window.width, target.shape[1], size[1])
    inner = (to_rows.stop - to_rows.start, to_columns.stop - to_columns.start)
    small_image = stretch(image[rows, columns], inner)
    small_target = stretch_target(target[rows, columns], inner)
    if inner == tuple(size):
        return small_image, small_target
    new_image = np.zeros((*size, *image.shape[2:]), image.dtype)
    new_target = np.full((*size, *target.shape[2:]), ignore_index, target.dtype)
    new_image[to_rows, to_columns] = small_image
    new_target[to_rows, to_columns] = small_target
    return new_image, new_target


def _overlap(start: int, length: int, source: int, size: int) -> tuple[slice, slice]:
    """Return the part of an axis that lies in the source, and where it lies in the result."""
    first, last = max(start, 0), min(start + length, source)
    begin = round((first - start) * size / length)
    end = round((last - start) * size / length)
    begin = min(begin, size - 1)
    return slice(first, last), slice(begin, max(end, begin + 1))
