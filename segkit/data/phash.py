"""Perceptual hashes: copies of a picture have nearly equal ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL = 128  # pixels per side from which the perceptual hash is made
POPCOUNT = np.array([i.bit_count() for i in range(256)], np.uint8)
# Positions of frequencies in a transform of 32x32, from low to high.
WAVES = np.argsort([y * y + x * x for y in range(32) for x in range(32)], kind="stable")[80:144]


def hash_image(image: NDArray[np.uint8]) -> int:
    """Perceptual hash of 64 bits for finding copies: rescaled, recompressed, brighter, darker.

    The signs of 64 frequencies of the cosine transform of a grey thumbnail of 32x32 pixels, as
    in pHash (Zauner, "Implementation and benchmarking of perceptual image hash functions",
    2010), but higher ones: the lowest tell scenes apart, these tell the frames of a video apart.
    0 is never given: it means that there is no picture. Pictures of one color have the hash 1.

    Args:
        image: ``[H, W, 3]`` uint8 RGB.
    """
    small = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_LINEAR)
    grey = cv2.resize(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    waves = cv2.dct(grey.astype(np.float32)).ravel()[WAVES]
    # A picture without any structure must not be told by the rounding of the transform.
    return int.from_bytes(np.packbits(waves > 1e-3).tobytes(), "big") or 1


def hamming(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """How many of the 64 bits differ between perceptual hashes (arrays that broadcast)."""
    bits = np.bitwise_xor(one, other)[..., None].view(np.uint8)
    return POPCOUNT[bits].sum(-1, dtype=np.uint8)
