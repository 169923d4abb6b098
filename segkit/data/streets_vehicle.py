"""Cars, vans, buses, lorries and two-wheelers of a generated street."""

from __future__ import annotations

import math
from dataclasses import dataclass

from segkit.data.streets_canvas import VEHICLE, Canvas, Color, Point3, Thing

_PAINTS: tuple[Color, ...] = (
    (30, 31, 34), (44, 46, 50), (92, 94, 98), (128, 130, 132), (164, 166, 168), (206, 206, 204), (222, 222, 218),
    (146, 30, 32), (36, 54, 108), (62, 84, 112), (92, 96, 70), (150, 120, 86), (70, 34, 40),
)  # fmt: skip
_GLASS = (38, 44, 50)
_TYRE = (20, 20, 22)
_CIRCLE = tuple((math.cos(i * math.pi / 6), math.sin(i * math.pi / 6)) for i in range(12))
_TYRE_RINGS: tuple[tuple[float, Color], ...] = ((1.16, (14, 14, 15)), (1.0, _TYRE), (0.62, (132, 134, 136)), (0.2, (60, 60, 62)))
_DETAIL = 45.0  # metres; lamps' and wheels' details are smaller than a pixel behind it


@dataclass(frozen=True)
class Body:
    """A vehicle as a side profile that is as wide everywhere, but for a narrower cabin.

    Attributes:
        profile: Corners ``(l, h)`` in metres from the rear bottom over the roof to the front bottom.
        glass: Numbers of the profile's edges that are windows; edge i runs from corner i to i + 1.
        panes: Side windows, each a polygon of ``(l, h)``.
        wheels: Distances of the axles from the rear.
        radius: Radius of the wheels.
        width: Metres.
        waist: Height from which the cabin leans inwards.
    """

    profile: tuple[tuple[float, float], ...]
    glass: tuple[int, ...]
    panes: tuple[tuple[tuple[float, float], ...], ...]
    wheels: tuple[float, ...]
    radius: float
    width: float
    waist: float


_HATCH = Body(
    ((0.05, 0.3), (0, 0.62), (0.1, 0.98), (0.55, 1.42), (1.2, 1.5), (2.3, 1.46), (3.15, 1.0), (3.95, 0.82), (4.1, 0.3)),
    (2, 5), (((0.55, 1.0), (0.75, 1.36), (1.45, 1.4), (1.45, 0.98)), ((1.52, 0.98), (1.52, 1.4), (2.25, 1.36), (2.85, 0.98))),
    (0.75, 3.3), 0.32, 1.76, 0.95)  # fmt: skip
_SEDAN = Body(
    ((0.05, 0.3), (0, 0.65), (0.08, 0.98), (0.75, 1.04), (1.35, 1.4), (2.6, 1.43), (3.4, 0.98), (4.4, 0.8), (4.55, 0.3)),
    (3, 5), (((1.0, 1.02), (1.45, 1.32), (1.95, 1.35), (1.95, 0.98)), ((2.02, 0.98), (2.02, 1.36), (2.6, 1.34), (3.15, 0.98))),
    (0.9, 3.65), 0.33, 1.82, 0.96)  # fmt: skip
_SUV = Body(
    ((0.05, 0.36), (0, 0.7), (0.06, 1.12), (0.35, 1.62), (1.2, 1.72), (2.6, 1.68), (3.3, 1.14), (4.3, 0.98), (4.45, 0.36)),
    (2, 5), (((0.4, 1.14), (0.6, 1.55), (1.6, 1.6), (1.6, 1.12)), ((1.68, 1.12), (1.68, 1.6), (2.55, 1.56), (3.0, 1.12))),
    (0.85, 3.55), 0.37, 1.88, 1.1)  # fmt: skip
_VAN = Body(
    ((0.0, 0.35), (0, 1.15), (0.06, 1.95), (0.15, 2.35), (3.9, 2.35), (4.7, 1.35), (5.3, 1.1), (5.4, 0.35)),
    (1, 4), (((3.3, 1.35), (3.3, 2.0), (3.95, 2.0), (4.45, 1.35)),), (0.95, 4.4), 0.36, 2.0, 1.5)  # fmt: skip
