"""Cars, vans, buses, lorries and two-wheelers of a generated street."""

from __future__ import annotations

import math
from itertools import pairwise

from segkit.data.scene.body import KINDS, SMALL, Body
from segkit.data.scene.canvas import VEHICLE, Canvas, Point3, Thing
from segkit.data.scene.texture import Color, Point

_PAINTS: tuple[Color, ...] = (
    (30, 31, 34), (44, 46, 50), (92, 94, 98), (128, 130, 132), (164, 166, 168), (206, 206, 204),
    (222, 222, 218), (146, 30, 32), (36, 54, 108), (62, 84, 112), (92, 96, 70), (150, 120, 86), (70, 34, 40),
)  # fmt: skip
_GLASS = (38, 44, 50)
_TYRE = (20, 20, 22)
_CIRCLE = tuple((math.cos(i * math.pi / 6), math.sin(i * math.pi / 6)) for i in range(12))
_TYRE_RINGS: tuple[tuple[float, Color], ...] = (
    (1.16, (14, 14, 15)),
    (1.0, _TYRE),
    (0.62, (132, 134, 136)),
    (0.2, (60, 60, 62)),
)
_DETAIL = 45.0  # metres; lamps' and wheels' details are smaller than a pixel behind it


def vehicle(canvas: Canvas, x: float, z: float, heading: float, large: bool = True) -> Thing:
    """Plan a vehicle.

    Args:
        canvas: Where it will be painted.
        x: Middle, metres to the right.
        z: Distance of its middle, metres.
        heading: 0 drives away from the camera, pi towards it, pi / 2 to the right.
        large: Whether it may be a bus or a lorry.
    """
    body = canvas.pick(KINDS if large else KINDS[:SMALL])
    length, half = body.profile[-1][0], body.width / 2
    along = abs(math.cos(heading)) * length / 2 + abs(math.sin(heading)) * half
    across = abs(math.sin(heading)) * length / 2 + abs(math.cos(heading)) * half
    footprint = (x - across, x + across, z - along, z + along)
    height = max(h for _, h in body.profile)
    return Thing(z - along, lambda: _Painter(canvas, body, x, z, heading).paint(), footprint, height)


