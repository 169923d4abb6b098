"""Poles, signs, lights and the clutter on the pavement of a generated street."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segkit.data.scene.canvas import OBJECT, VOID, Canvas, Thing
from segkit.data.scene.texture import Color, Point

_METAL: tuple[Color, ...] = ((112, 114, 116), (74, 76, 78), (150, 152, 152), (56, 66, 58), (92, 84, 76))


class _Stand:
    """Draws flat shapes standing at one ground point; lengths in metres."""

    def __init__(self, canvas: Canvas, x: float, z: float, label: int) -> None:
        self.canvas, self.z, self.label = canvas, z, label
        self.left, self.ground, self.scale = canvas.foot(x, z)

    def bar(self, x0: float, y0: float, x1: float, y1: float, width: float, color: Color) -> None:
        ends = [(self.left + x * self.scale, self.ground - y * self.scale) for x, y in ((x0, y0), (x1, y1))]
        self.canvas.line(ends[0], ends[1], width * self.scale, self.canvas.tint(color, self.z), self.label)

    def shape(self, points: Sequence[Point], color: Color) -> None:
        pixels = [(self.left + x * self.scale, self.ground - y * self.scale) for x, y in points]
        self.canvas.polygon(pixels, self.canvas.tint(color, self.z), self.label)

    def box(self, x0: float, y0: float, x1: float, y1: float, color: Color) -> None:
        self.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color)

    def disc(self, x: float, y: float, radius: float, color: Color, flat: float = 1.0) -> None:
        place = self.left + x * self.scale, self.ground - y * self.scale
        tinted = self.canvas.tint(color, self.z)
        self.canvas.ellipse(*place, radius * self.scale, radius * flat * self.scale, tinted, self.label)


def lamp(canvas: Canvas, x: float, z: float) -> Thing:
    """Plan a street lamp whose arm reaches over the road."""
    height, reach = canvas.uniform(5.5, 9), canvas.uniform(0.8, 2.2) * (-1 if x > 0 else 1)

    def paint() -> None:
        stand, metal = _Stand(canvas, x, z, OBJECT), canvas.vary(canvas.pick(_METAL), 12)
        stand.bar(0, 0, 0, 1.2, 0.2, metal)
        stand.bar(0, 1, 0, height, 0.13, metal)
        stand.bar(0, height, reach, height + 0.3, 0.09, metal)
        bulb = (255, 232, 170) if canvas.mood.lit > 0.1 else (206, 208, 206)
        stand.bar(reach * 0.8, height + 0.22, reach * 1.2, height + 0.3, 0.2, bulb)

    return Thing(z, paint, (x - 0.08, x + 0.08, z - 0.08, z + 0.08), height)


def pole(canvas: Canvas, x: float, z: float) -> Thing:
    """Plan a plain pole: a bollard, a post or a mast."""
    height = canvas.pick((0.9, 0.9, 3.0, 7.5))

    def paint() -> None:
        stand, metal = _Stand(canvas, x, z, OBJECT), canvas.vary(canvas.pick(_METAL), 16)
        stand.bar(0, 0, 0, height, 0.14 if height < 5 else 0.2, metal)
        if height < 1:
            stand.bar(0, 0.7, 0, 0.8, 0.15, (208, 206, 200))

    return Thing(z, paint, (x - 0.08, x + 0.08, z - 0.08, z + 0.08), height)


def sign(canvas: Canvas, x: float, z: float) -> Thing:
    """Plan a traffic sign: round, triangular, square or a direction board."""
    kind, height = canvas.pick(("round", "triangle", "square", "board", "round")), canvas.uniform(2.1, 2.9)

    def paint() -> None:
        stand = _Stand(canvas, x, z, OBJECT)
        stand.bar(0, 0, 0, height + 0.3, 0.09, canvas.vary((138, 140, 140), 20))
        red, blue, white = (186, 34, 40), (30, 74, 150), (224, 222, 216)
        if kind == "round":
            stand.disc(0, height, 0.36, canvas.pick((red, blue)))
            stand.disc(0, height, 0.25, canvas.pick((white, white, blue)))
            stand.bar(-0.1, height, 0.1, height, 0.09, canvas.pick(((30, 30, 30), red, white)))
        elif kind == "triangle":
            for size, color in ((0.48, red), (0.32, white)):
                turn = [math.pi / 2 + i * 2 * math.pi / 3 for i in range(3)]
                stand.shape([(size * math.cos(t), height + size * math.sin(t)) for t in turn], color)
        elif kind == "square":
            stand.box(-0.34, height - 0.34, 0.34, height + 0.34, canvas.pick((blue, (206, 178, 50))))
            stand.box(-0.16, height - 0.2, 0.16, height + 0.2, white)
        else:
            stand.box(-0.7, height, 0.7, height + 0.5, canvas.pick((blue, (206, 178, 50), white)))
            stand.bar(-0.5, height + 0.25, 0.4, height + 0.25, 0.1, canvas.pick((white, (40, 40, 40))))

    return Thing(z, paint, (x - 0.05, x + 0.05, z - 0.05, z + 0.05), height)


def traffic_light(canvas: Canvas, x: float, z: float) -> Thing:
    """Plan a traffic light, now and then with a second one on an arm over the road."""
    arm = canvas.uniform(2, 4) * (-1 if x > 0 else 1) if canvas.chance(0.3) else 0.0
    height = 5.4 if arm else 2.6

    def paint() -> None:
        stand, metal = _Stand(canvas, x, z, OBJECT), canvas.vary(canvas.pick(_METAL[:2]), 12)
        stand.bar(0, 0, 0, height + 0.5, 0.13, metal)
        if arm:
            stand.bar(0, height + 0.5, arm, height + 0.5, 0.1, metal)
        lit = canvas.integer(0, 2)
        for shift, low in ((0.0, 2.5), (arm, height - 0.3)) if arm else ((0.0, height - 0.1),):
            stand.box(shift - 0.18, low, shift + 0.18, low + 0.98, (26, 28, 28))
            for i, color in enumerate(((40, 220, 130), (250, 190, 50), (255, 48, 40))):
                dark = (color[0] * 0.25, color[1] * 0.25, color[2] * 0.25)
                stand.disc(shift, low + 0.19 + 0.3 * i, 0.11, color if i == lit else dark)

    return Thing(z, paint, (x - 0.08, x + 0.08, z - 0.08, z + 0.08), height)


def clutter(canvas: Canvas, x: float, z: float) -> Thing:
    """Plan something that belongs to no class: a bin, bags, a crate, a bench, a pram, a board."""
    kind = canvas.pick((_bin, _bags, _crates, _bench, _pram, _board))
    return Thing(
        z, lambda: kind(canvas, _Stand(canvas, x, z, VOID)), (x - 0.4, x + 0.4, z - 0.3, z + 0.3), 1.0
    )


def _bin(canvas: Canvas, stand: _Stand) -> None:
    color = canvas.vary(canvas.pick(((60, 62, 64), (40, 72, 48), (50, 66, 110), (150, 110, 40))), 14)
    for shift in (0.0, 0.75)[: 1 + canvas.chance(0.5)]:
        stand.shape(
            [(shift - 0.28, 0.06), (shift + 0.28, 0.06), (shift + 0.34, 1.0), (shift - 0.34, 1.0)], color
        )
        stand.bar(shift - 0.34, 1.04, shift + 0.34, 1.04, 0.1, canvas.vary(color, 24))


def _bags(canvas: Canvas, stand: _Stand) -> None:
    for _ in range(canvas.integer(2, 4)):
        dark = canvas.uniform(24, 70)
        stand.disc(
            canvas.uniform(-0.5, 0.5),
            canvas.uniform(0.2, 0.35),
            canvas.uniform(0.26, 0.4),
            (dark, dark, dark + 6),
            0.8,
        )


def _crates(canvas: Canvas, stand: _Stand) -> None:
    for level in range(canvas.integer(1, 3)):
        color = canvas.vary((146, 112, 72), 24)
        stand.box(-0.42, 0.42 * level, 0.42, 0.42 * level + 0.38, color)
        stand.bar(-0.38, 0.42 * level + 0.2, 0.38, 0.42 * level + 0.2, 0.04, (70, 54, 38))


def _bench(canvas: Canvas, stand: _Stand) -> None:
    wood = canvas.vary((112, 82, 54), 20)
    for x in (-0.7, 0.7):
        stand.bar(x, 0, x, 0.85, 0.07, (50, 50, 52))
    stand.box(-0.85, 0.4, 0.85, 0.5, wood)
    stand.box(-0.85, 0.62, 0.85, 0.86, wood)


def _pram(canvas: Canvas, stand: _Stand) -> None:
    color = canvas.vary(canvas.pick(((60, 60, 70), (120, 40, 50), (50, 80, 110))), 14)
    for x in (-0.26, 0.26):
        stand.disc(x, 0.15, 0.15, (28, 28, 30))
    stand.shape([(-0.4, 0.4), (0.36, 0.4), (0.42, 0.7), (0.1, 0.72), (-0.1, 1.0), (-0.44, 0.9)], color)
    stand.bar(0.4, 0.66, 0.66, 1.0, 0.05, (40, 40, 42))


def _board(canvas: Canvas, stand: _Stand) -> None:
    stand.shape([(-0.34, 0), (0.34, 0), (0.28, 1.1), (-0.28, 1.1)], canvas.vary((90, 64, 44), 20))
    stand.shape([(-0.26, 0.16), (0.26, 0.16), (0.22, 1.0), (-0.22, 1.0)], canvas.vary((50, 54, 52), 26))
