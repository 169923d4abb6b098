"""Parts that are alike in every class: the class-weighted split.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label
data", ECML PKDD 2011) deals out the samples of the rarest label first. Here groups are dealt
out so, by shares of pixels and of images, and then change places (`segkit.data.swap`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from segkit.data.divergence import amounts, sums
from segkit.data.swap import NEAR, Layout, Units, score
from segkit.types import UserError

if TYPE_CHECKING:
    from segkit.types import Array

ALL = 60_000  # splits that are still tried one and all
BUDGET = 200_000_000  # exchanges that are weighed at most (see `Layout.work`)
KICKS = 300  # new beginnings from the best split
HOPELESS = 40  # of them in a row without any gain


def at_random(groups: Sequence[str], ratios: Sequence[float]) -> Array:
    """Walk the groups in the order of their first samples; each goes where most images are missing.

    Args:
        groups: The group of each sample; ``""`` is a group of its own.
        ratios: Size of each part, as a share of the whole.

    Returns:
        ``[n]`` int64, the part of each sample; random where the order is.

    Raises:
        UserError: There are fewer groups than parts.
    """
    group, wanted = _numbered(groups), np.asarray(ratios, np.float64)
    active = np.flatnonzero(wanted > 0)
    sizes = np.bincount(group)
    _check_enough(len(sizes), len(active))
    return np.asarray(active[_walk(sizes, wanted[active], np.zeros(len(active)))][group])


def stratify(
    counts: Array,
    groups: Sequence[str],
    ratios: Sequence[float],
    seed: int = 0,
    *,
    fixed: Array | None = None,
) -> Array:
    """Choose parts with as equal a share of every class's pixels and images as can be found.

    First every part gets a sample of each class that enough groups show, then the score of
    `segkit.data.divergence` is made small: by trying everything where there are few groups,
    else by a local search from several beginnings. A class that lies in too few groups is put
    where that costs least.

    Args:
        counts: ``[n, K]`` int64, pixels of each class in each sample.
        groups: The group of each sample; a group stays together, ``""`` is a group of its own.
        ratios: Size of each part, as a share of the whole; 0 for a part that gets nothing.
        seed: Decides between splits that are equally good, and where the search looks.
        fixed: ``[n]`` int: the part of a sample that stays where it is, -1 for the others. New
            samples of a group that is fixed join it.

    Returns:
        ``[n]`` int64, the part of each sample: a function of the arguments alone. The split of
        `at_random` is among those it chose from.

    Raises:
        UserError: There are fewer groups than parts, and none is fixed.
    """
    group, wanted = _numbered(groups), np.asarray(ratios, np.float64)
    active = np.flatnonzero(wanted > 0)
    given = np.full(len(group), -1) if fixed is None else np.array(fixed, np.int64)
    parts = _joined(given, group, len(wanted))
    free = parts < 0
    if not free.any():
        return parts
    rows = np.unique(group[free], return_index=True)[1]
    rank = np.argsort(np.argsort(rows))  # groups in the order of their first samples
    unit = rank[np.unique(group[free], return_inverse=True)[1]]
    if free.all():
        _check_enough(len(rows), len(active))
    units = _units(counts, group, unit, parts, wanted)
    taken = np.bincount(parts[~free], minlength=len(wanted))[active]
    start = _walk(np.bincount(unit), units.ratio, taken)
    parts[free] = active[_best(units, start, seed)][unit]
    return parts


def _numbered(groups: Sequence[str]) -> Array:
    """Number the groups 0, 1, ... as they appear; a sample without one is a group of its own."""
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(g or i, len(numbers)) for i, g in enumerate(groups)], np.int64)


def _check_enough(groups: int, parts: int) -> None:
    if groups < parts:
        raise UserError(f"{groups} groups cannot be divided into {parts} parts; add groups")


def _joined(parts: Array, group: Array, size: int) -> Array:
    """Send the free samples of a group to where most of it is fixed."""
    held = np.zeros((group.max(initial=-1) + 1, size), np.int64)
    np.add.at(held, (group[parts >= 0], parts[parts >= 0]), 1)
    home = np.where(held.any(1), held.argmax(1), -1)
    return np.where(parts < 0, home[group], parts)


def _units(counts: Array, group: Array, unit: Array, parts: Array, wanted: Array) -> Units:
    """What moves (``unit`` numbers the groups of the free samples) and what is fixed."""
    free, active = parts < 0, np.flatnonzero(wanted > 0)
    whole = amounts(counts[:, counts.any(0)])
    whole /= whole.sum(0)
    k = whole.shape[1] // 2
    share = sums(whole[free], unit, unit.max() + 1)
    # A fixed group that straddles shows its classes in each of its parts.
    held, place = np.unique(np.stack([parts, group])[:, ~free], axis=1, return_inverse=True)
    shows = sums(whole[~free], place.ravel(), held.shape[1])[:, k:] > 0
    fixed_shows = sums(shows.astype(np.float64), held[0], len(wanted)).astype(np.int64)
    return Units(
        share=share,
        shows=share[:, k:] > 0,
        ratio=wanted[active] / wanted.sum(),
        fixed_share=sums(whole[~free], parts[~free], len(wanted))[active],
        fixed_shows=fixed_shows[active],
    )


def _walk(sizes: Array, ratio: Array, taken: Array) -> Array:
    """Each group goes where most images are missing; then no part stays without a group."""
    lacking = (ratio * (sizes.sum() + taken.sum()) - taken).tolist()
    places = range(len(lacking))
    chosen = np.empty(len(sizes), np.int64)
    for i, size in enumerate(sizes.tolist()):
        most = max(places, key=lacking.__getitem__)
        chosen[i] = most
        lacking[most] -= size
    held = np.bincount(chosen, minlength=len(ratio))
    for part in np.flatnonzero((held == 0) & (np.asarray(taken) == 0)):
        giver = np.flatnonzero(chosen == np.bincount(chosen, minlength=len(ratio)).argmax())
        chosen[giver[sizes[giver].argmin()]] = part
    return chosen


def _best(units: Units, start: Array, seed: int) -> Array:
    """The best part of every unit that a limited amount of work finds."""
    if len(units.ratio) ** len(units.share) <= ALL:
        return _best_of_all(units)
    rng, best, work, hopeless = np.random.default_rng(seed), Layout(units, start), 0, 0
    chosen = _dealt(units)
    for _ in range(KICKS):
        layout = Layout(units, chosen)
        layout.improve(rng, BUDGET - work)
        work, hopeless = work + layout.work, hopeless + 1
        if layout.rank < best.rank:
            best, hopeless = layout, 0
        if work >= BUDGET or hopeless > HOPELESS:
            break
        chosen = _kicked(best.part, len(units.ratio), rng)
    return best.part


def _best_of_all(units: Units) -> Array:
    """Try every split there is, 4,096 at a time."""
    parts, free = len(units.ratio), len(units.share)
    found: list[tuple[int, float, int]] = []
    powers = parts ** np.arange(free)
    for first in range(0, parts**free, 4096):
        codes = np.arange(first, min(first + 4096, parts**free))
        chosen = codes[:, None] // powers % parts
        inside = (chosen[:, None, :] == np.arange(parts)[:, None]).astype(np.float64)
        deviation = np.abs((units.fixed_share + inside @ units.share) / units.ratio[:, None] - 1)
        lacks = (units.fixed_shows + inside @ units.shows == 0) & units.required
        missing, scores = lacks.sum((1, 2)), score(deviation.max(1)).round(10)
        at = int(np.lexsort((scores, missing))[0])
        found.append((int(missing[at]), float(scores[at]), int(codes[at])))
    return np.asarray(min(found)[2] // powers % parts)


def _dealt(units: Units) -> Array:
    """Groups with the rarest class first, largest first, each to the part that lacks most of it."""
    shown = units.shows[:, :-1]
    rarity = np.where(shown, shown.sum(0), len(shown) + 1).min(1, initial=len(shown) + 1)
    part, held = np.empty(len(shown), np.int64), units.fixed_share.copy()
    for i in np.lexsort((-units.share.sum(1), rarity)):
        full = (held / units.ratio[:, None]) @ units.share[i]
        part[i] = int(np.argmax(full <= full.min() + NEAR))
        held[part[i]] += units.share[i]
    return part


def _kicked(part: Array, parts: int, rng: np.random.Generator) -> Array:
    """Move a few groups elsewhere, to leave a split that no single exchange makes better."""
    count = min(max(2, len(part) // 20), 12)
    moved, other = part.copy(), rng.choice(len(part), count, replace=False)
    moved[other] = (moved[other] + rng.integers(1, parts, count)) % parts
    return moved
