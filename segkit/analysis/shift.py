"""Masks that do not lie on their picture: the borders of the mask against the edges of the picture.

The mean gradient of the picture below the mask's borders is measured with the borders moved by
every (dy, dx). Where image and mask belong together it has a peak at (0, 0); where the mask was
cropped, padded or resized differently the peak lies elsewhere, and shows by how much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from segkit.analysis.evidence import spread
from segkit.analysis.reduced import read_reduced
from segkit.data.read import upright
from segkit.types import UserError

if TYPE_CHECKING:
    from segkit.analysis.evidence import Evidence
    from segkit.data.fault import Fault
    from segkit.types import Array

LOOKED_AT = 200  # pictures: some seconds; generated ones, which have to be painted, fewer
PAINTED = 40
LONG_SIDE = 512  # pixels at which pictures are compared
REACH = 16  # pixels, at that size, by which borders are moved
LEAST_REACH = 6  # of smaller pictures: less cannot tell a shift from a careless border
LEAST_BORDER = 300  # pixels of border: fewer make peaks anywhere
# Measured on CamVid, nuclei and streets as they are and with masks moved by up to 12 pixels. Gain: by how
# much the peak is higher than what is found at (0, 0), as a share of its height over the median. Moved: 0.41
# and more in CamVid and streets, sound: 0.34 at most. Lead: by how much it is higher than the second peak,
# in standard deviations of the map. A right peak: 0.5 and more in nine of ten, a wrong one rarely.
GAIN, LEAD = 0.4, 0.5
FAR = 4.0  # pixels at the compared size: a single mask that is less off may just be drawn carelessly
# All masks together make a sharp peak: CamVid's lies at (1, 0) with a gain of 0.01.
COMMON_FAR, COMMON_GAIN, COMMON_SHARE = 2.0, 0.2, 0.7
LEAST_PICTURES = 8  # that have to be compared before single ones can stand out
SHOWN = 3  # movements that a line names
TRUSTED = 0.5  # share of the pictures whose peaks agree: below, edges say nothing about this data


class Match(NamedTuple):
    """How well the borders of one mask fit its picture.

    Attributes:
        row: Position of the sample.
        scale: Compared size / true size.
        score: ``[2 * R + 1, 2 * R + 1]`` float64, mean gradient, in standard deviations of the
            picture's gradient, below borders that are moved by (row - R, column - R).
    """

    row: int
    scale: float
    score: Array


def shifts(e: Evidence) -> Iterator[Fault]:
    """Find masks that are moved against their picture, all in the same way or single ones."""
    good = np.flatnonzero((e.facts.mask_size > 0).all(1) & (e.facts.mask_size == e.facts.image_size).all(1))
    good = good[(e.facts.mask_error[good] == "") & (e.facts.image_error[good] == "")]
    generated = len(e.samples) > 0 and e.samples[0].image == Path()
    rows = spread(good, PAINTED if generated else LOOKED_AT)
    with ThreadPoolExecutor() as pool:
        found = [m for m in pool.map(lambda row: match(e, int(row)), rows) if m is not None]
    if not found:
        return
    common, moved = _common(found)
    if moved:
        yield _fault(e, moved, [common] * len(moved), len(found), "the masks are")
    rest = [m for m in found if m not in moved] if moved else found
    peaks = {m.row: _peak(m.score) for m in rest}
    agreeing = np.mean([np.hypot(*(np.array(_peak(m.score)) - common)) <= 3 for m in found])
    single = [m for m in rest if _is_off(m.score)]
    if single and agreeing >= TRUSTED and len(found) >= LEAST_PICTURES:
        yield _fault(e, single, [peaks[m.row] for m in single], len(found), "single masks are")


def turned(e: Evidence) -> Iterator[Fault]:
    """Pictures that EXIF data turn in a way that leaves their size: what the edges say of their masks."""
    one, other = e.facts.image_orientation, e.facts.mask_orientation
    size = e.facts.image_size
    undecided = (size[:, 0] == size[:, 1]) | ((one >= 5) == (other >= 5))
    equal = (size > 0).all(1) & (size == e.facts.mask_size).all(1) & (e.facts.mask_error == "")
    rows = np.flatnonzero((one != other) & equal & undecided & (e.facts.image_error == ""))
    verdicts = {int(r): _untouched(e, int(r)) for r in spread(rows, LOOKED_AT)}
    if wrong := [r for r, verdict in verdicts.items() if verdict]:
        yield e.fault(
            "exif",
            "the EXIF orientation turns the image and not its mask, whose borders fit the image as stored",
            "remove the orientation from these images (exiftool -Orientation= FILE), or turn the masks too",
            wrong,
            "both",
        )
    if unclear := [r for r, verdict in verdicts.items() if verdict is None]:
        yield e.fault(
            "exif",
            "image and mask have different EXIF orientations, and their edges do not tell which fits",
            "lay the masks over the images as a viewer shows them; turn the masks that do not fit",
            unclear,
            "both",
            "suspicion",
        )


def _untouched(e: Evidence, row: int) -> bool | None:
    """Whether the mask fits the picture as it is stored, rather than as it is read; nothing if unclear."""
    try:
        image, target = e.source.read(e.samples[row])
    except UserError:
        return None
    if target is None or e.facts.mask_orientation[row] != 1:
        return None
    scores = [compare(image, t) for t in (target, upright(target, int(e.facts.image_orientation[row])))]
    read, stored = (0.0 if s is None else float(_center(s, 2).max() - np.median(s)) for s in scores)
    # 0.2 standard deviations of the gradient: sound pictures reach 0.33 to 2.9. A border that fits lies on a
    # peak, any other on nothing.
    if max(read, stored) < 0.2 or not (read > 2 * stored or stored > 2 * read):
        return None
    return stored > read


def match(e: Evidence, row: int) -> Match | None:
    """Compare one mask with its picture; nothing where there is too little to compare."""
    height, width = e.facts.image_size[row].tolist()
    scale = min(LONG_SIDE / max(height, width), 1.0)
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    try:
        image, target = read_reduced(e.source, e.samples[row], size)
    except UserError:
        return None
    if target is None:
        return None
    score = compare(_shrink_image(image, size), _shrink_target(target, size))
    return None if score is None else Match(row, scale, score)


def compare(image: Array, target: Array) -> Array | None:
    """The score of `Match` for uint8 RGB ``[H, W, 3]`` and a target ``[H, W]`` or ``[H, W, K]``."""
    reach = min(REACH, min(image.shape[:2]) // 5)
    if reach < LEAST_REACH:
        return None
    inner = borders(target)[reach:-reach, reach:-reach]
    count = float(inner.sum())
    if count < LEAST_BORDER:
        return None
    gradient = _gradient(image)
    if gradient.std() == 0:
        return None
    gradient = (gradient - gradient.mean()) / gradient.std()
    return cv2.matchTemplate(gradient, inner, cv2.TM_CCORR).astype(np.float64) / count


def borders(target: Array) -> Array:
    """Pixels of a target ``[H, W]`` or ``[H, W, K]`` on either side of a border: float32 ``[H, W]``."""
    planes = target if target.ndim == 3 else target[..., None]
    found = np.zeros(target.shape[:2], bool)
    across, down = (planes[:, 1:] != planes[:, :-1]).any(2), (planes[1:] != planes[:-1]).any(2)
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    return found.astype(np.float32)


def _gradient(image: Array) -> Array:
    """Steepest channel, float32 ``[H, W]``; cut at its 95th percentile, lest a lamp outshine the rest."""
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    x, y = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    red, green, blue = cv2.split(x * x + y * y)  # numpy takes nine times as long for the largest of three
    steep = cv2.sqrt(cv2.max(cv2.max(red, green), blue))
    rising = steep[steep > 0]  # most of a drawing, or of a slide, may be flat
    return np.minimum(steep, np.quantile(rising, 0.95) if rising.size else 0).astype(np.float32)


def _shrink_image(image: Array, size: tuple[int, int]) -> Array:
    return image if image.shape[:2] == size else cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def _shrink_target(target: Array, size: tuple[int, int]) -> Array:
    rows, columns = (
        ((np.arange(n) + 0.5) * old / n).astype(int) for n, old in zip(size, target.shape[:2], strict=True)
    )
    return target[rows][:, columns]


def _peak(score: Array) -> tuple[int, int]:
    reach = score.shape[0] // 2
    y, x = np.unravel_index(score.argmax(), score.shape)
    return int(y) - reach, int(x) - reach


def _gain(score: Array, around: int) -> float:
    """Peak over the best within ``around`` pixels of (0, 0), as a share of its height over the median."""
    reach = score.shape[0] // 2
    near = slice(reach - around, reach + around + 1)
    height = score.max() - np.median(score)
    return float((score.max() - score[near, near].max()) / height) if height > 0 else 0.0


def _is_off(score: Array) -> bool:
    reach, peak = score.shape[0] // 2, _peak(score)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    others = np.hypot(y - peak[0], x - peak[1]) > 5  # a peak is up to 5 pixels wide
    lead = (score.max() - score[others].max()) / score.std()
    # Smaller pictures have so little border that one in 250 sound ones (64x128) shows a false peak.
    known = reach == REACH and _inside(peak, reach)
    return bool(known and np.hypot(*peak) >= FAR and _gain(score, 2) >= GAIN and lead >= LEAD)


def _inside(peak: tuple[int, int], reach: int) -> bool:
    """Whether it is a peak: at the rim nobody knows what lies beyond, and a slope ends there, too."""
    return max(abs(peak[0]), abs(peak[1])) < reach


def _common(found: Sequence[Match]) -> tuple[tuple[int, int], list[Match]]:
    """Where the peak of all masks together lies, and those that are off with it."""
    reach = min(m.score.shape[0] // 2 for m in found)
    cut = [_center(m.score, reach) for m in found]
    total = np.mean([c / (c.max() - np.median(c) + 1e-9) for c in cut], axis=0)
    y, x = _peak(total)
    if np.hypot(y, x) < COMMON_FAR or not _inside((y, x), reach) or _gain(total, 1) < COMMON_GAIN:
        return (y, x), []
    near = slice(reach - 1, reach + 2)
    moved = [m for m, c in zip(found, cut, strict=True) if c[reach + y, reach + x] > c[near, near].max()]
    enough = len(moved) >= max(COMMON_SHARE * len(found), LEAST_PICTURES / 2)
    return (y, x), moved if enough else []


def _center(score: Array, reach: int) -> Array:
    edge = score.shape[0] // 2 - reach
    return score[edge : len(score) - edge, edge : len(score) - edge]


def _fault(
    e: Evidence, matches: Sequence[Match], peaks: Sequence[tuple[int, int]], looked: int, who: str
) -> Fault:
    """Borders had to be moved by the peak to lie on the edges: the mask is off by the opposite."""
    moves = [(round(-y / m.scale), round(-x / m.scale)) for m, (y, x) in zip(matches, peaks, strict=True)]
    shown = ", ".join(f"({y}, {x})" for y, x in sorted({*moves}, key=moves.index)[:SHOWN])
    return e.fault(
        "shift",
        f"{who} moved against the image by about (dy, dx) = {shown} pixels: {len(matches)} of the {looked} "
        "that were looked at",
        "lay these masks over their images; cropping, padding and resizing must be the same for both",
        [m.row for m in matches],
        "mask",
        "suspicion",
    )