_BUS = Body(
    ((0.0, 0.4), (0, 1.5), (0.05, 2.5), (0.1, 3.05), (11.7, 3.05), (11.85, 2.75), (11.95, 1.1), (12, 0.4)),
    (1, 5), tuple(((a, 1.2), (a, 2.5), (a + 1.55, 2.5), (a + 1.55, 1.2)) for a in (0.4, 2.1, 3.8, 5.5, 7.2, 8.9, 10.3)),
    (2.9, 9.3), 0.48, 2.55, 2.0)  # fmt: skip
_LORRY = Body(
    ((0.0, 0.9), (0, 3.4), (5.9, 3.4), (5.9, 2.9), (7.6, 2.9), (8.0, 1.6), (8.1, 0.5), (5.9, 0.5), (5.9, 0.9)),
    (4,), (((6.3, 1.7), (6.3, 2.5), (7.5, 2.5), (7.7, 1.7)),), (1.4, 6.9), 0.48, 2.5, 9.0)  # fmt: skip
_KINDS = (_HATCH,) * 5 + (_SEDAN,) * 4 + (_SUV,) * 4 + (_VAN,) * 2 + (_BUS, _LORRY)


def vehicle(canvas: Canvas, x: float, z: float, heading: float, large: bool = True) -> Thing:
    """Plan a vehicle.

    Args:
        canvas: Where it will be painted.
        x: Middle, metres to the right.
        z: Distance of its middle, metres.
        heading: 0 drives away from the camera, pi towards it, pi / 2 to the right.
        large: Whether it may be a bus or a lorry.
    """
    body = canvas.pick(_KINDS if large else _KINDS[:15])
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
        world = [(x0 + (p - middle) * sin + w * cos, h, z0 + (p - middle) * cos - w * sin) for p, h, w in points]
        tinted = self.canvas.tint(color, self.distance, light)
        self.canvas.polygon(self.canvas.project(world), tinted, VEHICLE)

    def half(self, height: float) -> float:
        """Half of the width at a height: the cabin is narrower than the body."""
        return self.body.width / 2 * (1 - 0.32 * min(0.6, max(0.0, height - self.body.waist)))

    def paint(self) -> None:
        """Paint tyres, faces, side and lamps, far ones first."""
        self._tyres()
        eye_l, eye_w = self._eye()
        profile = self.body.profile
        edges = [(i, profile[i], profile[(i + 1) % len(profile)]) for i in range(len(profile) - 1)]
        edges.sort(key=lambda e: -abs((e[1][0] + e[2][0]) / 2 - eye_l))
        for number, p, q in edges:
            inward = (q[1] - p[1]) * (p[0] - eye_l) - (q[0] - p[0]) * (p[1] - self.canvas.eye)
            if inward > 0:
                self._face(number, p, q)
        if abs(eye_w) > self.body.width / 2:
            self._side(1.0 if eye_w > 0 else -1.0)
        if self.distance < 1.6 * _DETAIL:
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
        lower, upper = (pl + 0.12 * (ql - pl), ph + 0.12 * (qh - ph)), (ql - 0.1 * (ql - pl), qh - 0.1 * (qh - ph))
        self.fill([(*lower, -0.88 * a), (*upper, -0.88 * b), (*upper, 0.88 * b), (*lower, 0.88 * a)], (r, g, blue))

    def _side(self, sign: float) -> None:
        canvas, body = self.canvas, self.body
        light = 0.9 if canvas.mood.shadow < 0.3 else canvas.pick((0.75, 1.1))
        self.fill([(*p, sign * self.half(p[1])) for p in body.profile], self.paint_color, light)
        self.fill([(0.1, body.profile[0][1], sign * body.width / 2), (0.1, 0.5, sign * body.width / 2),
                   (self.length - 0.1, 0.5, sign * body.width / 2),
                   (self.length - 0.1, body.profile[0][1], sign * body.width / 2)], self.paint_color, 0.6)  # fmt: skip
        for pane in body.panes:
            self.fill([(*p, sign * self.half(p[1])) for p in pane], canvas.vary(_GLASS, 12))
        for axle in body.wheels:
            for radius, color in _TYRE_RINGS[: 4 if self.distance < _DETAIL else 1]:
                self._wheel(axle, radius * body.radius, sign * body.width / 2, color)

    def _wheel(self, axle: float, radius: float, w: float, color: Color) -> None:
        self.fill([(axle + radius * c, self.body.radius + radius * s, w) for c, s in _CIRCLE], color)

    def _tyres(self) -> None:
        half, low = self.body.width / 2, self.body.profile[0][1]
        for axle in self.body.wheels:
            for sign in (-1, 1):
                outer, inner = sign * half * 0.98, sign * (half * 0.98 - 0.24)
                ends = (axle - self.body.radius, axle + self.body.radius)
                for end in ends:
                    self.fill([(end, 0, outer), (end, low + 0.1, outer), (end, low + 0.1, inner), (end, 0, inner)], _TYRE)

    def _lamps(self, front: bool) -> None:
        canvas, half = self.canvas, self.body.width / 2
        end = self.length if front else 0.0
        low, high = self.body.profile[0][1], self.body.profile[0][1] + 0.14
        self.fill([(end, low, -half * 0.96), (end, high, -half * 0.96), (end, high, half * 0.96), (end, low, half * 0.96)],
                  (44, 44, 46))  # fmt: skip
        level = 0.55 * self.body.waist + 0.18 if self.body.waist < 3 else 0.8
        on = canvas.chance(canvas.mood.lit * 2 + (0.1 if front else 0.15))
        color = ((255, 250, 224) if on else (176, 178, 180)) if front else ((255, 40, 30) if on else (140, 26, 26))
        for sign in (-1, 1):
            outer, inner = sign * half * 0.95, sign * half * 0.62
            self.fill([(end, level, outer), (end, level + 0.2, outer), (end, level + 0.16, inner), (end, level, inner)], color)
        plate = canvas.pick(((222, 222, 216), (224, 196, 90), (222, 222, 216)))
        self.fill([(end, level - 0.22, -0.26), (end, level - 0.1, -0.26), (end, level - 0.1, 0.26), (end, level - 0.22, 0.26)], plate)  # fmt: skip
        if front:
            self.fill([(end, level, -half * 0.5), (end, level + 0.14, -half * 0.5), (end, level + 0.14, half * 0.5),
                       (end, level, half * 0.5)], (26, 26, 28))  # fmt: skip


