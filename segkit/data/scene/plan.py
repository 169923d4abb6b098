"""Where things stand in a generated street."""

from __future__ import annotations

import math

import numpy as np

from segkit.data.scene import object as furniture
from segkit.data.scene.building import building, fence
from segkit.data.scene.canvas import Canvas, Thing
from segkit.data.scene.ground import FAR, Street
from segkit.data.scene.nature import Foliage
from segkit.data.scene.people import person, rider
from segkit.data.scene.vehicle import two_wheeler, vehicle


def plan_plots(canvas: Canvas, street: Street, leaves: Foliage) -> list[Thing]:
    """Plan what stands along and behind the building lines."""
    things: list[Thing] = []
    columns = canvas.pixels.shape[1]
    for side, wall in zip((-1, 1), street.walls, strict=True):
        room = canvas.center[0] if side < 0 else columns - canvas.center[0]
        z = max(2.0, abs(wall) * canvas.focal / room * canvas.uniform(0.5, 0.9))
        height, gap = street.tall * canvas.uniform(0.6, 1.4), False
        while z < FAR:
            length = canvas.uniform(9, 20) * (1 + z / 60)
            if canvas.chance(street.green):
                things += _garden(canvas, leaves, side, wall, z, z + length)
                gap = True
            else:
                nearer, height = (
                    height,
                    height * canvas.uniform(0.5, 1) + street.tall * canvas.uniform(0, 0.7),
                )
                height = min(30.0, max(4.0, height))
                setback = canvas.uniform(-1, 3) * canvas.chance(0.25)
                seen = gap or setback < 0 or height > nearer
                things.append(building(canvas, side, wall + side * setback, z, z + length, height, seen))
                gap = setback > 0
            space = canvas.uniform(2, 9) * canvas.chance(0.2)
            gap = gap or space > 0
            z += length + space
    return things


def _garden(canvas: Canvas, leaves: Foliage, side: int, wall: float, z0: float, z1: float) -> list[Thing]:
    things = []
    kind = canvas.random()
    if kind < 0.45:
        things.append(leaves.hedge(wall, z0, z1, canvas.uniform(1.0, 2.2)))
    elif kind < 0.75:
        things.append(fence(canvas, wall, z0, z1))
    for _ in range(canvas.integer(1, 3) if z0 < 50 else 1):
        x = wall + side * canvas.uniform(1.5, 9)
        things.append(leaves.tree(x, canvas.uniform(z0, z1), canvas.uniform(5, 13)))
    if canvas.chance(0.5):
        things.append(
            leaves.bush(
                wall + side * 1.5, canvas.uniform(z0, z1), canvas.uniform(1.5, 4), canvas.uniform(1, 2)
            )
        )
    return things


def plan_crowd(canvas: Canvas, street: Street, leaves: Foliage) -> list[Thing]:
    """Plan what stands or moves before the building lines."""
    things = _traffic(canvas, street)
    for side, sign in enumerate((-1, 1)):
        curb, wall = street.curbs[side], street.walls[side]
        inner = curb + sign * (0.5 + street.verge[side] / 2)
        if canvas.chance(0.6 + 0.3 * (street.verge[side] > 0)):
            spacing, height = canvas.uniform(8, 15), canvas.uniform(6, 12)
            for z in np.arange(canvas.uniform(8, 16), 65, spacing).tolist():
                things.append(
                    leaves.tree(inner, z + canvas.uniform(-1, 1), height * canvas.uniform(0.8, 1.2))
                )
        first, gap = canvas.uniform(9, 30), canvas.uniform(20, 36)
        for z in np.arange(first, 80, gap).tolist():
            things.append(furniture.lamp(canvas, inner, z))
        for _ in range(canvas.integer(0, 3)):
            kind = canvas.pick((furniture.sign, furniture.sign, furniture.pole, furniture.traffic_light))
            things.append(kind(canvas, inner + sign * canvas.uniform(-0.3, 0.4), _depth(canvas, 8, 50)))
        for _ in range(canvas.integer(0, 3)):
            x = canvas.uniform(0.4, 1.0) * (wall - curb) + curb
            things.append(furniture.clutter(canvas, x, _depth(canvas, 8, 40)))
        things += _walkers(canvas, curb + sign * street.verge[side], wall)
    if street.crossing and canvas.chance(0.7):
        for _ in range(canvas.integer(1, 4)):
            z = street.crossing + canvas.uniform(0.3, 2.8)
            things.append(person(canvas, canvas.uniform(*street.curbs), z))
    return things


def _walkers(canvas: Canvas, inner: float, wall: float) -> list[Thing]:
    things = []
    for _ in range(canvas.integer(0, 5)):
        x, z = canvas.uniform(inner, wall - 0.4 * np.sign(wall)), _depth(canvas, 8, 45)
        company = 1 + int(canvas.chance(0.35))
        for i in range(company):
            things.append(person(canvas, x + 0.6 * i, z + 0.2 * i, child=bool(i) and canvas.chance(0.4)))
    return things


def _depth(canvas: Canvas, near: float, far: float) -> float:
    """Draw a distance; near ones are likelier, as a camera sees them."""
    return near + (far - near) * canvas.random() ** 1.6


def _traffic(canvas: Canvas, street: Street) -> list[Thing]:
    things = []
    for side, sign in enumerate((-1, 1)):
        if not street.parking[side]:
            continue
        x, z = street.curbs[side] - sign * 1.15, canvas.uniform(5, 16)
        while z < 70:
            if canvas.chance(0.5):
                heading = canvas.uniform(-0.03, 0.03) + math.pi * (sign < 0 and canvas.chance(0.7))
                things.append(vehicle(canvas, x, z, heading, large=False))
            z += canvas.uniform(5.6, 8)
    for x, oncoming in street.lanes:
        z = canvas.uniform(13, 60)
        while z < 85:
            heading = canvas.uniform(-0.04, 0.04) + math.pi * oncoming
            if canvas.chance(0.12):
                things += [two_wheeler(canvas, x, z, True), rider(canvas, x, z, True)]
            else:
                things.append(vehicle(canvas, x, z, heading))
            z += canvas.uniform(14, 60)
    if canvas.chance(0.12):  # one comes out of a side street
        x, turn = canvas.uniform(*street.curbs), canvas.pick((-1, 1)) * math.pi / 2
        things.append(vehicle(canvas, x, canvas.uniform(14, 40), turn + canvas.uniform(-0.3, 0.3)))
    if canvas.chance(0.3):
        side = canvas.integer(0, 1)
        x, z = street.curbs[side] * 0.85, _depth(canvas, 9, 35)
        things.append(two_wheeler(canvas, x, z, False))
        things += [rider(canvas, x, z, False)] * canvas.chance(0.7)
    return things
