"""Pictures that are in the data twice, byte by byte or saved again in another way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import cv2
import numpy as np

from segkit.analysis.near import candidates
from segkit.analysis.picture import FLAT
from segkit.data.read import read_image
from segkit.data.scan import NO_MASK
from segkit.data.source import FileSource
from segkit.error import DIVIDE
from segkit.types import SPLITS, UserError

if TYPE_CHECKING:
    from segkit.analysis.evidence import Evidence
    from segkit.data.fault import Fault
    from segkit.types import Array

THUMB = 24  # pixels per side at which candidates are compared: fewer show less of what resizing spoils
# What is left of one thumbnail after the other was fitted to it in brightness and contrast, as a share of its
# standard deviation. Copies: 0.003 to 0.03, at low contrast 0.12; frames of a film in which everything stands
# still, at a red light: 0.0125 and more.
SAME = 0.012  # alone enough: less than any two frames of CamVid
CLOSE = 0.03  # enough where no third picture is nearly as close: where frames stand still, more than two do
STANDS_OUT = 3.0  # times closer than any third
ALIKE = 0.12  # enough where the masks agree
# Share of the grid's cells on which the masks of copies agree, the commonest class not counted: two frames
# that stand still reach 0.96, because people draw every mask anew.
AGREE = 0.97
TELLING = 0.05  # of the cells show another class than the commonest: fewer say nothing about equality
BLAND = 4.0  # grey levels of standard deviation: a hash of less (fog, slides, sky) is the hash of noise
MOST_PAIRS = 3000  # candidates that are opened: a minute's work at most


def duplicates(e: Evidence) -> Iterator[Fault]:
    """Find copies: exact ones and near ones, in one part and in several."""
    exact = _exact(e)
    yield from _told(e, exact, "duplicate", "the same file, byte by byte,")
    same = _labels(exact, len(e.samples))
    pairs = [(i, j) for i, j in near_pairs(e) if same[i] != same[j]]
    near = _join(pairs, len(e.samples))
    yield from _told(e, near, "near_duplicate", "the same picture, saved in another way,")


def _exact(e: Evidence) -> list[list[int]]:
    """Samples whose image files are equal; constant pictures are a fault of their own."""
    telling = (e.facts.image_digest != "") & (e.facts.channel_std.max(1, initial=0) >= FLAT)
    rows = np.flatnonzero(telling)
    _, first, count = np.unique(e.facts.image_digest[rows], return_inverse=True, return_counts=True)
    twice = rows[count[first] > 1]
    groups: dict[str, list[int]] = {}
    for row in twice:
        groups.setdefault(str(e.facts.image_digest[row]), []).append(int(row))
    return list(groups.values())


def near_pairs(e: Evidence) -> list[tuple[int, int]]:
    """Pairs of samples that show the same picture, without those of equal files."""
    rows = np.flatnonzero((e.facts.image_hash != 0) & (e.facts.channel_std.max(1, initial=0) >= BLAND))
    one, other = candidates(e.facts.image_hash[rows])
    one, other = rows[one], rows[other]
    digest = e.facts.image_digest
    differ = (digest[one] != digest[other]) | (digest[one] == "")
    one, other = _plausible(e, one[differ], other[differ])
    thumbs = _thumbs(e, sorted({*one.tolist(), *other.tolist()}))
    left = {
        (i, j): residual(thumbs[i], thumbs[j])
        for i, j in zip(one.tolist(), other.tolist(), strict=True)
        if i in thumbs and j in thumbs
    }
    agree = mask_agreement(e.facts.grid[one], e.facts.grid[other])
    alike = {(int(i), int(j)) for i, j, a in zip(one, other, agree, strict=True) if a >= AGREE}
    return _copies(left, alike)


def _copies(left: dict[tuple[int, int], float], alike: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of candidates, with what one picture leaves of the other, those that are copies."""
    around: dict[int, list[tuple[float, tuple[int, int]]]] = {}
    for pair, value in left.items():
        for row in pair:
            around.setdefault(row, []).append((value, pair))

    def stands_out(pair: tuple[int, int], value: float) -> bool:
        thirds = [v for row in pair for v, other in around[row] if other != pair]
        return value <= CLOSE and min(thirds, default=np.inf) >= STANDS_OUT * value

    return [
        pair
        for pair, value in left.items()
        if value <= SAME or (pair in alike and value <= ALIKE) or stands_out(pair, value)
    ]