def two_wheeler(canvas: Canvas, x: float, z: float, motor: bool) -> Thing:
    """Plan a motorbike (seen from its end) or a bicycle (seen from its side), without a rider."""

    def paint() -> None:
        left, ground, scale = canvas.foot(x, z)
        color = canvas.tint(canvas.vary(canvas.pick(_PAINTS), 20), z)
        dark = canvas.tint(_TYRE, z)
        if motor:
            canvas.ellipse(left, ground - 0.34 * scale, 0.11 * scale, 0.34 * scale, dark, VEHICLE)
            canvas.ellipse(left, ground - 0.72 * scale, 0.2 * scale, 0.26 * scale, color, VEHICLE)
            canvas.line((left - 0.36 * scale, ground - 1.0 * scale), (left + 0.36 * scale, ground - 1.0 * scale), 0.06 * scale, dark, VEHICLE)  # fmt: skip
            canvas.ellipse(left, ground - 0.74 * scale, 0.08 * scale, 0.06 * scale, canvas.tint((230, 60, 50), z), VEHICLE)  # fmt: skip
            return
        rim = max(2, round(0.06 * scale))
        for dx in (-0.52, 0.52):
            canvas.ellipse(left + dx * scale, ground - 0.34 * scale, 0.33 * scale, 0.33 * scale, dark, VEHICLE, rim)
        frame = ((-0.52, 0.34), (-0.18, 0.86), (0.36, 0.84), (0.0, 0.32), (-0.52, 0.34), (-0.1, 0.36), (-0.18, 0.94))
        for (x0, y0), (x1, y1) in zip((*frame, (0.36, 0.98)), (*frame[1:], (0.42, 1.0), (0.52, 0.34)), strict=False):
            canvas.line((left + x0 * scale, ground - y0 * scale), (left + x1 * scale, ground - y1 * scale), 0.05 * scale, color, VEHICLE)  # fmt: skip

    return Thing(z, paint, (x - 0.5, x + 0.5, z - 0.2, z + 0.2), 1.1)
