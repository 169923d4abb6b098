"""How far parts are from their share of every class: the measure of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from segkit.types import Array


@dataclass(frozen=True)
class Divergence:
    """How far the parts are from what was asked for; 0 is perfect.

    Of class c, part p with the ratio r_p above 0 has the share x_cp of its pixels and the share
    m_cp of the images that show it: ``pixels_c = max over p of |x_cp / r_p - 1|``,
    ``images_c = max over p of |m_cp / r_p - 1|``, ``classes_c = (pixels_c + images_c) / 2``.

    Attributes:
        worst: Largest of ``classes``.
        mean: Their mean, every class alike.
        size: ``max over p of |n_p / (n r_p) - 1|`` for the number of images n.
        classes: ``[K]`` float64, nan for a class that no sample shows.
        pixels: The same for pixels alone.
        images: The same for images alone.
        missing: ``[P, K]`` bool: the part (with a ratio above 0) shows the class nowhere.
    """

    worst: float
    mean: float
    size: float
    classes: Array
    pixels: Array
    images: Array
    missing: Array

    @property
    def score(self) -> float:
        """``worst + mean + size``: what `stratify` makes small."""
        return self.worst + self.mean + self.size


def divergence(counts: Array, parts: Array, ratios: Sequence[float]) -> Divergence:
    """Measure a split.

    Args:
        counts: ``[n, K]`` int64, pixels of each class in each sample.
        parts: ``[n]`` int, the part of each sample, an index of ``ratios``.
        ratios: Size that each part was to have, as a share of the whole.
    """
    present, wanted = counts.any(0), np.asarray(ratios, np.float64)
    whole = amounts(counts[:, present])
    held, asked, k = sums(whole, np.asarray(parts), len(wanted)), wanted > 0, int(present.sum())
    off = np.abs(held[asked] / whole.sum(0) / wanted[asked, None] - 1).max(0)
    full = np.full((3, counts.shape[1]), np.nan)
    full[:, present] = (off[:k] + off[k : 2 * k]) / 2, off[:k], off[k : 2 * k]
    missing = np.zeros((len(wanted), counts.shape[1]), bool)
    missing[:, present] = (held[:, k : 2 * k] == 0) & asked[:, None]
    found = full[0, present]
    return Divergence(
        worst=float(found.max(initial=0)),
        mean=float(found.mean()) if k else 0.0,
        size=float(off[-1]),
        classes=full[0],
        pixels=full[1],
        images=full[2],
        missing=missing,
    )


def amounts(counts: Array) -> Array:
    """What is to be divided: ``[n, 2K + 1]`` pixels of each class, images that show it, images."""
    return np.hstack([counts, counts > 0, np.ones((len(counts), 1))]).astype(np.float64)


def sums(values: Array, index: Array, size: int) -> Array:
    """Sum the rows of each index: ``[size, columns]``."""
    return np.stack([np.bincount(index, column, size) for column in values.T], 1).astype(np.float64)
