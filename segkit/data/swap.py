"""Groups change places between parts until no exchange makes a split better.

The local search behind `segkit.data.stratify`, after Kernighan and Lin ("An efficient heuristic
procedure for partitioning graphs", Bell System Technical Journal 49, 1970): an exchange of two
groups often helps where no single move does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from segkit.types import Array

SIDE = 400  # groups of each of two parts that are tried against each other at once
EXCHANGES = 64  # done with one such choice before another is drawn
QUIET = 8  # choices without any gain, per pair of parts, after which a search by samples ends
EXACT = 256  # exchanges, the best by the squared error, whose true score is computed
ROUND = 30_000  # what a round costs beside its evaluations, in evaluations
NEAR = 1e-12  # a smaller difference may be rounding, which is not the same on every machine


@dataclass(frozen=True)
class Units:
    """G groups that move as one, and what each brings to a part.

    Attributes:
        share: ``[G, 2K + 1]`` float64: the group's pixels of each class as a share of all pixels
            of that class, its images that show the class likewise, and its images.
        shows: ``[G, K + 1]`` bool: classes that the group shows; the last column (any image) is true.
        ratio: ``[P]`` float64 above 0: size that each part is to have, as a share of the whole.
        fixed_share: ``[P, 2K + 1]``: sums over groups that do not move.
        fixed_shows: ``[P, K + 1]`` int64: how many groups that do not move show a class.
    """

    share: Array
    shows: Array
    ratio: Array
    fixed_share: Array
    fixed_shows: Array

    @cached_property
    def required(self) -> Array:
        """``[K + 1]`` bool: enough groups show the class for every part to have one."""
        return self.shows.sum(0) + self.fixed_shows.sum(0) >= len(self.ratio)

    @cached_property
    def penalty(self) -> float:
        """More than any split can win in squared error: a missing class outweighs it."""
        return float(4 * (1 / self.ratio**2).sum() * self.share.shape[1])


def score(deviation: Array) -> Array:
    """What a split is judged by: worst and mean over classes, and the sizes of the parts.

    Args:
        deviation: ``[..., 2K + 1]``: largest ``|share / ratio - 1|`` of any part, in the columns
            of `Units.share`.

    Returns:
        ``[...]``, 0 for a perfect split.
    """
    k = deviation.shape[-1] // 2
    per_class = (deviation[..., :k] + deviation[..., k : 2 * k]) / 2
    return per_class.max(-1, initial=0) + per_class.sum(-1) / max(k, 1) + deviation[..., -1]


class Layout:
    """Which part every group is in, and what that adds up to.

    Args:
        units: The groups.
        part: ``[G]`` int: the part of each, 0..P-1.

    Attributes:
        work: Exchanges weighed so far: what the search is limited by, never by a clock.
    """

    def __init__(self, units: Units, part: Array) -> None:
        self.units, self.part, self.work = units, part.copy(), 0
        chosen = np.arange(len(units.ratio))[:, None] == part
        self.share = units.fixed_share + chosen.astype(np.float64) @ units.share
        self.shows = units.fixed_shows + (chosen.astype(np.float64) @ units.shows).astype(np.int64)

    @property
    def deviation(self) -> Array:
        """``[P, 2K + 1]``: how far every part is from its ratio."""
        return np.abs(self.share / self.units.ratio[:, None] - 1)

    @property
    def rank(self) -> tuple[int, float]:
        """Smaller is better: parts that miss a class they could have, then the score."""
        missing = int(((self.shows == 0) & self.units.required).sum())
        return missing, round(float(score(self.deviation.max(0))), 10)

    def improve(self, rng: np.random.Generator, limit: int) -> None:
        """Exchange groups while that helps: first by squared error, then by the score itself."""
        self._search(rng, limit, exact=False)
        self._search(rng, limit, exact=True)

    def _search(self, rng: np.random.Generator, limit: int, exact: bool) -> None:
        pairs = list(combinations(range(len(self.units.ratio)), 2))
        patience = len(pairs) * (1 if len(self.part) <= SIDE else QUIET)
        quiet = turn = 0
        while quiet < patience and self.work < limit:
            bout = _Bout(self, *pairs[turn % len(pairs)], rng)
            turn, done = turn + 1, 0
            while done < EXCHANGES and bout.step(exact):
                done += 1
            quiet = 0 if done else quiet + 1
            self.work += ROUND


class _Bout:
    """Every exchange of one group (or none) of part ``a`` for one group (or none) of part ``b``.

    Moving the shares ``u`` from b to a changes the squared error
    ``sum over parts and columns of (share / ratio - 1)^2`` by ``2 u.l + k u.u`` with
    ``l = (share_a - ratio_a) / ratio_a^2 - (share_b - ratio_b) / ratio_b^2`` and
    ``k = 1 / ratio_a^2 + 1 / ratio_b^2``. Only ``l`` changes from one exchange to the next.
    """

    def __init__(self, layout: Layout, a: int, b: int, rng: np.random.Generator) -> None:
        self.layout, self.a, self.b = layout, a, b
        self.rows = [_some(np.flatnonzero(layout.part == p), rng) for p in (a, b)]
        units = layout.units
        # The last row of each side is no group at all: an exchange with it is a move.
        self.share = [np.pad(units.share[rows], ((0, 1), (0, 0))) for rows in self.rows]
        self.shows = [np.pad(units.shows[rows], ((0, 1), (0, 0))).astype(np.float64) for rows in self.rows]
        k = float((1 / units.ratio[[a, b]] ** 2).sum())
        own, other = self.share
        self.fixed = (-2 * k * own) @ other.T
        self.fixed += k * ((own**2).sum(1)[:, None] + (other**2).sum(1))
        self.fixed[-1, -1] = np.inf

    def step(self, exact: bool) -> bool:
        """Do the best exchange; false if none helps."""
        change = self._change()
        self.layout.work += change.size
        at = self._best_exact(change) if exact else _first_smallest(change.ravel(), -NEAR)
        if at is None:
            return False
        self._do(*divmod(at, change.shape[1]))
        return True

    def _change(self) -> Array:
        """Change of the squared error, with the penalty for missing classes: ``[m + 1, n + 1]``."""
        layout, (own, other) = self.layout, self.share
        off = [
            (layout.share[p] - layout.units.ratio[p]) / layout.units.ratio[p] ** 2 for p in (self.a, self.b)
        ]
        slope = 2 * (off[0] - off[1])
        change: Array = self.fixed + other @ slope
        change -= (own @ slope)[:, None]
        left = [layout.shows[p] for p in (self.a, self.b)]
        tight = layout.units.required & ((left[0] <= 1) | (left[1] <= 1))
        if tight.any():
            change += layout.units.penalty * self._lost(tight, left[0][tight], left[1][tight])
        return change

    def _lost(self, tight: Array, in_a: Array, in_b: Array) -> Array:
        """How many more classes an exchange makes a part miss; negative where it mends that."""
        own, other = self.shows[0][:, tight], self.shows[1][:, tight]
        lost = (own * (in_a == 1)) @ (1 - other).T + (1 - own) @ (other * (in_b == 1)).T
        won: Array = (own * (in_b == 0)).sum(1)[:, None] + (other * (in_a == 0)).sum(1)
        return lost - won

    def _best_exact(self, change: Array) -> int | None:
        """The exchange, among the best by squared error, that lowers the score most."""
        flat, layout, ratio = change.ravel(), self.layout, self.layout.units.ratio
        count = min(EXACT, flat.size)
        found = np.sort(np.argpartition(flat, count - 1)[:count])
        found = found[flat[found] < layout.units.penalty / 2]
        rows, columns = np.divmod(found, change.shape[1])
        moved = self.share[1][columns] - self.share[0][rows]
        worst = np.maximum(
            np.abs((layout.share[self.a] + moved) / ratio[self.a] - 1),
            np.abs((layout.share[self.b] - moved) / ratio[self.b] - 1),
        )
        now = layout.deviation
        others = np.delete(now, [self.a, self.b], 0)
        scores = score(np.maximum(worst, others.max(0, initial=0)))
        best = _first_smallest(scores, float(score(now.max(0))) - 1e-10)
        return None if best is None else int(found[best])

    def _do(self, row: int, column: int) -> None:
        layout = self.layout
        moved = self.share[1][column] - self.share[0][row]
        shown = (self.shows[1][column] - self.shows[0][row]).astype(np.int64)
        for part, sign in ((self.a, 1), (self.b, -1)):
            layout.share[part] += sign * moved
            layout.shows[part] += sign * shown
        if row < len(self.rows[0]):
            layout.part[self.rows[0][row]] = self.b
            self.fixed[row] = np.inf  # it is no longer there
        if column < len(self.rows[1]):
            layout.part[self.rows[1][column]] = self.a
            self.fixed[:, column] = np.inf


def _some(rows: Array, rng: np.random.Generator) -> Array:
    return rows if len(rows) <= SIDE else np.sort(rng.choice(rows, SIDE, replace=False))


def _first_smallest(values: Array, below: float) -> int | None:
    """Position of the smallest value below a bound; the first of those that differ by rounding only."""
    if not len(values) or not (smallest := float(values.min())) < below:
        return None
    return int(np.argmax(values <= smallest + NEAR))
