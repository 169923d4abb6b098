"""How sure a number is: bootstrap intervals of every overlap number, from stored counts.

Images (or groups of images, where samples have groups: sequences, patients) are drawn with
replacement, as many as there are, and every number is derived anew from what was drawn (Efron &
Tibshirani 1993, "An Introduction to the Bootstrap", chapters 6 and 13). A resample is a row of
weights, so that all of them are one product of matrices. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segkit.error import plural
from segkit.metric.cells import Counts
from segkit.metric.overlap import WORST, image_scores, means, measured, rates
from segkit.metric.protocol import Protocol, apply
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

LEVEL = 0.95
RESAMPLES = 2000
FEW = 10  # units below which an interval is rough
ROOM = 2**22  # weights that are held at a time: 32 MiB

METHOD = (
    "percentile bootstrap over {units} ({resamples} resamples, seed {seed}), with tails widened for small "
    "samples: alpha' = Phi(-sqrt(n / (n - 1)) t(alpha / 2, n - 1)) (Hesterberg 2015); n is the number of "
    "{word}s, for a class the number of {word}s whose target shows it; null where n is below 2; a class that "
    "no pixel of a resample has gets no number there, and such resamples are left out of its interval"
)


class Units(NamedTuple):
    """What is drawn.

    Attributes:
        of: ``[images]`` int64, the unit of each image.
        count: How many units there are.
        word: ``image``, or ``group`` where some images share one.
    """

    of: Array
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    word: str


class Drawn(NamedTuple):
    """Every number in B resamples; nan where it is not defined.

    Attributes:
        mean: Name -> ``[B]``.
        per_class: iou, dice, precision, recall -> ``[B, K]``.
        shown_by: ``[K]`` int64: units whose target shows the class.
    """

    mean: dict[str, Array]
    per_class: dict[str, Array]
    shown_by: Array


def units_of(groups: Sequence[str]) -> Units:
    """Tell what is drawn: groups where images have them (an image without a group is its own)."""
    names = np.array([f"g{group}" if group else f"i{i}" for i, group in enumerate(groups)], str)
    found, of = np.unique(names, return_inverse=True)
    return Units(of.reshape(-1), len(found), "group" if len(found) < len(names) else "image")


def intervals(
    counts: Counts,
    labels: LabelSpace,
    protocol: Protocol | None = None,
    groups: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Intervals of every number that `segkit.metric.overlap.overlap` gives for the same arguments.

    Args:
        counts: As `segkit.metric.counts.OverlapCounts` gives them.
        labels: Their label space.
        protocol: How the numbers are defined; ``None``: `Protocol`'s defaults.
        groups: The group of each image, or empty strings; ``()``: there are none.
        seed: Of the resamples.

    Returns:
        Plain containers: ``level``, ``resamples``, ``unit`` (``image`` or ``group``), ``units`` (how
        many), ``method`` in words, ``warning`` (``None``, or why the intervals are rough),
        ``mean``: name -> ``[low, high]``, ``per_class``: class -> number -> ``[low, high]``;
        ``None`` where there is no interval.

    Raises:
        UserError: The protocol does not fit the labels (`segkit.metric.protocol.apply`).
    """
    protocol = protocol or Protocol()
    units = units_of(groups or [""] * len(counts.index))
    drawn = draw(counts, labels, protocol, units, RESAMPLES, seed)
    _, seen = apply(protocol, counts, labels)
    words = {"units": plural(units.count, units.word), "word": units.word}
    return {
        "level": LEVEL,
        "resamples": RESAMPLES,
        "unit": units.word,
        "units": units.count,
        "method": METHOD.format(**words, resamples=RESAMPLES, seed=seed),
        "warning": warning(units),
        "mean": {name: interval_of(v, units.count) for name, v in drawn.mean.items()},
        "per_class": {
            name: {r: interval_of(v[:, c], int(drawn.shown_by[c])) for r, v in drawn.per_class.items()}
            for c, name in enumerate(seen.names)
            if name in measured(seen, protocol)
        },
    }


def warning(units: Units) -> str | None:
    """A word where there are few units; ``None`` where there are enough."""
    if units.count < 2:
        return f"{plural(units.count, units.word)} only: there is no interval"
    return f"{units.count} {units.word}s only: the interval is rough" if units.count < FEW else None


def interval_of(values: Array, units: int, level: float = LEVEL) -> list[float] | None:
    """Percentile interval with tails widened for small samples.

    The plain percentile interval is too narrow by about ``sqrt((n - 1) / n)`` and by the tails
    of the normal instead of the t distribution. Hesterberg (2015, "What Teachers Should Know
    About the Bootstrap", The American Statistician 69, section 5.3) takes the quantiles
    alpha' and 1 - alpha' with ``alpha' = Phi(-sqrt(n / (n - 1)) t(alpha / 2, n - 1))``.

    Args:
        values: ``[B]`` a number in every resample; nan where it is not defined.
        units: n, how many images or groups the number rests on.
        level: Of confidence, 0..1.

    Returns:
        ``[low, high]``, or ``None`` for fewer than two units, and where nothing is defined.
    """
    values = values[~np.isnan(values)]
    if units < 2 or not len(values):
        return None
    tail = NormalDist().cdf(-math.sqrt(units / (units - 1)) * t_quantile((1 + level) / 2, units - 1))
    low, high = np.quantile(values, [tail, 1 - tail])
    return [float(low), float(high)]


