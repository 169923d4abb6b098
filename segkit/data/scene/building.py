"""Façades, roofs, walls and fences on both sides of a generated street."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.scene.canvas import CONSTRUCTION, Canvas, Thing
from segkit.data.scene.texture import Color, Point, clip, colored, plain, ramp

Array = NDArray[Any]

# Plaster, brick, stone, concrete; some as green as trees, as dark as tarmac or as blue as the sky.
_FACADES: tuple[Color, ...] = (
    (196, 180, 152), (172, 150, 124), (150, 92, 74), (122, 74, 62), (164, 160, 154), (128, 128, 132),
    (96, 98, 102), (206, 202, 194), (148, 156, 128), (112, 124, 98), (150, 164, 182), (190, 144, 104),
    (78, 72, 70), (176, 168, 130), (140, 110, 92), (186, 186, 190),
)  # fmt: skip
_ROOFS: tuple[Color, ...] = ((128, 66, 50), (90, 60, 54), (70, 72, 78), (104, 100, 98), (84, 92, 80))
_SHOPS: tuple[Color, ...] = (
    (170, 34, 40),
    (30, 70, 130),
    (220, 180, 50),
    (36, 96, 60),
    (210, 210, 206),
    (40, 40, 44),
)
_DOORS: tuple[Color, ...] = ((70, 44, 32), (40, 40, 44), (44, 66, 56), (96, 30, 30))
# Width and height of a window as shares of its piece of wall
_WINDOWS = ((0.5, 0.6), (0.4, 0.65), (0.7, 0.55), (0.96, 0.6), (0.92, 0.9))


def building(
    canvas: Canvas, side: int, wall: float, z0: float, z1: float, height: float, gable: bool
) -> Thing:
    """Plan a building.

    Args:
        canvas: Where it will be painted.
        side: -1 on the left of the road, 1 on the right.
        wall: X of its façade, metres.
        z0: Distance of its near corner, metres.
        z1: Distance of its far corner, metres.
        height: Height of its eaves, metres.
        gable: Whether the wall that looks down the street towards the camera can be seen.
    """
    away = wall + side * 11

    def paint() -> None:
        color = canvas.vary(canvas.pick(_FACADES))
        if canvas.chance(0.45):
            _roof(canvas, side, wall, z0, z1, height)
        if gable:
            end = _Wall(canvas, 11, height, z0, 0.84, color)
            end.dress(blank=canvas.chance(0.5))
            end.hang([(away, z0), (wall, z0)][::-side])
        turned = -side * canvas.mood.sun > 0 and canvas.mood.shadow > 0.2
        front = _Wall(canvas, z1 - z0, height, (z0 + z1) / 2, 1.12 if turned else 0.94, color)
        front.dress(blank=canvas.chance(0.05))
        front.hang([(wall, z0), (wall, z1)][::-side])

    return Thing(z0, paint, (min(wall, away), max(wall, away), z0, z1), height)


def _roof(canvas: Canvas, side: int, wall: float, z0: float, z1: float, height: float) -> None:
    ridge, top = wall + side * 5, height + canvas.uniform(2, 5)
    color = canvas.vary(canvas.pick(_ROOFS))
    slope = canvas.project([(wall, height, z0), (wall, height, z1), (ridge, top, z1), (ridge, top, z0)])
    canvas.polygon(slope, canvas.tint(color, (z0 + z1) / 2), CONSTRUCTION)
    gable = canvas.project([(wall, height, z0), (wall + side * 10, height, z0), (ridge, top, z0)])
    canvas.polygon(gable, canvas.tint(color, z0, 0.75), CONSTRUCTION)
    for _ in range(canvas.integer(0, 2)):
        z = canvas.uniform(z0, z1)
        foot, head = canvas.project([(ridge, top - 1, z), (ridge, top + 1.6, z)])
        canvas.line(foot, head, 0.9 * canvas.focal / z, canvas.tint((110, 84, 74), z), CONSTRUCTION)


class _Wall:
    """The texture of one wall: windows, doors, shops, stains.

    Args:
        canvas: Where it will hang.
        length: Metres.
        height: Metres.
        z: Distance, metres; decides on detail and haze.
        light: How bright the sun makes it, about 1.
        color: Its main colour.
    """

    def __init__(
        self, canvas: Canvas, length: float, height: float, z: float, light: float, color: Color
    ) -> None:
        self.canvas, self.length, self.height = canvas, length, height
        self.z, self.light, self.color = z, light, color
        scale = min(15.0, max(2.0, 0.35 * canvas.focal / max(z, 4.0)))  # texture pixels per metre
        self.h, self.w = max(3, round(height * scale)), max(3, round(length * scale))
        self.strength = 0.28 * canvas.mood.clarity(z) * (z < 60)  # of the dirt
        self.lift = 100 * self.strength  # what it takes away on average, and the light that is left over
        self.base = self.ink(color)
        self.texture = plain(self.h, self.w, self.base)

    def ink(self, color: Color) -> tuple[int, int, int, int]:
        """Light and fade a colour; the fourth number is the label as textures hold it."""
        r, g, b = self.canvas.tint(color, self.z, self.light)
        return (*clip((r + self.lift, g + self.lift, b + self.lift)), CONSTRUCTION + 1)

    def box(self, x0: float, y0: float, x1: float, y1: float, color: Color) -> None:
        """Fill a rectangle of texture pixels."""
        cv2.rectangle(self.texture, (int(x0), int(y0)), (int(x1), int(y1)), self.ink(color), -1)

    def hang(self, ends: list[Point]) -> None:
        """Paint it upright over two ground points (x, z), as seen from left to right."""
        (xa, za), (xb, zb) = ends
        top = self.height
        self.canvas.warp(
            self.texture, self.canvas.project([(xa, top, za), (xb, top, zb), (xb, 0, zb), (xa, 0, za)])
        )

    def dress(self, blank: bool) -> None:
        """Add windows unless it is blank, then perhaps a poster, then stains."""
        canvas = self.canvas
        if not blank:
            floors = max(1, round(self.height / canvas.uniform(2.9, 3.6)))
            bays = max(1, round(self.length / canvas.uniform(2.0, 4.0)))
            base = self.h if floors == 1 else int(canvas.uniform(3.0, 4.0) / self.height * self.h)
            if floors > 1:
                self._floors(floors - 1, bays, self.h - base)
            self._ground_floor(max(0, self.h - base), bays)
            self.box(0, 0, self.w, self.h // 60, canvas.vary(self.color, 40))
        if self.z < 60 and canvas.chance(0.5 if blank else 0.08):
            self._poster()
        if self.strength:
            self._stain()

    def _floors(self, floors: int, bays: int, bottom: int) -> None:
        h, w = max(2, bottom // floors), max(2, self.w // bays)
        tiles = self._tiles(h, w)
        lit = self.canvas.mood.lit
        strips = []
        for _ in range(floors if self.z < 40 else 1):
            row = [
                tiles[3 if self.canvas.chance(lit) else self.canvas.integer(0, 4) % 3] for _ in range(bays)
            ]
            strips.append(np.concatenate(row, 1)[:, : self.w])
        margin = (self.w - strips[0].shape[1]) // 2
        for floor in range(floors):
            area = self.texture[floor * h : (floor + 1) * h, margin : margin + strips[0].shape[1]]
            area[:] = strips[floor % len(strips)][: area.shape[0]]

    def _tiles(self, h: int, w: int) -> list[Array]:
        """Return four pieces ``[h, w, 4]`` of wall with a window: two kinds of glass, blinds, lit."""
        canvas = self.canvas
        r, g, b = canvas.mood.sky_low
        dark = canvas.pick(((44, 50, 58), (62, 70, 80), (30, 32, 36), (0.6 * r, 0.6 * g, 0.62 * b)))
        frame = self.ink(canvas.pick(((216, 214, 208), (70, 66, 62), (150, 148, 144), self.color)))
        wide, high = canvas.pick(_WINDOWS)
        x0, y0 = int(w * (0.5 - wide / 2)), int(h * (0.55 - high / 2))
        x1, y1 = max(x0 + 1, int(w * (0.5 + wide / 2))), max(y0 + 1, int(h * (0.55 + high / 2)))
        edge, tiles = int(w > 7), []
        for glass in (dark, canvas.vary(dark, 30), canvas.vary((150, 146, 138), 30), (255, 226, 150)):
            tile = plain(h, w, self.base)
            cv2.rectangle(tile, (x0, y0), (x1, y1), frame, -1)
            cv2.rectangle(tile, (x0 + edge, y0 + edge), (x1 - edge, y1 - edge), self.ink(glass), -1)
            if w > 16:
                cv2.line(tile, ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1), frame, 1)
                cv2.line(tile, (x0 - 1, y1 + 1), (x1 + 1, y1 + 1), self.ink((200, 196, 188)), 2)
            tiles.append(tile)
        return tiles

    def _ground_floor(self, top: int, bays: int) -> None:
        canvas, h, w, high = self.canvas, self.h, self.w, self.h - top
        shop = canvas.chance(0.5)
        self.box(0, top, w, h, canvas.vary(self.color, 36))
        for bay in range(bays):
            x0, x1 = (bay + 0.12) * w / bays, (bay + 0.88) * w / bays
            if shop:
                glass = (
                    (236, 214, 160) if canvas.chance(canvas.mood.lit + 0.1) else canvas.vary((52, 54, 60), 30)
                )
                self.box(x0, top + 0.28 * high, x1, h - 0.1 * high, glass)
            elif canvas.chance(0.3):
                self.box(0.72 * x0 + 0.28 * x1, top + 0.25 * high, 0.28 * x0 + 0.72 * x1, h,
                         canvas.vary(canvas.pick(_DOORS)))  # fmt: skip
            else:
                self.box(x0, top + 0.25 * high, x1, top + 0.66 * high, canvas.vary((54, 58, 66), 24))
        if shop:
            self.box(0, top, w, top + max(1, high // 5), canvas.vary(canvas.pick(_SHOPS)))
            letters = self.ink(canvas.vary((226, 222, 210), 20))
            y = top + high // 10
            for x in range(4, w - 12, max(6, w // 9)) if w > 40 else ():
                cv2.line(self.texture, (x, y), (x + w // 14, y), letters, max(1, high // 14))

    def _poster(self) -> None:
        """Paint the shape of a car or of people onto the wall; it stays construction."""
        canvas = self.canvas
        x, y = self.w * canvas.uniform(0.05, 0.4), self.h * canvas.uniform(0.25, 0.5)
        sx, sy = 0.05 * self.w, 0.045 * self.h
        self.box(x, y, x + 10 * sx, y + 10 * sy, canvas.vary((180, 176, 160), 60))
        color = canvas.vary(canvas.pick(((150, 40, 40), (40, 60, 120), (30, 30, 34), (120, 122, 124))))
        if canvas.chance(0.5):
            body = ((1, 7), (1, 5), (2.5, 4.6), (3.6, 2.8), (6.8, 2.8), (8, 4.8), (9, 5.2), (9, 7))
            outline = np.array([(x + sx * a, y + sy * b) for a, b in body], np.int32)
            cv2.fillPoly(self.texture, [outline], self.ink(color))
            for a in (2.8, 7.4):
                center = int(x + sx * a), int(y + sy * 7)
                cv2.circle(self.texture, center, max(1, int(sx)), self.ink((20, 20, 22)), -1)
            return
        for a in (2.5, 5.0, 7.5):
            center = int(x + sx * a), int(y + sy * 3)
            cv2.circle(self.texture, center, max(1, int(0.7 * sx)), self.ink((206, 168, 142)), -1)
            self.box(x + sx * (a - 0.8), y + sy * 4, x + sx * (a + 0.8), y + sy * 9, color)

    def _stain(self) -> None:
        """Darken it by dirt and grain."""
        span = min(255, max(24, 2 * self.w))
        noise = cv2.resize(self.canvas.crop(self.canvas.cloud, span, span), (self.w, self.h))
        if self.z < 35:
            grain = np.tile(self.canvas.grain, (self.h // 256 + 1, self.w // 256 + 1))[: self.h, : self.w]
            noise = cv2.addWeighted(noise, 0.6, grain, 0.4, 0)
        dirt = cv2.convertScaleAbs(noise, alpha=self.strength)
        cv2.subtract(self.texture, cv2.merge([dirt, dirt, dirt, np.zeros_like(dirt)]), self.texture)


def fence(canvas: Canvas, wall: float, z0: float, z1: float) -> Thing:
    """Plan a garden wall or a fence with gaps along the building line."""
    height, solid = canvas.uniform(0.8, 2.0), canvas.chance(0.5)

    def paint() -> None:
        scale = min(20.0, max(3.0, 0.6 * canvas.focal / max(z0, 6.0)))
        h, w = max(3, round(height * scale)), max(3, round((z1 - z0) * scale))
        light = canvas.tint(canvas.vary(canvas.pick(_FACADES)), z0)
        dark = canvas.tint((0.7 * light[0], 0.7 * light[1], 0.7 * light[2]), z0)
        noise = np.tile(np.maximum(canvas.cloud, 1), (h // 256 + 1, w // 256 + 1))[:h, :w]
        texture = colored(noise, ramp(dark, light, CONSTRUCTION))
        if not solid:
            gaps = np.arange(w) % max(3, round(0.24 * scale)) >= max(1, round(0.12 * scale))
            texture[h // 8 : -max(1, h // 8), gaps] = 0
        a, b = (z0, z1) if wall < 0 else (z1, z0)
        canvas.warp(
            texture, canvas.project([(wall, height, a), (wall, height, b), (wall, 0, b), (wall, 0, a)])
        )

    return Thing(z0, paint, (wall - 0.1, wall + 0.1, z0, z1), height)
