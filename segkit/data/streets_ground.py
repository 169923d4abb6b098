"""Sky, road, pavements and the shadows on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.streets_canvas import (
    CONSTRUCTION,
    FLAT,
    NATURE,
    SKY,
    SUPERSAMPLE,
    VOID,
    Canvas,
    Color,
    Thing,
    clip,
    colored,
    fixed,
    ramp,
)

Array = NDArray[Any]
_BONNETS: tuple[Color, ...] = ((34, 36, 40), (22, 24, 30), (150, 152, 156), (70, 26, 28), (40, 52, 84))
FAR = 160.0  # metres; the street ends here


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
    green, tall = canvas.pick(((0.08, 17.0), (0.2, 14.0), (0.4, 9.0), (0.65, 10.0)))
    return Street(
        curbs=(left, right),
        walls=(left - verge[0] - canvas.uniform(2.2, 5.0), right + verge[1] + canvas.uniform(2.2, 5.0)),
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
    height, width = max(1, bottom // 4), max(1, columns // 4)  # smooth: painted small
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 0.7
    sky = np.array(mood.sky_top, np.float32) * (1 - down) + np.array(mood.sky_low, np.float32) * down
    noise = cv2.resize(canvas.crop(canvas.cloud, 110, 180), (width, height))
    cover = np.clip((noise.astype(np.float32) - 115) / 90, 0, 1)[..., None] * mood.clouds
    sky = np.dstack([sky + (np.array(mood.cloud_color, np.float32) - sky) * cover, np.full(noise.shape, SKY)])
    canvas.pixels[:bottom] = cv2.resize(np.clip(sky, 0, 255).astype(np.uint8), (columns, bottom))
    _skyline(canvas)


def _skyline(canvas: Canvas) -> None:
    label = NATURE if canvas.chance(0.55) else CONSTRUCTION
    color = canvas.mood.leaves[0][1] if label == NATURE else canvas.pick(((122, 112, 104), (96, 100, 110)))
    columns, base = canvas.pixels.shape[1], canvas.center[1]
    steps = 40 if label == NATURE else 18
    tall = canvas.uniform(6, 16) * canvas.focal / FAR
    outline = [(columns + 1.0, base + 2), (-1.0, base + 2)]
    for step in range(steps):
        rise = tall * canvas.uniform(0.4, 1.0)
        ends = (step + 0.5,) if label == NATURE else (step, step + 1)
        outline += [(columns * end / steps, base - rise) for end in ends]
    canvas.polygon(outline, canvas.tint(color, FAR * canvas.uniform(0.5, 1)), label)


def paint_ground(canvas: Canvas, street: Street, things: list[Thing]) -> None:
    """Paint road, pavements, verges and markings, their texture, and the shadows of ``things``."""
    asphalt = canvas.vary(canvas.pick(((104, 102, 104), (92, 92, 96), (122, 116, 110), (80, 82, 88))), 12)
    paving = canvas.vary(canvas.pick(((142, 136, 130), (126, 122, 122), (154, 136, 122), (118, 112, 106))), 12)
    top = max(0, int(canvas.center[1]) + 1)
    canvas.pixels[top:, :, :3] = clip(paving)
    canvas.pixels[top:, :, 3] = FLAT
    for side, sign in enumerate((-1, 1)):
        curb, wall = street.curbs[side], street.walls[side]
        if canvas.chance(street.green):
            _strip(canvas, wall, wall + sign * 60, _middle(canvas.mood.grass), NATURE)
        if street.verge[side]:
            _strip(canvas, curb, curb + sign * street.verge[side], _middle(canvas.mood.grass), NATURE)
    _strip(canvas, *street.curbs, asphalt)
    _markings(canvas, street)
    for side, sign in enumerate((-1, 1)):
        stone = canvas.vary((168, 164, 158), 10)
        _strip(canvas, street.curbs[side], street.curbs[side] + sign * 0.18, stone)
        _strip(canvas, street.curbs[side] - sign * 0.35, street.curbs[side], _scaled(asphalt, 0.82))
    if top < canvas.pixels.shape[0]:
        _texture(canvas, top, things)


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
        _strip(canvas, x, x + canvas.uniform(0.5, 2.2), (dark, dark, dark), z0=z, z1=z + canvas.uniform(0.6, 6))


def _strip_color(white: Color, worn: float) -> Color:
    r, g, b = (100 + (c - 100) * worn for c in white)
    return r, g, b


def _arrow(canvas: Canvas, x: float, z: float, color: Color) -> None:
    shape = ((-0.08, 0), (0.08, 0), (0.08, 3), (0.4, 3), (0, 5), (-0.4, 3), (-0.08, 3))
    canvas.polygon(canvas.project((x + a, 0.0, z + b) for a, b in shape), color, FLAT)


def _texture(canvas: Canvas, top: int, things: list[Thing]) -> None:
    """Multiply the ground by stains, grain and shadows, then fade it into the haze."""
    rows, columns = canvas.pixels.shape[:2]
    height, width = max(1, (rows - top) // SUPERSAMPLE), columns // SUPERSAMPLE
    y = top + SUPERSAMPLE * (np.arange(height, dtype=np.float32) + 0.5)
    z = canvas.eye * canvas.focal / np.maximum(y - canvas.center[1], 0.5)
    fade = np.clip(9 / z, 0, 1)[:, None]
    stain = _lay(canvas, canvas.cloud, (14.0, 5.0), top, (width, height)).astype(np.float32)
    grain = _lay(canvas, canvas.grain, (31.0, 29.0), top, (width, height)).astype(np.float32)
    factor = (stain - 128) * 0.2 + (grain - 128) * (0.22 * fade) + 128
    factor *= _shadows(canvas, top, (width, height), things)
    keep = np.exp(-canvas.mood.haze * z)[:, None]
    byte = cv2.resize(cv2.convertScaleAbs(factor * keep), (columns, rows - top))
    area = canvas.pixels[top:]
    cv2.multiply(area, cv2.merge([byte, byte, byte, np.full_like(byte, 128)]), area, 1 / 128)
    haze = (1 - keep[..., None]) * np.array([*canvas.mood.haze_color, 0], np.float32)
    cv2.add(area, cv2.resize(haze.astype(np.uint8), (columns, rows - top)), area)


def _lay(canvas: Canvas, noise: Array, density: tuple[float, float], top: int, size: tuple[int, int]) -> Array:
    """Lay a noise field ``[256, 256]`` on the ground and look at it.

    Args:
        canvas: The camera.
        noise: Repeats itself endlessly.
        density: Its pixels per metre across and along the road.
        top: First row of the ground, canvas pixels.
        size: Width and height of the answer, picture pixels.
    """
    (cx, cy), reach = canvas.center, canvas.eye * canvas.focal
    # From picture pixels to noise: X = eye (x - cx) / (y - cy), Z = eye focal / (y - cy).
    half = (SUPERSAMPLE - 1) / 2
    across, along = density
    matrix = np.array([
        [across * canvas.eye * SUPERSAMPLE, 0, across * canvas.eye * (half - cx)],
        [0, 0, along * reach],
        [0, SUPERSAMPLE, max(top + half - cy, 0.3)],
    ])  # fmt: skip
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(noise, matrix, size, flags=flags, borderMode=cv2.BORDER_WRAP)


def _shadows(canvas: Canvas, top: int, size: tuple[int, int], things: list[Thing]) -> Array:
    """Return how much light reaches the ground ``[height, width]`` float32, 0..1; ``size`` is (width, height)."""
    mask = np.full(size[::-1], 255, np.uint8)
    sun, dark = canvas.mood.sun, canvas.mood.shadow
    deep, soft = round(255 * (1 - dark)), round(255 * 0.45)
    plan = []
    for thing in things:
        if not thing.footprint or thing.z > 70:
            continue
        x0, x1, z0, z1 = thing.footprint
        if dark > 0.2:
            reach = min(40.0, thing.height) * sun
            near, far = (x0, x1 + reach) if sun > 0 else (x1, x0 + reach)
            back = 0.25 * abs(reach)
            plan.append((deep, [(near, z0), (far, z0 + back), (far, z1 + back), (near, z1)]))
        if thing.height < 4.5:  # the darkness under it, whatever the weather
            plan.append((soft, [(x0, z0), (x1, z0), (x1, z1), (x0, z1)]))
    for level, corners in sorted(plan, key=lambda entry: -entry[0]):
        pixels = canvas.project((x, 0.0, max(z, 1.5)) for x, z in corners)
        small = fixed((x / SUPERSAMPLE, (y - top) / SUPERSAMPLE) for x, y in pixels)
        cv2.fillPoly(mask, [small], level, cv2.LINE_8, 3)
    kernel = 2 * round(canvas.width / 250) + 1
    return cv2.blur(mask, (kernel, kernel)).astype(np.float32) / 255


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
    cv2.fillPoly(mask, [fixed((x, y - top) for x, y in outline)], 1, cv2.LINE_8, 3)
    # A bonnet mirrors the sky: brightest at its far edge.
    height, width = max(1, (rows - top) // 2), columns // 2
    down = np.linspace(235, 20, height).astype(np.uint8)[:, None].repeat(width, 1)
    noise = cv2.resize(canvas.crop(canvas.cloud, 24, 100), (width, height))
    shine = cv2.max(cv2.addWeighted(down, 0.75, noise, 0.3, -10), 1)
    color = canvas.vary(canvas.pick(_BONNETS))
    (r, g, b), (sr, sg, sb) = color, canvas.mood.sky_low
    light = 0.45 * (r + sr), 0.45 * (g + sg), 0.45 * (b + sb)
    patch = cv2.resize(colored(shine, ramp(color, light, VOID)), (columns, rows - top))
    patch[..., 3] = VOID
    cv2.copyTo(patch, mask, canvas.pixels[top:])