class _Painter:
    """Paints one vehicle: the faces of the extruded profile that the camera sees."""

    def __init__(self, canvas: Canvas, body: Body, x: float, z: float, heading: float) -> None:
        self.canvas, self.body = canvas, body
        self.origin, self.length = (x, z), max(p[0] for p in body.profile)
        self.sin, self.cos = math.sin(heading), math.cos(heading)
        self.distance = max(z - 2, 1.0)
        self.paint_color = canvas.vary(canvas.pick(_PAINTS), 10)

    def fill(self, points: list[Point3], color: Color, light: float = 1.0) -> None:
        """Fill a polygon of points (l from the rear, h, w to the right)."""
        (x0, z0), sin, cos, middle = self.origin, self.sin, self.cos, self.length / 2
        world = [
            (x0 + (p - middle) * sin + w * cos, h, z0 + (p - middle) * cos - w * sin) for p, h, w in points
        ]
        self.canvas.polygon(
            self.canvas.project(world), self.canvas.tint(color, self.distance, light), VEHICLE
        )

    def half(self, height: float) -> float:
        """Half of the width at a height: the cabin is narrower than the body."""
        return self.body.width / 2 * (1 - 0.32 * min(0.6, max(0.0, height - self.body.waist)))

    def paint(self) -> None:
        """Paint tyres, faces, side and lamps, far ones first."""
        eye_l, eye_w = self._eye()
        self._tyres(-1 if eye_l < self.length / 2 else 1)
        profile = self.body.profile
        edges = [(i, profile[i], profile[(i + 1) % len(profile)]) for i in range(len(profile) - 1)]
        edges.sort(key=lambda e: -abs((e[1][0] + e[2][0]) / 2 - eye_l))
        for number, p, q in edges:
            inward = (q[1] - p[1]) * (p[0] - eye_l) - (q[0] - p[0]) * (p[1] - self.canvas.eye)
            if inward > 0:
                self._face(number, p, q)
        if abs(eye_w) > self.body.width / 2:
            self._side(1.0 if eye_w > 0 else -1.0)
        if self.distance < _DETAIL:
            self._lamps(front=eye_l > self.length / 2)

    def _eye(self) -> tuple[float, float]:
        """Where the camera is, seen from the vehicle: (l, w)."""
        dx, dz = -self.origin[0], -self.origin[1]
        return dx * self.sin + dz * self.cos + self.length / 2, dx * self.cos - dz * self.sin

    def _face(self, number: int, p: tuple[float, float], q: tuple[float, float]) -> None:
        a, b = self.half(p[1]), self.half(q[1])
        level = abs(q[0] - p[0]) / (abs(q[0] - p[0]) + abs(q[1] - p[1]) + 1e-6)
        light = 0.72 + 0.4 * level
        self.fill([(*p, -a), (*q, -b), (*q, b), (*p, a)], self.paint_color, light)
        if number not in self.body.glass:
            return
        sky = self.canvas.mood.sky_low
        mirror = 0.35 * level + 0.1
        r, g, blue = (c * (1 - mirror) + s * mirror for c, s in zip(_GLASS, sky, strict=True))
        (pl, ph), (ql, qh) = p, q
        lower, upper = (
            (pl + 0.12 * (ql - pl), ph + 0.12 * (qh - ph)),
            (ql - 0.1 * (ql - pl), qh - 0.1 * (qh - ph)),
        )
        self.fill(
            [(*lower, -0.88 * a), (*upper, -0.88 * b), (*upper, 0.88 * b), (*lower, 0.88 * a)], (r, g, blue)
        )

    def _side(self, sign: float) -> None:
        canvas, body = self.canvas, self.body
        light = 0.9 if canvas.mood.shadow < 0.3 else canvas.pick((0.75, 1.1))
        self.fill([(*p, sign * self.half(p[1])) for p in body.profile], self.paint_color, light)
        low, w, end = body.profile[0][1], sign * body.width / 2, self.length - 0.1
        self.fill([(0.1, low, w), (0.1, 0.5, w), (end, 0.5, w), (end, low, w)], self.paint_color, 0.6)  # sill
        if self.distance > 2 * _DETAIL:
            return
        for pane in body.panes:
            self.fill([(*p, sign * self.half(p[1])) for p in pane], canvas.vary(_GLASS, 12))
        for axle in body.wheels:
            for radius, color in _TYRE_RINGS[: 4 if self.distance < _DETAIL else 1]:
                self._wheel(axle, radius * body.radius, sign * body.width / 2, color)

    def _wheel(self, axle: float, radius: float, w: float, color: Color) -> None:
        self.fill([(axle + radius * c, self.body.radius + radius * s, w) for c, s in _CIRCLE], color)

    def _tyres(self, end: int) -> None:
        half, low = self.body.width / 2, self.body.profile[0][1]
        for axle in self.body.wheels:
            for sign in (-1, 1):
                outer, inner = sign * half * 0.98, sign * (half * 0.98 - 0.24)
                face = axle + end * self.body.radius
                self.fill(
                    [(face, 0, outer), (face, low + 0.1, outer), (face, low + 0.1, inner), (face, 0, inner)],
                    _TYRE,
                )

    def panel(self, end: float, low: float, high: float, left: float, right: float, color: Color) -> None:
        """Fill a rectangle across the vehicle at the distance ``end`` from its rear."""
        self.fill([(end, low, left), (end, high, left), (end, high, right), (end, low, right)], color)

    def _lamps(self, front: bool) -> None:
        canvas, half, waist = self.canvas, self.body.width / 2, self.body.waist
        end, low = self.length if front else 0.0, self.body.profile[0][1]
        self.panel(end, low, low + 0.14, -half * 0.96, half * 0.96, (44, 44, 46))  # bumper
        level = 0.55 * waist + 0.18 if waist < 3 else 0.8
        on = canvas.chance(canvas.mood.lit * 2 + (0.1 if front else 0.15))
        if front:
            self.panel(end, level, level + 0.14, -half * 0.5, half * 0.5, (26, 26, 28))  # grille
            color: Color = (255, 250, 224) if on else (176, 178, 180)
        else:
            color = (255, 40, 30) if on else (140, 26, 26)
        self.panel(end, level, level + 0.2, -half * 0.95, -half * 0.62, color)
        self.panel(end, level, level + 0.2, half * 0.62, half * 0.95, color)
        plate = canvas.pick(((222, 222, 216), (224, 196, 90), (222, 222, 216)))
        self.panel(end, level - 0.22, level - 0.1, -0.26, 0.26, plate)


# A bicycle from its side: frame and handlebar as lines between points (to the right, up), metres
_FRAME = (
    (-0.52, 0.34), (-0.18, 0.86), (0.36, 0.84), (0.0, 0.32), (-0.52, 0.34), (-0.1, 0.36), (-0.18, 0.94),
    (0.36, 0.98), (0.42, 1.0), (0.52, 0.34),
)  # fmt: skip


def two_wheeler(canvas: Canvas, x: float, z: float, motor: bool) -> Thing:
    """Plan a motorbike (seen from its end) or a bicycle (seen from its side), without a rider."""

    def paint() -> None:
        left, ground, scale = canvas.foot(x, z)
        color, dark = canvas.tint(canvas.vary(canvas.pick(_PAINTS), 20), z), canvas.tint(_TYRE, z)

        def disc(right: float, up: float, rx: float, ry: float, color: Color, rim: int = -1) -> None:
            canvas.ellipse(
                left + right * scale, ground - up * scale, rx * scale, ry * scale, color, VEHICLE, rim
            )

        def bar(a: Point, b: Point, width: float, color: Color) -> None:
            ends = [(left + right * scale, ground - up * scale) for right, up in (a, b)]
            canvas.line(ends[0], ends[1], width * scale, color, VEHICLE)

        if motor:
            disc(0, 0.34, 0.11, 0.34, dark)
            disc(0, 0.72, 0.2, 0.26, color)
            bar((-0.36, 1.0), (0.36, 1.0), 0.06, dark)
            disc(0, 0.74, 0.08, 0.06, canvas.tint((230, 60, 50), z))
            return
        for right in (-0.52, 0.52):
            disc(right, 0.34, 0.33, 0.33, dark, max(2, round(0.06 * scale)))
        for a, b in pairwise(_FRAME):
            bar(a, b, 0.05, color)

    return Thing(z, paint, (x - 0.5, x + 0.5, z - 0.2, z + 0.2), 1.1)
