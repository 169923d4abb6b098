"""Class colours that people with a colour vision deficiency can tell apart."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]

# Okabe & Ito 2008, "Color Universal Design", without black (that is the ignored pixel).
OKABE_ITO: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
# Linear RGB as it is seen with full vision, without red cones and without green cones
# (Machado, Oliveira & Fernandes 2009, table 1, severity 1.0).
VISIONS = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ],
    np.float32,
)


def seen(colors: NDArray[Any]) -> NDArray[np.float32]:
    """CIE L*a*b* of ``[n, 3]`` RGB colours (0..255) under each of the three visions: ``[3, n, 3]``."""
    srgb = colors.astype(np.float32) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    simulated = np.einsum("vij,nj->vni", VISIONS, linear).clip(0, 1).astype(np.float32)
    return np.asarray(cv2.cvtColor(simulated, cv2.COLOR_LRGB2Lab), np.float32)


@lru_cache(maxsize=8)
def safe_colors(count: int) -> tuple[Color, ...]:
    """Return ``count`` colours: Okabe and Ito's seven, then always the one farthest from all before.

    The distance between two colours is the smallest that any of the three visions sees.
    Beyond 200 colours nothing is distinct, and they repeat.
    """
    grid = np.array(list(itertools.product(range(0, 256, 32), repeat=3)))
    lightness = seen(grid)[0, :, 0]
    grid = grid[(lightness > 25) & (lightness < 92)]  # neither lost on black nor on white
    chosen = list(OKABE_ITO)
    candidates = seen(grid)
    distance = np.full(len(grid), np.inf, np.float32)
    for color in ((0, 0, 0), *chosen):
        distance = np.minimum(distance, _distance(candidates, color))
    while len(chosen) < min(count, 200):
        red, green, blue = (int(v) for v in grid[distance.argmax()])
        chosen.append((red, green, blue))
        distance = np.minimum(distance, _distance(candidates, chosen[-1]))
    return tuple(itertools.islice(itertools.cycle(chosen), count))


def _distance(candidates: NDArray[np.float32], color: Color) -> NDArray[np.float32]:
    return np.asarray(np.linalg.norm(candidates - seen(np.array([color])), axis=2).min(0), np.float32)
