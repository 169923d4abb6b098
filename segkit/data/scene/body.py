"""Shapes of the vehicles of a generated street, in metres."""

from __future__ import annotations

from dataclasses import dataclass

Outline = tuple[tuple[float, float], ...]


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

    profile: Outline
    glass: tuple[int, ...]
    panes: tuple[Outline, ...]
    wheels: tuple[float, ...]
    radius: float
    width: float
    waist: float


_HATCH = Body(
    (
        (0.05, 0.3),
        (0, 0.62),
        (0.1, 0.98),
        (0.55, 1.42),
        (1.2, 1.5),
        (2.3, 1.46),
        (3.15, 1.0),
        (3.95, 0.82),
        (4.1, 0.3),
    ),
    (2, 5),
    (
        ((0.55, 1.0), (0.75, 1.36), (1.45, 1.4), (1.45, 0.98)),
        ((1.52, 0.98), (1.52, 1.4), (2.25, 1.36), (2.85, 0.98)),
    ),
    (0.75, 3.3),
    0.32,
    1.76,
    0.95,
)
_SEDAN = Body(
    (
        (0.05, 0.3),
        (0, 0.65),
        (0.08, 0.98),
        (0.75, 1.04),
        (1.35, 1.4),
        (2.6, 1.43),
        (3.4, 0.98),
        (4.4, 0.8),
        (4.55, 0.3),
    ),
    (3, 5),
    (
        ((1.0, 1.02), (1.45, 1.32), (1.95, 1.35), (1.95, 0.98)),
        ((2.02, 0.98), (2.02, 1.36), (2.6, 1.34), (3.15, 0.98)),
    ),
    (0.9, 3.65),
    0.33,
    1.82,
    0.96,
)
_SUV = Body(
    (
        (0.05, 0.36),
        (0, 0.7),
        (0.06, 1.12),
        (0.35, 1.62),
        (1.2, 1.72),
        (2.6, 1.68),
        (3.3, 1.14),
        (4.3, 0.98),
        (4.45, 0.36),
    ),
    (2, 5),
    (
        ((0.4, 1.14), (0.6, 1.55), (1.6, 1.6), (1.6, 1.12)),
        ((1.68, 1.12), (1.68, 1.6), (2.55, 1.56), (3.0, 1.12)),
    ),
    (0.85, 3.55),
    0.37,
    1.88,
    1.1,
)
_VAN = Body(
    ((0.0, 0.35), (0, 1.15), (0.06, 1.95), (0.15, 2.35), (3.9, 2.35), (4.7, 1.35), (5.3, 1.1), (5.4, 0.35)),
    (1, 4),
    (((3.3, 1.35), (3.3, 2.0), (3.95, 2.0), (4.45, 1.35)),),
    (0.95, 4.4),
    0.36,
    2.0,
    1.5,
)
_BUS = Body(
    ((0.0, 0.4), (0, 1.5), (0.05, 2.5), (0.1, 3.05), (11.7, 3.05), (11.85, 2.75), (11.95, 1.1), (12, 0.4)),
    (1, 5),
    tuple(
        ((a, 1.2), (a, 2.5), (a + 1.55, 2.5), (a + 1.55, 1.2)) for a in (0.4, 2.1, 3.8, 5.5, 7.2, 8.9, 10.3)
    ),
    (2.9, 9.3),
    0.48,
    2.55,
    2.0,
)
_LORRY = Body(
    (
        (0.0, 0.9),
        (0, 3.4),
        (5.9, 3.4),
        (5.9, 2.9),
        (7.6, 2.9),
        (8.0, 1.6),
        (8.1, 0.5),
        (5.9, 0.5),
        (5.9, 0.9),
    ),
    (4,),
    (((6.3, 1.7), (6.3, 2.5), (7.5, 2.5), (7.7, 1.7)),),
    (1.4, 6.9),
    0.48,
    2.5,
    9.0,
)
KINDS = (_HATCH,) * 5 + (_SEDAN,) * 4 + (_SUV,) * 4 + (_VAN,) * 2 + (_BUS, _LORRY)

SMALL = 15  # how many of them, from the first, are no bus and no lorry
