"""Weather, season and time of day of a generated street, and what the camera makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Color = tuple[float, float, float]

# Quantiles of the normal distribution: turns random bytes into sensor noise.
_GAUSS = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)], np.float32)


@dataclass(frozen=True)
class Mood:
    """Weather, season and light of one scene.

    Attributes:
        sky_top: Colour of the sky at the upper edge.
        sky_low: Colour of the sky at the horizon.
        clouds: How much clouds stand out, 0..1.
        cloud_color: Colour of the clouds.
        haze_color: What far things fade to.
        haze: Fading per metre.
        sun: Length of a shadow to the right per metre of height (negative: to the left).
        shadow: Darkness of shadows, 0..1.
        gain: Exposure of red, green and blue.
        gamma: Tone curve; above 1 is darker.
        noise: Deviation of the sensor noise, grey levels.
        lit: Share of lit windows; lamps are on from 0.2 on.
        leaves: Dark and light colours of foliage, one pair per kind of tree.
        grass: Dark and light colour of grass.
    """

    sky_top: Color
    sky_low: Color
    clouds: float
    cloud_color: Color
    haze_color: Color
    haze: float
    sun: float
    shadow: float
    gain: Color
    gamma: float
    noise: float
    lit: float
    leaves: tuple[tuple[Color, Color], ...]
    grass: tuple[Color, Color]

    def clarity(self, z: float) -> float:
        """Return how much of a colour is left at the distance ``z`` (metres), 0..1."""
        return math.exp(-self.haze * max(z, 0.0))


_SUMMER = (((18, 38, 14), (118, 150, 72)), ((14, 34, 20), (84, 122, 66)), ((30, 44, 14), (148, 160, 82)))
_AUTUMN = (((50, 30, 12), (186, 128, 54)), ((48, 38, 14), (170, 150, 60)), ((40, 24, 16), (138, 88, 60)))
_WINTER = (((36, 32, 28), (118, 108, 96)), ((22, 34, 24), (74, 94, 68)), ((44, 40, 34), (134, 122, 108)))
_GRASS = {_SUMMER: ((52, 78, 34), (122, 146, 74)), _AUTUMN: ((84, 78, 36), (150, 134, 74)),
          _WINTER: ((88, 84, 62), (142, 136, 104))}  # fmt: skip

_CLEAR = Mood((84, 136, 206), (186, 212, 234), 0.5, (240, 242, 246), (186, 204, 224), 0.004, 0.8, 0.55,
              (1.06, 1.0, 0.94), 1.0, 3.0, 0.0, _SUMMER, _GRASS[_SUMMER])  # fmt: skip
_WEATHER = (
    (0.40, _CLEAR),
    (0.27, replace(_CLEAR, sky_top=(176, 184, 192), sky_low=(216, 220, 222), clouds=0.8,
                   cloud_color=(152, 160, 168), haze_color=(204, 208, 210), haze=0.007, shadow=0.1,
                   gain=(0.93, 0.95, 0.97))),
    (0.11, replace(_CLEAR, sky_top=(196, 202, 206), sky_low=(222, 224, 224), clouds=0.1,
                   cloud_color=(206, 208, 210), haze_color=(214, 216, 216), haze=0.022, shadow=0.05,
                   gain=(0.92, 0.94, 0.95))),
    (0.14, replace(_CLEAR, sky_top=(122, 132, 176), sky_low=(250, 196, 140), clouds=0.8,
                   cloud_color=(232, 150, 120), haze_color=(222, 182, 150), haze=0.008, sun=2.2, shadow=0.5,
                   gain=(1.04, 0.92, 0.82), gamma=1.05, noise=5.0, lit=0.15)),
    (0.08, replace(_CLEAR, sky_top=(58, 70, 112), sky_low=(136, 132, 152), clouds=0.5,
                   cloud_color=(62, 66, 92), haze_color=(104, 106, 128), haze=0.010, shadow=0.05,
                   gain=(0.72, 0.75, 0.86), gamma=1.2, noise=8.0, lit=0.4)),
)  # fmt: skip


def draw_mood(rng: np.random.Generator) -> Mood:
    """Draw weather and season."""
    point = float(rng.random())
    base = _WEATHER[-1][1]
    for share, mood in _WEATHER:
        if point < share:
            base = mood
            break
        point -= share
    leaves = (_SUMMER, _SUMMER, _AUTUMN, _WINTER)[int(rng.integers(4))]
    exposure = rng.uniform(0.78, 1.16)
    red, green, blue = (g * exposure * rng.uniform(0.95, 1.05) for g in base.gain)
    return replace(
        base,
        sun=base.sun * rng.uniform(0.4, 1.5) * (1 if rng.random() < 0.5 else -1),
        haze=base.haze * rng.uniform(0.6, 1.6),
        gain=(red, green, blue),
        gamma=base.gamma * rng.uniform(0.85, 1.2),
        noise=base.noise * rng.uniform(0.6, 1.8),
        clouds=base.clouds * rng.uniform(0.2, 1.2),
        leaves=leaves,
        grass=_GRASS[leaves],
    )


def develop(rgb: Array, mood: Mood, rng: np.random.Generator) -> Array:
    """Turn a painted picture ``[H, W, 3]`` uint8 into what a car's camera would record.

    Lens blur, glow of lamps in the dark, exposure, tone curve, sensor noise, compression.
    """
    image = cv2.GaussianBlur(rgb, (3, 3), float(rng.uniform(0.25, 0.65)))
    levels = np.linspace(0, 1, 256, dtype=np.float32)[:, None] ** mood.gamma * np.array(mood.gain, np.float32)
    levels = np.where(levels < 0.75, levels, 0.75 + 0.25 * np.tanh((levels - 0.75) / 0.25))
    table = (255 * np.clip(levels, 0, 1)).astype(np.uint8)
    image = cv2.LUT(image, table[None])
    if mood.lit > 0.1:
        image = _glow(image)
    height, width = image.shape[:2]
    raw = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(height, width, 3)
    noise = cv2.LUT(raw, np.clip(128 + mood.noise * _GAUSS, 0, 255).astype(np.uint8))
    image = cv2.addWeighted(image, 1.0, noise, 1.0, -128)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(72, 96))]
    decoded = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded just now
    return decoded


def _glow(image: Array) -> Array:
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    bright = cv2.GaussianBlur(cv2.subtract(small, np.full_like(small, 110)), (0, 0), max(0.6, width / 160))
    return cv2.addWeighted(image, 1.0, cv2.resize(bright, (width, height)), 0.7, 0)
