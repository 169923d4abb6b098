"""Facts of a scan -> how the classes are balanced, per part, and where in the pictures they lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segkit.data.scan import GRID, NO_MASK, Facts
from segkit.types import SPLITS, LabelSpace, Sample

if TYPE_CHECKING:
    from segkit.types import Array

QUARTILES = {"lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75}


def balance(samples: Sequence[Sample], facts: Facts, labels: LabelSpace) -> dict[str, Any]:
    """Count what the data holds, as a whole and in every part.

    An image counts where its mask could be read and encoded. *Share* is of the labelled
    pixels: ignored ones are left out (multilabel shares may add up to more than 1). A region
    is a 4-connected component. Numbers that have no source are ``None``.

    Args:
        samples: The samples that were scanned, in the same order, with their parts in ``split``.
        facts: What the scan found.
        labels: Names of the K classes.

    Returns:
        Plain containers, ready for JSON:

        ``parts``: per part (``all`` and those of ``train``, ``val``, ``test`` that have samples)
        ``images``, ``masks`` (those that count), ``pixels`` (labelled), ``ignored_share``,
        ``image_sizes``, ``channels`` and ``classes``: K dicts with ``name``, ``pixels``,
        ``share``, ``images`` that show the class, ``image_share``, ``regions`` and
        ``region_pixels`` (see `_region_sizes`).
        ``together``: ``images`` ``[K][K]``, how many images show both classes; ``share``
        ``[K][K]``, of the images that show the class of the row, the share that shows that of
        the column.
        ``position``: ``[K][GRID][GRID]``, of the images in which a cell is labelled, the share
        in which the class lies there (multilabel: of all images with a mask).
    """
    parts: dict[str, Array] = {"all": np.ones(len(samples), bool)}
    split = np.array([s.split for s in samples], str)
    parts |= {part: split == part for part in SPLITS if (split == part).any()}
    return {
        "parts": {name: _part(facts, labels, chosen) for name, chosen in parts.items()},
        "together": _together(facts),
        "position": _position(facts, labels),
    }


def counted(facts: Facts) -> Array:
    """Tell which samples have a mask that could be read and encoded: ``[n]`` bool."""
    return (facts.mask_size > 0).all(1) & (facts.mask_error == "")


def _part(facts: Facts, labels: LabelSpace, chosen: Array) -> dict[str, Any]:
    rows = chosen & counted(facts)
    pixels, ignored = facts.pixels[rows].sum(0), int(facts.ignored[rows].sum())
    area = int(facts.mask_size[rows].astype(np.int64).prod(1).sum())
    labelled, masks = area - ignored, int(rows.sum())
    regions, sizes = facts.components[rows].sum(0, dtype=np.int64), _size_bins(facts, labels, rows)
    shown = (facts.pixels[rows] > 0).sum(0)
    classes = [
        {
            "name": name,
            "pixels": int(pixels[k]),
            "share": _ratio(pixels[k], labelled),
            "images": int(shown[k]),
            "image_share": _ratio(shown[k], masks),
            "regions": int(regions[k]),
            "region_pixels": _region_sizes(sizes[k]),
        }
        for k, name in enumerate(labels.names)
    ]
    return {
        "images": int(chosen.sum()),
        "masks": masks,
        "pixels": labelled,
        "ignored_share": _ratio(ignored, area),
        "image_sizes": _image_sizes(facts.image_size[chosen]),
        "channels": _channels(facts, chosen),
        "classes": classes,
    }


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None


def _size_bins(facts: Facts, labels: LabelSpace, rows: Array) -> Array:
    """How many regions of each class have from 2**b up to below 2**(b + 1) pixels: ``[K, 63]``."""
    bins = np.zeros((labels.num_classes, 63), np.int64)
    sizes = facts.component_sizes[rows[facts.component_sizes[:, 0]]]
    np.add.at(bins, (sizes[:, 1], sizes[:, 2]), sizes[:, 3])
    return bins


def _region_sizes(bins: Array) -> dict[str, Any]:
    """Describe sizes that are known by powers of two.

    Quartiles lie within a factor of two of the true ones: inside a bin sizes are taken to be
    spread evenly on a log scale.

    Returns:
        ``at_least`` and ``at_most``: every region has so many pixels; bounds of the outermost bins,
        within a factor of two of the smallest and the largest region. The quartiles in pixels;
        ``bins``: ``[b, regions]`` pairs. Without a region the numbers are ``None``.
    """
    filled = np.flatnonzero(bins)
    pairs = [[int(b), int(bins[b])] for b in filled]
    if not pairs:
        return {"at_least": None, "at_most": None, **dict.fromkeys(QUARTILES), "bins": []}
    return {
        "at_least": 2 ** pairs[0][0],
        "at_most": 2 ** (pairs[-1][0] + 1) - 1,
        **{name: _quantile(bins, q) for name, q in QUARTILES.items()},
        "bins": pairs,
    }


def _quantile(bins: Array, q: float) -> float:
    below = np.concatenate([[0], np.cumsum(bins)])
    rank = q * below[-1]
    b = int(np.searchsorted(below[1:], rank))  # the first bin that reaches the rank
    low, high = 2**b, 2 ** (b + 1) - 1  # sizes are whole: the first bin holds regions of one pixel
    return float(low * (high / low) ** ((rank - below[b]) / bins[b]))


def _image_sizes(sizes: Array) -> list[dict[str, int]]:
    """Distinct sizes, the most frequent first; unreadable images are left out."""
    found = Counter((int(h), int(w)) for h, w in sizes if h and w)
    order = sorted(found, key=lambda size: (-found[size], size))
    return [{"height": h, "width": w, "images": found[h, w]} for h, w in order]


def _channels(facts: Facts, chosen: Array) -> dict[str, list[float] | None]:
    """Mean and standard deviation of red, green and blue over all pixels of the part.

    From the means m and deviations s of images with n pixels each, the variance is
    ``sum n (s^2 + (m - M)^2) / sum n`` around the common mean M: exact, without a second look.
    """
    area = facts.image_size.astype(np.float64).prod(1) * chosen
    if not area.any():
        return dict.fromkeys(("mean_255", "std_255", "mean", "std"))
    share = (area / area.sum())[:, None]
    mean = (share * facts.channel_mean).sum(0)
    std = np.sqrt((share * (facts.channel_std**2 + (facts.channel_mean - mean) ** 2)).sum(0))
    scaled = {"mean_255": mean, "std_255": std, "mean": mean / 255, "std": std / 255}
    return {name: [float(v) for v in values] for name, values in scaled.items()}


def _together(facts: Facts) -> dict[str, Any]:
    shows = (facts.pixels[counted(facts)] > 0).astype(np.float64)  # BLAS multiplies floats; exact to 2**53
    images = shows.T @ shows
    alone = np.diag(images)
    share = [[float(v / alone[i]) if alone[i] else None for v in row] for i, row in enumerate(images)]
    return {"images": images.astype(np.int64).tolist(), "share": share}


def _position(facts: Facts, labels: LabelSpace) -> list[list[list[float | None]]]:
    grid = facts.grid[(facts.grid[:, 0, 0] != NO_MASK) & counted(facts)].reshape(-1, GRID * GRID)
    counts = np.zeros((labels.num_classes, GRID * GRID), np.int64)
    cells = np.arange(GRID * GRID)
    for row in grid:
        labelled = row != labels.ignore_index
        counts[row[labelled], cells[labelled]] += 1
    total = counts.sum(0) if labels.task != "multilabel" else np.full(GRID * GRID, len(grid))
    share = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    rounded = np.round(share, 6).reshape(-1, GRID, GRID)
    return [[[None if np.isnan(v) else float(v) for v in row] for row in plane] for plane in rounded]
