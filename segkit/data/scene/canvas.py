"""What the street painter paints on: a pinhole camera over pixels that carry colour and label.

Colour and label share one four-channel picture, so that every stroke sets both and their
edges cannot disagree. It is twice the wanted size; the colours are averaged at the end.
World axes in metres: X to the right of the camera, Y up from the road, Z forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.scene.mood import Mood, draw_mood
from segkit.data.scene.texture import SHIFT, Color, Point, clip, colored, fixed, fractal

Array = NDArray[Any]
Point3 = tuple[float, float, float]

VOID, FLAT, CONSTRUCTION, OBJECT, NATURE, SKY, HUMAN, VEHICLE = range(8)
GRASS = 8  # nature that lies flat; only while painting
IGNORE = 255
SUPERSAMPLE = 2
NEAR = 0.6  # metres; nearer points are pulled to this depth


class Thing(NamedTuple):
    """Something standing on the ground, painted from far to near.

    Attributes:
        z: Distance of its foot, metres.
        paint: Paints it.
        footprint: ``(x0, x1, z0, z1)`` on the ground, metres, for its shadow; may be empty.
        height: Height, metres; sets the length of the shadow.
    """

    z: float
    paint: Callable[[], None]
    footprint: tuple[float, float, float, float] | tuple[()] = ()
    height: float = 0.0


@dataclass
class Canvas:
    """Pixels, camera, weather and randomness of one scene.

    Attributes:
        rng: The scene's only source of randomness.
        height: Height of the finished picture, pixels.
        width: Width of the finished picture, pixels.
        mood: Weather and light.
        pixels: ``[2 height, 2 width, 4]`` uint8: RGB and file id + 1, as in every texture.
        grain: ``[256, 256]`` uint8, white noise.
        cloud: ``[256, 256]`` uint8, noise with structure at every scale, mean 128.
        focal: Focal length in pixels of `pixels`.
        center: Vanishing point of the road ``(x, y)`` in pixels of `pixels`.
        eye: Height of the camera over the road, metres.
    """

    rng: np.random.Generator
    height: int
    width: int
    mood: Mood = field(init=False)
    pixels: Array = field(init=False)
    grain: Array = field(init=False)
    cloud: Array = field(init=False)
    focal: float = field(init=False)
    center: tuple[float, float] = field(init=False)
    eye: float = field(init=False)
    _drawn: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        rows, columns = SUPERSAMPLE * self.height, SUPERSAMPLE * self.width
        self.mood = draw_mood(self.rng)
        self.pixels = np.zeros((rows, columns, 4), np.uint8)
        self.grain = np.frombuffer(self.rng.bytes(1 << 16), np.uint8).reshape(256, 256)
        self.cloud = fractal(self.grain)
        self.focal = self.uniform(0.85, 1.1) * (2 * rows * columns) ** 0.5
        self.center = columns * self.uniform(0.36, 0.64), rows * self.uniform(0.34, 0.45)
        self.eye = self.uniform(1.2, 1.7)

    def random(self) -> float:
        """Draw a number between 0 and 1."""
        if not self._drawn:  # many at once: a scene takes some two thousand
            self._drawn = self.rng.random(1024).tolist()
        return self._drawn.pop()

    def uniform(self, low: float, high: float) -> float:
        """Draw a number between ``low`` and ``high``."""
        return low + (high - low) * self.random()

    def integer(self, low: int, high: int) -> int:
        """Draw a whole number from ``low`` to ``high``, both included."""
        return low + int(self.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Toss a coin that falls on true with ``probability``."""
        return self.random() < probability

    def pick(self, choices: Sequence[Any]) -> Any:
        """Draw one of ``choices``."""
        return choices[int(self.random() * len(choices))]

    def vary(self, color: Color, amount: float = 18) -> Color:
        """Draw a colour near ``color``: a shift of the brightness and a smaller one of the hue."""
        shift = self.uniform(-amount, amount)
        r, g, b = color
        third = amount / 3
        return (r + shift + self.uniform(-third, third), g + shift + self.uniform(-third, third),
                b + shift + self.uniform(-third, third))  # fmt: skip

    def project(self, points: Iterable[Point3]) -> list[Point]:
        """Project world points (X, Y, Z; metres) to canvas pixels (x, y)."""
        (cx, cy), focal, eye = self.center, self.focal, self.eye
        pixels = []
        for x, y, z in points:  # a handful each time: faster than an array
            scale = focal / (z if z > NEAR else NEAR)
            pixels.append((cx + x * scale, cy + (eye - y) * scale))
        return pixels

    def foot(self, x: float, z: float) -> tuple[float, float, float]:
        """Return canvas x and y of the ground point (x, z) and pixels per metre there."""
        scale = self.focal / max(z, NEAR)
        return self.center[0] + x * scale, self.center[1] + self.eye * scale, scale

    def tint(self, color: Color, z: float, light: float = 1.0) -> Color:
        """Light ``color`` and let the air between it and the camera blend it away."""
        keep = self.mood.clarity(z)
        hr, hg, hb = self.mood.haze_color
        r, g, b = color
        light *= keep
        keep = 1 - keep
        return r * light + hr * keep, g * light + hg * keep, b * light + hb * keep

    def polygon(self, points: Sequence[Point], color: Color, label: int) -> None:
        """Fill a polygon of canvas pixels."""
        cv2.fillPoly(self.pixels, [fixed(points)], (*clip(color), label + 1), cv2.LINE_8, SHIFT)

    def line(self, start: Point, end: Point, width: float, color: Color, label: int) -> None:
        """Draw a line of ``width`` canvas pixels (at least one picture pixel) with round ends."""
        one = 1 << SHIFT
        a, b = (int(start[0] * one), int(start[1] * one)), (int(end[0] * one), int(end[1] * one))
        thickness = max(SUPERSAMPLE, round(width))
        cv2.line(self.pixels, a, b, (*clip(color), label + 1), thickness, cv2.LINE_8, SHIFT)

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: Color, label: int,
                thickness: int = -1) -> None:  # fmt: skip
        """Draw an ellipse around (x, y), filled unless a thickness is given."""
        one = 1 << SHIFT
        center, axes = (round(x * one), round(y * one)), (round(rx * one), round(ry * one))
        pixel = (*clip(color), label + 1)
        cv2.ellipse(self.pixels, center, axes, 0, 0, 360, pixel, thickness, cv2.LINE_8, SHIFT)

    def crop(self, noise: Array, rows: int, columns: int) -> Array:
        """Cut a random piece ``[rows, columns]`` (at most 256 each) out of a noise field."""
        top, left = int(self.random() * (257 - rows)), int(self.random() * (257 - columns))
        return noise[top : top + rows, left : left + columns]

    def warp(self, texture: Array, quad: Sequence[Point]) -> None:
        """Paint a texture onto a quad.

        Args:
            texture: ``[h, w, 4]`` uint8 RGB and file id + 1; 0 there is a hole.
            quad: Its top left, top right, bottom right and bottom left corners in canvas pixels.
        """
        rows, columns = self.pixels.shape[:2]
        xs, ys = [p[0] for p in quad], [p[1] for p in quad]
        x0, y0 = max(0, int(min(xs))), max(0, int(min(ys)))
        x1, y1 = min(columns, int(max(xs)) + 2), min(rows, int(max(ys)) + 2)
        if x1 <= x0 or y1 <= y0 or max(xs) - min(xs) < 0.5 or max(ys) - min(ys) < 0.5:
            return
        h, w = texture.shape[:2]
        corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float32) - 0.5
        target = np.array([(x - x0, y - y0) for x, y in quad], np.float32)
        matrix = cv2.getPerspectiveTransform(corners, target)
        patch = cv2.warpPerspective(texture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_NEAREST)
        cv2.copyTo(patch, cv2.extractChannel(patch, 3), self.pixels[y0:y1, x0:x1])

    def stamp(self, sprite: Array, table: Array, x: float, y: float, width: float, height: float) -> None:
        """Paint a sprite upright with its centre at (x, y).

        Args:
            sprite: ``[h, w]`` uint8 brightness; 0 is a hole.
            table: Its colours, as `ramp` gives them.
            x: Canvas pixels.
            y: Canvas pixels.
            width: Canvas pixels.
            height: Canvas pixels.
        """
        rows, columns = self.pixels.shape[:2]
        w, h = max(1, round(width)), max(1, round(height))
        left, top = round(x - w / 2), round(y - h / 2)
        x0, y0, x1, y1 = max(0, left), max(0, top), min(columns, left + w), min(rows, top + h)
        if x1 <= x0 or y1 <= y0:
            return
        (sh, sw), size = sprite.shape, (x1 - x0, y1 - y0)
        down = slice((y0 - top) * sh // h, max((y0 - top) * sh // h + 1, (y1 - top) * sh // h))
        across = slice((x0 - left) * sw // w, max((x0 - left) * sw // w + 1, (x1 - left) * sw // w))
        part = cv2.resize(sprite[down, across], size, interpolation=cv2.INTER_NEAREST)
        cv2.copyTo(colored(part, table), part, self.pixels[y0:y1, x0:x1])

    def visible(self, thing: Thing) -> bool:
        """Whether something can be in the picture at all, by its footprint."""
        if not thing.footprint:
            return True
        x0, x1, z0, z1 = thing.footprint
        near, far = self.focal / max(z0, NEAR), self.focal / max(z1, NEAR)
        left, right = min(x0 * near, x0 * far), max(x1 * near, x1 * far)
        return z1 > 1 and left + self.center[0] < self.pixels.shape[1] and right + self.center[0] > 0
