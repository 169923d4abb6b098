"""Sky, road, pavements and the shadows on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.scene.canvas import CONSTRUCTION, FLAT, GRASS, NATURE, SKY, VOID, Canvas
from segkit.data.scene.texture import SHIFT, Color, clip, colored, fixed, ramp

Array = NDArray[Any]
_BONNETS: tuple[Color, ...] = ((34, 36, 40), (22, 24, 30), (150, 152, 156), (70, 26, 28), (40, 52, 84))
FAR = 130.0  # metres; the street ends here


@dataclass(frozen=True)
class Street:
    """Plan of one street; X in metres to the right of the camera.

    Attributes:
        curbs: X of the left and the right edge of the road.
        walls: X of the left and the right building line.
        lanes: ``(x, oncoming)`` of each lane's middle.
        parking: Whether cars park along the left and the right curb.
        verge: Width of the grass between curb and pavement, left and right, metres.
        crossing: Distance of a pedestrian crossing, metres; 0 if there is none.
        green: Chance that a plot is a garden or park instead of a building.
        tall: Mean height of the buildings, metres.
    """

    curbs: tuple[float, float]
    walls: tuple[float, float]
    lanes: tuple[tuple[float, bool], ...]
    parking: tuple[bool, bool]
    verge: tuple[float, float]
    crossing: float
    green: float
    tall: float


def plan_street(canvas: Canvas) -> Street:
    """Draw the plan of a street."""
    lane = canvas.uniform(2.9, 3.6)
    parking = canvas.chance(0.55), canvas.chance(0.6)
    ahead, oncoming = canvas.pick(((1, 1), (1, 1), (1, 1), (2, 1), (2, 2), (1, 0)))
    shift = canvas.uniform(-0.4, 0.4)
    own = [(shift + i * lane, False) for i in range(ahead)]
    other = [(shift - (i + 1) * lane, True) for i in range(oncoming)]
    lanes = sorted(own + other)
    left = lanes[0][0] - lane / 2 - 2.2 * parking[0]
    right = lanes[-1][0] + lane / 2 + 2.2 * parking[1]
    verge = tuple(canvas.uniform(1.0, 3.0) * canvas.chance(0.35) for _ in range(2))
    green, tall = canvas.pick(((0.15, 19.0), (0.35, 16.0), (0.6, 11.0), (0.85, 12.0)))
    return Street(
        curbs=(left, right),
        walls=(left - verge[0] - canvas.uniform(2.5, 6.0), right + verge[1] + canvas.uniform(2.5, 6.0)),
        lanes=tuple(lanes),
        parking=parking,
        verge=(verge[0], verge[1]),
        crossing=canvas.uniform(9, 28) if canvas.chance(0.4) else 0.0,
        green=green,
        tall=tall,
    )


def paint_sky(canvas: Canvas) -> None:
    """Fill everything above the horizon: gradient, clouds and a distant skyline."""
    mood = canvas.mood
    rows, columns = canvas.pixels.shape[:2]
    bottom = min(rows, int(canvas.center[1]) + 2)
    height, width = max(1, bottom // 7), max(1, columns // 7)  # smooth: painted small
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 0.7
    sky = np.array(mood.sky_top, np.float32) * (1 - down) + np.array(mood.sky_low, np.float32) * down
    noise = cv2.resize(canvas.crop(canvas.cloud, 110, 180), (width, height))
    cover = np.clip((noise.astype(np.float32) - 115) / 90, 0, 1)[..., None] * mood.clouds
    sky = np.dstack(
        [sky + (np.array(mood.cloud_color, np.float32) - sky) * cover, np.full(noise.shape, SKY + 1)]
    )
    canvas.pixels[:bottom] = cv2.resize(np.clip(sky, 0, 255).astype(np.uint8), (columns, bottom))
    _skyline(canvas)


def _skyline(canvas: Canvas) -> None:
    label = NATURE if canvas.chance(0.55) else CONSTRUCTION
    color = (
        _middle(canvas.mood.leaves[1]) if label == NATURE else canvas.pick(((122, 112, 104), (96, 100, 110)))
    )
    columns, base = canvas.pixels.shape[1], canvas.center[1]
    steps = 90 if label == NATURE else 18
    tall = canvas.uniform(6, 16) * canvas.focal / FAR
    outline = [(columns + 1.0, base + 2), (-1.0, base + 2)]
    for step in range(steps):
        rise = tall * canvas.uniform(0.55, 1.0)
        ends = (step + 0.5,) if label == NATURE else (step, step + 1)
        outline += [(columns * end / steps, base - rise) for end in ends]
    canvas.polygon(outline, canvas.tint(color, FAR * canvas.uniform(0.5, 1)), label)


def paint_ground(canvas: Canvas, street: Street) -> None:
    """Paint road, pavements, verges and markings in plain colours."""
    asphalt = canvas.vary(canvas.pick(((104, 102, 104), (92, 92, 96), (122, 116, 110), (80, 82, 88))), 12)
    paving = canvas.vary(
        canvas.pick(((142, 136, 130), (126, 122, 122), (154, 136, 122), (118, 112, 106))), 12
    )
    top = max(0, int(canvas.center[1]) + 1)
    cv2.rectangle(canvas.pixels, (0, top), canvas.pixels.shape[1::-1], (*clip(paving), FLAT + 1), -1)
    for side, sign in enumerate((-1, 1)):
        curb, wall = street.curbs[side], street.walls[side]
        if canvas.chance(street.green):
            _strip(canvas, wall, wall + sign * 60, _middle(canvas.mood.grass), GRASS)
        if street.verge[side]:
            _strip(canvas, curb, curb + sign * street.verge[side], _middle(canvas.mood.grass), GRASS)
    _strip(canvas, *street.curbs, asphalt)
    _markings(canvas, street)
    for side, sign in enumerate((-1, 1)):
        stone = canvas.vary((168, 164, 158), 10)
        _strip(canvas, street.curbs[side], street.curbs[side] + sign * 0.18, stone)
        _strip(canvas, street.curbs[side] - sign * 0.35, street.curbs[side], _scaled(asphalt, 0.82))


def _middle(pair: tuple[Color, Color]) -> Color:
    (a, b, c), (d, e, f) = pair
    return (a + d) / 2, (b + e) / 2, (c + f) / 2


def _scaled(color: Color, factor: float) -> Color:
    r, g, b = color
    return r * factor, g * factor, b * factor


def _strip(canvas: Canvas, x0: float, x1: float, color: Color, label: int = FLAT, z0: float = 1.0,
           z1: float = 4 * FAR) -> None:  # fmt: skip
    corners = [(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)]
    canvas.polygon(canvas.project(corners), color, label)


def _markings(canvas: Canvas, street: Street) -> None:
    white = canvas.vary((206, 206, 200), 24)
    worn = canvas.uniform(0.45, 1.0)
    gray = _strip_color(white, worn)
    xs = [x for x, _ in street.lanes]
    for (x0, away0), (x1, away1) in zip(street.lanes, street.lanes[1:], strict=False):
        middle, solid = (x0 + x1) / 2, away0 != away1 and canvas.chance(0.3)
        if solid:
            _strip(canvas, middle - 0.07, middle + 0.07, gray)
            continue
        period, phase = canvas.uniform(6, 12), canvas.uniform(0, 6)
        for z in np.arange(1.5 + phase, 80, period).tolist():
            _strip(canvas, middle - 0.08, middle + 0.08, gray, z0=z, z1=z + period * 0.4)
    for side, sign in enumerate((-1, 1)):
        if street.parking[side] and canvas.chance(0.7):
            edge = street.curbs[side] - sign * 2.2
            _strip(canvas, edge - 0.06, edge + 0.06, gray)
    if street.crossing:
        z = street.crossing
        for x in np.arange(street.curbs[0] + 0.4, street.curbs[1] - 0.3, 1.0).tolist():
            _strip(canvas, x, x + 0.5, gray, z0=z, z1=z + 3.2)
    if canvas.chance(0.3):
        _arrow(canvas, canvas.pick(xs), canvas.uniform(8, 18), gray)
    for _ in range(canvas.integer(0, 4)):  # manholes and patches of newer asphalt
        x, z, dark = canvas.uniform(*street.curbs), canvas.uniform(6, 40), canvas.uniform(50, 110)
        _strip(
            canvas, x, x + canvas.uniform(0.5, 2.2), (dark, dark, dark), z0=z, z1=z + canvas.uniform(0.6, 6)
        )


def _strip_color(white: Color, worn: float) -> Color:
    r, g, b = (100 + (c - 100) * worn for c in white)
    return r, g, b


def _arrow(canvas: Canvas, x: float, z: float, color: Color) -> None:
    shape = ((-0.08, 0), (0.08, 0), (0.08, 3), (0.4, 3), (0, 5), (-0.4, 3), (-0.08, 3))
    canvas.polygon(canvas.project((x + a, 0.0, z + b) for a, b in shape), color, FLAT)


def paint_bonnet(canvas: Canvas) -> None:
    """Paint the bonnet of the car that carries the camera over the lower edge."""
    rows, columns = canvas.pixels.shape[:2]
    rise = rows * canvas.uniform(0.07, 0.18)
    middle, half = columns * canvas.uniform(0.44, 0.56), columns * canvas.uniform(0.46, 0.62)
    flat = canvas.uniform(2.5, 6)
    outline = [(middle + half * t / 20, rows - rise * (1 - abs(t / 20) ** flat)) for t in range(-20, 21)]
    outline += [(middle + half, rows + 4.0), (middle - half, rows + 4.0)]
    top = max(0, int(rows - rise) - 1)
    mask = np.zeros((rows - top, columns), np.uint8)
    cv2.fillPoly(mask, [fixed((x, y - top) for x, y in outline)], 1, cv2.LINE_8, SHIFT)
    # A bonnet mirrors the sky: brightest at its far edge.
    height, width = max(1, (rows - top) // 2), columns // 2
    down = np.linspace(235, 20, height).astype(np.uint8)[:, None].repeat(width, 1)
    noise = cv2.resize(canvas.crop(canvas.cloud, 24, 100), (width, height))
    shine = np.maximum(cv2.addWeighted(down, 0.75, noise, 0.3, -10), 1)
    color = canvas.vary(canvas.pick(_BONNETS))
    (r, g, b), (sr, sg, sb) = color, canvas.mood.sky_low
    light = 0.45 * (r + sr), 0.45 * (g + sg), 0.45 * (b + sb)
    patch = cv2.resize(colored(shine, ramp(color, light, VOID)), (columns, rows - top))
    cv2.copyTo(patch, mask, canvas.pixels[top:])