def t_quantile(share: float, freedom: float) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def draw(
    counts: Counts,
    labels: LabelSpace,
    protocol: Protocol,
    units: Units,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Drawn:
    """Derive every number in every resample; the same units and seed give the same resamples.

    Raises:
        UserError: The protocol does not fit the labels.
    """
    counts, labels = apply(protocol, counts, labels)
    numbers = Resampled(counts.counts, labels, protocol, units)
    parts = [numbers.at(weights) for weights in weights_of(units, resamples, seed)]
    return Drawn(
        {name: np.concatenate([p.mean[name] for p in parts]) for name in parts[0].mean},
        {name: np.concatenate([p.per_class[name] for p in parts]) for name in parts[0].per_class},
        parts[0].shown_by,
    )


def weights_of(units: Units, resamples: int, seed: int) -> Iterator[Array]:
    """Resamples as weights: ``[b, units]`` float64, how often each unit was drawn; rows add up to n.

    A part at a time, so that memory is bounded for any number of images.
    """
    random, n = np.random.default_rng(seed), units.count
    step = max(1, ROOM // max(1, len(units.of)))
    for first in range(0, resamples, step):
        rows = min(step, resamples - first)
        drawn = random.integers(0, max(1, n), (rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.reshape(-1), minlength=rows * n).reshape(rows, n).astype(np.float64)


class Resampled:
    """The overlap numbers as functions of the weights of units.

    Args:
        counts: ``[images, K, 3]`` int64, as the protocol sees them.
        labels: The K classes.
        protocol: How the means are taken.
        units: What the weights weigh.
    """

    def __init__(self, counts: Array, labels: LabelSpace, protocol: Protocol, units: Units) -> None:
        self.labels, self.protocol, self.units = labels, protocol, units
        named = measured(labels, protocol)
        self.shown = np.array([name in named for name in labels.names], bool)
        self.totals = self._by_unit(counts.reshape(len(counts), labels.num_classes * 3))
        kept = counts[:, self.shown]
        columns = {"per_image_miou": rates(kept)["iou"]}
        if protocol.aggregate == "image":
            columns |= {name: v[:, None] for name, v in means(kept, protocol.absent).items()}
        elif protocol.aggregate == "pair":
            columns |= means(kept[:, :, None], protocol.absent)
        self.names = tuple(columns)
        defined = [~np.isnan(v) for v in columns.values()]
        sums = [np.where(d, v, 0).sum(1) for d, v in zip(defined, columns.values(), strict=True)]
        self.over = self._by_unit(np.stack(sums, 1))
        self.under = self._by_unit(np.stack([d.sum(1) for d in defined], 1))
        self.scores = image_scores(kept)

    def _by_unit(self, rows: Array) -> Array:
        """Sums over the images of each unit: ``[images, D]`` -> ``[units, D]`` float64."""
        sums = np.zeros((self.units.count, rows.shape[1]))
        np.add.at(sums, self.units.of, rows)
        return sums

    def at(self, weights: Array) -> Drawn:
        """Every number under weights ``[b, units]``; weights of one give `overlap`'s own numbers."""
        total = (weights @ self.totals).reshape(len(weights), self.labels.num_classes, 3)
        mean = {}
        if self.protocol.aggregate == "dataset":
            mean = means(total[:, self.shown], self.protocol.absent)
        mean |= dict(zip(self.names, _ratio(weights @ self.over, weights @ self.under).T, strict=True))
        mean["worst5_miou"] = self._worst(weights)
        per_class = rates(total)
        if self.labels.task == "multilabel":
            mean["pixel_accuracy"] = np.full(len(weights), np.nan)
        if self.labels.task == "binary":
            mean["foreground_iou"] = per_class["iou"][:, 1]
        counts = self.totals.reshape(-1, self.labels.num_classes, 3)
        return Drawn(mean, per_class, ((counts[..., 0] + counts[..., 2]) > 0).sum(0))

    def _worst(self, weights: Array) -> Array:
        """Mean score of the worst images drawn, an image as often as it was drawn: ``[b]``."""
        order = np.argsort(self.scores)  # images without a score come last
        order = order[: int((~np.isnan(self.scores)).sum())]
        drawn = weights[:, self.units.of][:, order]
        most = np.maximum(1, np.rint(WORST * drawn.sum(1)))[:, None]
        taken = np.diff(np.minimum(drawn.cumsum(1), most), axis=1, prepend=0)
        return _ratio(taken @ self.scores[order], taken.sum(1))


def _ratio(over: Array, under: Array) -> Array:
    return np.where(under > 0, over / np.where(under > 0, under, 1), np.nan)
