"""Colours and textures of the street painter: four bytes a pixel, red, green, blue and file id + 1.

A pixel of zeros is a hole.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Color = tuple[float, float, float]
Point = tuple[float, float]

SHIFT = 3  # binary places of a coordinate given to OpenCV's drawing
_STEPS = np.linspace(0, 1, 256)[:, None]


def clip(color: Color) -> tuple[int, int, int]:
    """Round a colour to bytes."""
    r, g, b = color
    return (
        0 if r < 0 else 255 if r > 255 else int(r),
        0 if g < 0 else 255 if g > 255 else int(g),
        0 if b < 0 else 255 if b > 255 else int(b),
    )


def fixed(points: Iterable[Point]) -> Array:
    """Return points as the fixed-point numbers ``[N, 2]`` int32 that OpenCV's drawing wants."""
    one = 1 << SHIFT
    return np.array([(int(x * one), int(y * one)) for x, y in points], np.int32)


def ramp(dark: Color, light: Color, label: int) -> Array:
    """Return the table ``[256]`` uint32 that paints noise from dark to light; noise 0 is a hole."""
    table = np.empty((256, 4), np.uint8)
    start, end = np.array(dark), np.array(light)
    table[:, :3] = np.clip(start + _STEPS * (end - start), 0, 255)
    table[:, 3] = label + 1
    table[0] = 0
    return table.view(np.uint32)[:, 0]


def colored(noise: Array, table: Array) -> Array:
    """Paint noise ``[h, w]`` uint8 with a table of `ramp`: a texture ``[h, w, 4]``."""
    return np.take(table, noise, mode="clip").view(np.uint8).reshape(*noise.shape, 4)


def plain(rows: int, columns: int, pixel: tuple[int, int, int, int]) -> Array:
    """Return a texture ``[rows, columns, 4]`` of one colour and label."""
    packed = np.array(pixel, np.uint8).view(np.uint32)[0]
    return np.full((rows, columns), packed).view(np.uint8).reshape(rows, columns, 4)


def fractal(grain: Array) -> Array:
    """Sum a noise field ``[256, 256]`` over six scales: uint8 of the same shape, mean 128, deviation 48."""
    total: Array = np.zeros((4, 4), np.float32)
    for level in range(6):  # 8, 16, ... 256 cells on a side, each weaker than the one before
        cells = 8 << level
        total = cv2.resize(total, (cells, cells), interpolation=cv2.INTER_LINEAR)
        if level < 5:
            total = total + np.float32(0.72**level) * grain[cells : 2 * cells, :cells]
    return np.clip(128 + 48 / total.std() * (total - total.mean()), 0, 255).astype(np.uint8)
