"""Pairs of nearly equal hashes among very many, without comparing each with each."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from segkit.data.phash import hamming

if TYPE_CHECKING:
    from segkit.types import Array

# Bits of 64 in which the hashes of copies differ. Saved again as JPEG 40 to 90, at half the size, brighter,
# darker, with noise: 4 at most in CamVid, nuclei and generated streets in nine cases of ten.
RADIUS = 4
MOST_COMPARED = 10**7  # hashes per band: half a gigabyte, reached by a film of ten thousand alike frames
CROWD = 64  # images of one hash of which every pair is a candidate


def candidates(hashes: Array) -> tuple[Array, Array]:
    """Pairs of hashes that differ in at most `RADIUS` bits.

    The 64 bits are cut into RADIUS + 1 bands: two hashes that near agree in at least one of
    them, so that only hashes with an equal band are compared (Norouzi et al., "Fast search in
    Hamming space with multi-index hashing", CVPR 2012, with the radius of each band 0).

    Args:
        hashes: ``[n]`` uint64. Of more than `CROWD` equal ones only neighbours are paired.

    Returns:
        Two int64 arrays of positions, the first below the second, each pair once.
    """
    found = [np.zeros((2, 0), np.int64)]
    value, place = np.unique(hashes, return_inverse=True)
    found.append(_runs(place, limit=CROWD))
    first = np.full(len(value), len(hashes))
    np.minimum.at(first, place, np.arange(len(hashes)))
    edges = np.linspace(0, 64, RADIUS + 2).round().astype(int)
    for low, high in itertools.pairwise(edges):
        band = (value >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        pairs = _runs(band, limit=_affordable(band))
        near = hamming(value[pairs[0]], value[pairs[1]]) <= RADIUS
        found.append(np.sort(first[pairs[:, near]], axis=0))
    pairs = np.unique(np.concatenate(found, axis=1), axis=1)
    return pairs[0], pairs[1]


def _affordable(keys: Array) -> int:
    """How far apart equal keys may stand, so that memory is enough for all their pairs."""
    sizes = np.unique(keys, return_counts=True)[1]
    limit = len(keys)
    while limit > 1 and (sizes * np.minimum(sizes - 1, limit)).sum() > MOST_COMPARED:
        limit //= 2
    return limit


def _runs(keys: Array, limit: int) -> Array:
    """Every pair of positions with equal keys at most ``limit`` apart in order: ``[2, m]``."""
    order = np.argsort(keys, kind="stable")
    ranked, found = keys[order], [np.zeros((2, 0), np.int64)]
    start = np.arange(len(order))
    for step in range(1, min(limit, len(order)) + 1):
        start = start[start + step < len(order)]
        start = start[ranked[start] == ranked[start + step]]
        if not start.size:
            break
        found.append(np.stack([order[start], order[start + step]]))
    return np.sort(np.concatenate(found, axis=1), axis=0)
