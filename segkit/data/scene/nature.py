"""Trees, hedges and bushes of a generated street."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.scene.canvas import NATURE, Canvas, Thing
from segkit.data.scene.texture import Color, colored, ramp

Array = NDArray[Any]
_SIZE = 144  # pixels of a crown's sprite
_Y, _X = np.mgrid[-1 : 1 : _SIZE * 1j, -1 : 1 : _SIZE * 1j].astype(np.float32)
# 255 in the middle, 128 on the unit circle
_DOME = np.clip(255 - 127 * np.sqrt(_X**2 + _Y**2), 0, 255).astype(np.uint8)
# 128 in the middle, brighter above and on the left
_ABOVE = (128 - 46 * _Y - 20 * _X).astype(np.uint8)
_BARK: tuple[Color, ...] = ((64, 52, 42), (88, 78, 66), (50, 44, 40), (104, 98, 90))


class Foliage:
    """Crowns of one scene, painted once and stamped in many sizes.

    Args:
        canvas: The scene; its season gives the colours.
        kinds: How many different crowns.
    """

    def __init__(self, canvas: Canvas, kinds: int = 4) -> None:
        self.canvas = canvas
        crowns = [self._crown() for _ in range(kinds)]
        self.crowns = crowns + [cv2.flip(crown, 1) for crown in crowns]
        self.colors = [self._colors() for _ in range(kinds)]

    def _colors(self) -> tuple[Color, Color]:
        dark, bright = self.canvas.pick(self.canvas.mood.leaves)
        return self.canvas.vary(dark, 8), self.canvas.vary(bright, 14)

    def _crown(self) -> Array:
        canvas = self.canvas
        lumps = cv2.resize(canvas.crop(canvas.cloud, 90, 90), (_SIZE, _SIZE), interpolation=cv2.INTER_LINEAR)
        twigs = cv2.resize(canvas.crop(canvas.grain, 72, 72), (_SIZE, _SIZE), interpolation=cv2.INTER_LINEAR)
        leaf = cv2.addWeighted(lumps, 0.55, twigs, 0.45, 0)
        lit = _ABOVE if canvas.mood.sun > 0 else _ABOVE[:, ::-1]
        light = cv2.addWeighted(leaf, 0.9, np.ascontiguousarray(lit), 1.0, -124)
        edge = cv2.addWeighted(_DOME, 1.0, leaf, 0.75, -0.75 * 128 - canvas.uniform(36, 52))
        return np.maximum(light, 1) * (edge > 127)

    def tree(self, x: float, z: float, height: float) -> Thing:
        """Plan a tree of ``height`` metres at the ground point (x, z)."""
        radius = 0.3 * height
        footprint = (x - radius, x + radius, z - radius, z + radius)
        return Thing(z, lambda: self._paint_tree(x, z, height), footprint, max(5.0, height * 0.9))

    def _paint_tree(self, x: float, z: float, height: float) -> None:
        canvas = self.canvas
        left, ground, scale = canvas.foot(x, z)
        lean = canvas.uniform(-0.25, 0.25) * scale
        bark = canvas.tint(canvas.vary(canvas.pick(_BARK), 10), z)
        top = ground - 0.72 * height * scale
        canvas.line((left, ground), (left + lean, top), (0.1 + 0.022 * height) * scale, bark, NATURE)
        for _ in range(4 if z < 40 else 0):
            start, side = canvas.uniform(0.35, 0.6), canvas.uniform(-0.22, 0.22)
            end = (left + lean + side * height * scale, ground - (start + 0.28) * height * scale)
            fork = (left + lean * start, ground - start * height * scale)
            canvas.line(fork, end, 0.012 * height * scale, bark, NATURE)
        size = canvas.uniform(0.5, 0.72) * height * scale
        look = self._look(z)
        for _ in range(canvas.integer(2, 3) if z < 40 else 1 + (z < 60)):
            dx, dy = canvas.uniform(-0.13, 0.13), canvas.uniform(0.56, 0.8)
            place = left + lean + dx * height * scale, ground - dy * height * scale
            self._stamp(*place, size * canvas.uniform(0.8, 1.15), size * canvas.uniform(0.65, 0.95), look)

    def bush(self, x: float, z: float, width: float, height: float) -> Thing:
        """Plan a bush ``width`` by ``height`` metres at the ground point (x, z)."""

        def paint() -> None:
            left, ground, scale = self.canvas.foot(x, z)
            self._stamp(
                left, ground - 0.42 * height * scale, 1.5 * width * scale, 1.4 * height * scale, self._look(z)
            )

        return Thing(z, paint, (x - width / 2, x + width / 2, z - 0.4, z + 0.4), min(4.0, height))

    def _look(self, z: float) -> Array:
        """Colours of one plant, lit and faded, as a table of `ramp`."""
        dark, bright = self.canvas.pick(self.colors)
        light = self.canvas.uniform(0.8, 1.15)
        return ramp(self.canvas.tint(dark, z, light), self.canvas.tint(bright, z, light), NATURE)

    def _stamp(self, x: float, y: float, width: float, height: float, look: Array) -> None:
        crown = self.canvas.pick(self.crowns)
        self.canvas.stamp(crown, look, x, y, width, height)

    def hedge(self, x: float, z0: float, z1: float, height: float) -> Thing:
        """Plan a hedge along the street at ``x`` from ``z0`` to ``z1``."""

        def paint() -> None:
            canvas = self.canvas
            h, w = 56, int(min(255, max(16, 14 * (z1 - z0))))
            leaf = cv2.addWeighted(
                canvas.crop(canvas.cloud, h, w), 0.5, canvas.crop(canvas.grain, h, w), 0.5, 0
            )
            texture = colored(np.maximum(leaf, 1), self._look((z0 + z1) / 2))
            ragged = canvas.crop(canvas.cloud, 1, w)[0] // 24
            texture[np.arange(h)[:, None] < ragged[None]] = 0
            a, b = (z0, z1) if x < 0 else (z1, z0)
            canvas.warp(texture, canvas.project([(x, height, a), (x, height, b), (x, 0, b), (x, 0, a)]))

        return Thing(z0, paint, (x - 0.4, x + 0.4, z0, z1), height)
