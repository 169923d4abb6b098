"""People of a generated street: walking, standing, riding."""

from __future__ import annotations

from itertools import pairwise

from segkit.data.scene.canvas import HUMAN, Canvas, Thing
from segkit.data.scene.texture import Color

_CLOTHES: tuple[Color, ...] = (
    (28, 28, 32), (44, 46, 56), (38, 50, 84), (70, 66, 62), (96, 98, 100), (132, 120, 104), (170, 164, 152),
    (150, 40, 44), (176, 140, 60), (62, 84, 60), (190, 190, 188), (88, 52, 70), (60, 92, 120),
)  # fmt: skip
_SKIN: tuple[Color, ...] = ((226, 186, 160), (198, 150, 120), (150, 104, 78), (98, 66, 50))
_HAIR: tuple[Color, ...] = ((34, 26, 22), (84, 58, 36), (150, 118, 70), (120, 118, 116), (60, 60, 64))


def person(canvas: Canvas, x: float, z: float, child: bool = False) -> Thing:
    """Plan a walking or standing person at the ground point (x, z)."""
    tall = canvas.uniform(1.0, 1.35) if child else canvas.uniform(1.55, 1.92)
    return Thing(z, lambda: _Figure(canvas, x, z, tall).walk(), (x - 0.25, x + 0.25, z - 0.2, z + 0.2), tall)


def rider(canvas: Canvas, x: float, z: float, motor: bool) -> Thing:
    """Plan a person on a two-wheeler at the ground point (x, z); goes in front of its vehicle."""
    return Thing(z - 0.05, lambda: _Figure(canvas, x, z, 1.75).ride(motor))


class _Figure:
    """Paints one person; lengths are shares of the person's height."""

    def __init__(self, canvas: Canvas, x: float, z: float, tall: float) -> None:
        self.canvas, self.z = canvas, z
        self.left, self.ground, scale = canvas.foot(x, z)
        self.scale = scale * tall
        self.wide = canvas.uniform(0.85, 1.2)
        self.legs = canvas.vary(canvas.pick(_CLOTHES[:7]), 14)
        self.coat = canvas.vary(canvas.pick(_CLOTHES), 20)
        self.skin = canvas.pick(_SKIN)
        self.hair = canvas.vary(canvas.pick(_HAIR), 12)

    def limb(self, *points: tuple[float, float], width: float, color: Color, light: float = 1.0) -> None:
        """Draw a bent limb through points (to the right, up)."""
        tinted = self.canvas.tint(color, self.z, light)
        places = [(self.left + x * self.scale, self.ground - y * self.scale) for x, y in points]
        for start, end in pairwise(places):
            self.canvas.line(start, end, width * self.wide * self.scale, tinted, HUMAN)

    def head(self, x: float, y: float) -> None:
        """Draw head and hair."""
        place = self.left + x * self.scale, self.ground - y * self.scale
        size = 0.068 * self.scale
        self.canvas.ellipse(*place, 0.78 * size, size, self.canvas.tint(self.skin, self.z), HUMAN)
        hair = self.canvas.tint(self.hair, self.z)
        if self.canvas.chance(0.4):  # seen from behind
            self.canvas.ellipse(*place, 0.8 * size, size, hair, HUMAN)
        self.canvas.ellipse(place[0], place[1] - 0.5 * size, 0.85 * size, 0.6 * size, hair, HUMAN)

    def trunk(self, x: float, low: float, high: float, lean: float = 0.0) -> None:
        """Draw the upper body."""
        wide, lit = 0.105 * self.wide, self.canvas.tint(self.coat, self.z)
        outline = (
            (-0.85, low),
            (-1.0, high - 0.06),
            (-0.6, high),
            (0.6, high),
            (1.0, high - 0.06),
            (0.9, low),
        )
        points = [(self.left + (x + wide * s + lean * (h > low)) * self.scale, self.ground - h * self.scale)
                  for s, h in outline]  # fmt: skip
        self.canvas.polygon(points, lit, HUMAN)

    def walk(self) -> None:
        """Draw a pedestrian in some phase of a step."""
        canvas = self.canvas
        step = canvas.uniform(-0.15, 0.15)
        swing = canvas.uniform(0.5, 1.1) * step
        knee = 0.03 if step > 0 else -0.03
        self.limb(
            (0.03, 0.5),
            (0.03 - 0.5 * step + knee, 0.26),
            (0.03 - step, 0.02),
            width=0.075,
            color=self.legs,
            light=0.8,
        )
        self.limb(
            (-0.03, 0.5), (-0.03 + 0.5 * step + knee, 0.26), (-0.03 + step, 0.01), width=0.08, color=self.legs
        )
        for foot in (0.03 - step, -0.03 + step):
            self.limb((foot - 0.01, 0.012), (foot + 0.045, 0.012), width=0.035, color=(34, 30, 28))
        hem = canvas.pick((0.47, 0.47, 0.38, 0.28))
        self.limb(
            (0.1 * self.wide, 0.79),
            (0.12 + swing * 0.5, 0.62),
            (0.1 + swing, 0.47),
            width=0.05,
            color=self.coat,
            light=0.75,
        )
        self.trunk(0.0, hem, 0.84)
        self.limb(
            (-0.1 * self.wide, 0.79),
            (-0.12 - swing * 0.5, 0.62),
            (-0.1 - swing, 0.47),
            width=0.052,
            color=self.coat,
            light=0.9,
        )
        self.limb((0, 0.83), (0, 0.9), width=0.05, color=self.skin)
        self.head(0.0, 0.93)
        if canvas.chance(0.3):  # a bag
            bag = canvas.vary(canvas.pick(_CLOTHES), 20)
            self.limb((-0.11 - swing, 0.44), (-0.11 - swing, 0.36), width=0.1, color=bag)

    def ride(self, motor: bool) -> None:
        """Draw a rider; from the end on a motorbike, from the side on a bicycle."""
        if motor:
            for sign in (-1, 1):
                self.limb(
                    (sign * 0.06, 0.52), (sign * 0.15, 0.42), (sign * 0.12, 0.2), width=0.085, color=self.legs
                )
                self.limb(
                    (sign * 0.1, 0.8), (sign * 0.18, 0.66), (sign * 0.18, 0.58), width=0.06, color=self.coat
                )
            self.trunk(0.0, 0.45, 0.86)
            self.hair = self.coat
        else:
            self.limb((-0.1, 0.56), (0.1, 0.42), (0.03, 0.2), width=0.075, color=self.legs)
            self.trunk(-0.06, 0.52, 0.86, 0.08)
            self.limb((0.06, 0.8), (0.16, 0.68), (0.25, 0.62), width=0.05, color=self.coat, light=0.85)
        self.head(0.0 if motor else 0.06, 0.93)
