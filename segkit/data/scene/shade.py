"""What makes the ground of a generated street look like ground: grain, stains, shadows and haze."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.scene.canvas import FLAT, GRASS, NATURE, SUPERSAMPLE, Canvas, Thing
from segkit.data.scene.ground import FAR
from segkit.data.scene.texture import SHIFT, fixed

Array = NDArray[Any]


def finish_ground(canvas: Canvas, image: Array, file_ids: Array, things: list[Thing]) -> None:
    """Give the ground its texture, shadows and haze, and its grass the file id of nature, in place.

    Args:
        canvas: The scene.
        image: ``[height, width, 3]`` uint8, the finished strokes at the size of the picture.
        file_ids: ``[height, width]`` uint8, with `GRASS` where grass grows.
        things: What casts shadows.
    """
    half = (SUPERSAMPLE - 1) / 2
    top = min(canvas.height - 1, max(0, int(canvas.center[1] / SUPERSAMPLE) + 1))
    size = canvas.width, canvas.height - top
    y = SUPERSAMPLE * np.arange(top, canvas.height, dtype=np.float32) + half
    z = (canvas.eye * canvas.focal / np.maximum(y - canvas.center[1], 0.5))[:, None]
    stain = cv2.blur(_lay(canvas, canvas.cloud, (14.0, 5.0), top, size, cv2.BORDER_REFLECT), (3, 3)).astype(
        np.float32
    )
    grain = _lay(canvas, canvas.grain, (31.0, 29.0), top, size, cv2.BORDER_WRAP).astype(np.float32)
    keep = np.exp(-canvas.mood.haze * np.minimum(z, FAR))
    factor = (stain - 128) * (0.2 / 128) + (grain - 128) * (np.minimum(9 / z, 1) * (0.22 / 128)) + 1
    factor *= _shadows(canvas, top, size, things) * keep
    area, ids = image[top:], file_ids[top:]
    byte = cv2.convertScaleAbs(factor, alpha=128)  # in bytes OpenCV is many times faster than numpy here
    haze = (np.array(canvas.mood.haze_color, np.float32) * (1 - keep[..., None])).astype(np.uint8)
    haze = cv2.resize(haze, size, interpolation=cv2.INTER_NEAREST)
    ground = cv2.add(cv2.multiply(area, cv2.merge([byte, byte, byte]), scale=1 / 128), haze)
    cv2.copyTo(ground, ((ids == FLAT) | (ids == GRASS)).astype(np.uint8), area)
    file_ids[file_ids == GRASS] = NATURE


def _lay(
    canvas: Canvas, noise: Array, density: tuple[float, float], top: int, size: tuple[int, int], border: int
) -> Array:
    """Lay a noise field ``[256, 256]`` on the ground, its middle before the camera, and look at it.

    Args:
        canvas: The camera.
        noise: Repeats itself endlessly.
        density: Its pixels per metre across and along the road.
        top: First row of the ground, picture pixels.
        size: Width and height of the answer, picture pixels.
        border: How it repeats itself: one of OpenCV's border modes.
    """
    (cx, cy), reach = canvas.center, canvas.eye * canvas.focal
    # From picture pixels to noise: X = eye (x - cx) / (y - cy), Z = eye focal / (y - cy).
    half = (SUPERSAMPLE - 1) / 2
    across, along = density[0] * canvas.eye, density[1] * reach
    below = max(SUPERSAMPLE * top + half - cy, 0.3)
    matrix = np.array([
        [across * SUPERSAMPLE, 128 * SUPERSAMPLE, across * (half - cx) + 128 * below],
        [0, 0, along],
        [0, SUPERSAMPLE, below],
    ])  # fmt: skip
    return cv2.warpPerspective(
        noise, matrix, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderMode=border
    )


def _shadows(canvas: Canvas, top: int, size: tuple[int, int], things: list[Thing]) -> Array:
    """Return how much light reaches the ground, 0..1: ``[height, width]`` float32."""
    mask = np.full(size[::-1], 255, np.uint8)
    sun, dark = canvas.mood.sun, canvas.mood.shadow
    deep, soft = round(255 * (1 - dark)), round(255 * 0.45)
    plan = []
    for thing in things:
        if not thing.footprint or thing.z > 50:
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
        small = fixed((x / SUPERSAMPLE, y / SUPERSAMPLE - top) for x, y in pixels)
        cv2.fillPoly(mask, [small], level, cv2.LINE_8, SHIFT)
    kernel = 2 * round(canvas.width / 250) + 1
    return cv2.blur(mask, (kernel, kernel)).astype(np.float32) / 255