def _plausible(e: Evidence, one: Array, other: Array) -> tuple[Array, Array]:
    """Candidates that the facts do not speak against, the most alike first, as many as can be opened."""
    size = e.facts.image_size.astype(np.float64)
    # 4 %: what rounding to whole pixels does to the sides of a small thumbnail.
    ratio = np.abs(np.log((size[one, 0] / size[one, 1]) / (size[other, 0] / size[other, 1]))) < 0.04
    one, other = one[ratio], other[ratio]
    gap = np.abs(e.facts.channel_mean[one] - e.facts.channel_mean[other]).max(1)
    order = np.lexsort((other, one, gap))[:MOST_PAIRS]
    return one[order], other[order]


def mask_agreement(one: Array, other: Array) -> Array:
    """Share of cells on which grids agree, where not both show the commonest class of the first.

    Args:
        one: ``[m, GRID, GRID]`` as in ``Facts.grid``.
        other: The same.

    Returns:
        ``[m]`` float64; nan where there is no mask, or too little but one class.
    """
    a, b = (grid.reshape(len(grid), grid.shape[1] * grid.shape[2]) for grid in (one, other))
    common = np.array([np.bincount(row).argmax() for row in a.astype(np.int64)], dtype=a.dtype)
    telling = (a != common[:, None]) | (b != common[:, None])
    cells = telling.sum(1)
    usable = (cells >= TELLING * a.shape[1]) & (a[:, 0] != NO_MASK) & (b[:, 0] != NO_MASK)
    agree = ((a == b) & telling).sum(1) / np.maximum(cells, 1)
    return np.where(usable, agree, np.nan)


def _thumbs(e: Evidence, rows: Sequence[int]) -> dict[int, Array]:
    def make(row: int) -> Array | None:
        try:
            image = _read(e, row)
        except UserError:
            return None
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA).astype(np.float64)

    with ThreadPoolExecutor() as pool:
        made = zip(rows, pool.map(make, rows), strict=True)
        return {row: thumb for row, thumb in made if thumb is not None}


def _read(e: Evidence, row: int) -> Array:
    sample = e.samples[row]
    return read_image(sample.image) if isinstance(e.source, FileSource) else e.source.read(sample)[0]


def residual(one: Array, other: Array) -> float:
    """What of a picture another one does not explain by a gain and an offset, 0 (all) to 1 (nothing)."""
    a, b = one - one.mean(), other - other.mean()
    power = float((a * a).sum() * (b * b).sum())
    return float(np.sqrt(max(1 - (a * b).sum() ** 2 / power, 0))) if power > 0 else 1.0


def _join(pairs: Sequence[tuple[int, int]], count: int) -> list[list[int]]:
    """Groups of samples that pairs connect, the first sample's group first."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs:
        one, other = sorted((root(i), root(j)))
        parent[other] = one
    groups: dict[int, list[int]] = {}
    for i in sorted({i for pair in pairs for i in pair}):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _labels(groups: Sequence[Sequence[int]], count: int) -> list[int]:
    """The group of each sample; a sample of none is alone in its own."""
    labels = list(range(count))
    for group in groups:
        for row in group:
            labels[row] = group[0]
    return labels


def _told(e: Evidence, groups: Sequence[Sequence[int]], kind: str, what: str) -> Iterator[Fault]:
    """One fault for copies that lie in several parts, one for those within a part.

    Files of one group stand together.
    """
    crossing = [g for g in groups if len({e.samples[i].split for i in g}) > 1]
    if crossing:
        present = {e.samples[i].split for g in crossing for i in g}
        parts = " and ".join(p for p in SPLITS if p in present)
        seen = (
            "what is measured was seen in training"
            if "train" in present
            else "these parts are not independent"
        )
        yield e.fault(
            kind,
            f"{what} is in {parts}: {seen}{_pictures(e, crossing)}",
            f"keep one, or give copies one group: `{DIVIDE} split.official=false` divides anew",
            [i for g in crossing for i in g],
            "image",
            "warning",
        )
    inside = [g for g in groups if len({e.samples[i].split for i in g}) == 1]
    if inside:
        yield e.fault(
            kind,
            f"{what} is there more than once in a part and weighs as often{_pictures(e, inside)}",
            "keep one of each",
            [i for g in inside for i in g],
            "image",
            "warning",
        )


def _pictures(e: Evidence, groups: Sequence[Sequence[int]]) -> str:
    """How many there are, and how many copies were annotated differently."""
    cells = [(e.facts.grid[list(g)] == e.facts.grid[g[0]]).mean((1, 2)).min() for g in groups]
    differ = sum(share < AGREE for share in cells)
    noun = "picture" if len(groups) == 1 else "pictures"
    more = f", {differ} of them with masks that differ" if differ else ""
    return f"; {len(groups)} {noun} in {sum(map(len, groups))} files{more}"
