"""Is one run better than another? Paired differences of every overlap number, from stored counts.

Both runs were measured on the same images, so that an image that is hard for one is mostly hard for
the other too: what is resampled is the difference (`segkit.metric.interval` draws the same images,
or groups of images, for both). No torch.

The difference d = B - A (of the means over repeats, where a recipe was run with several seeds) has
the variance

    v = v_images + v_A + v_B

- v_images: variance of d over the resamples, times n / (n - 1) for n images (the bootstrap divides
  by n); n - 1 degrees of freedom. n counts groups where there are groups, and for a class those that
  show it.
- v_A = s_A^2 / m_A, v_B = s_B^2 / m_B: from the standard deviation s of the m repeats; m - 1 degrees
  of freedom. A recipe that was run once is given the s of the other. With one run each both are
  left out, and the verdict says so. (What a seed does to single images is in v_images as well, so
  that the sum is rather too large than too small.)

The interval is d +- t(0.975, f) sqrt(v) (Efron & Tibshirani 1993, chapter 12: bootstrap standard
error, Student's t), with f = v^2 / sum(v_i^2 / f_i) (Satterthwaite 1946; Welch 1947). For v_images
alone f = n - 1. p is the two-sided probability of the same t; over the K classes it is corrected by
Holm (1979), for K classes are K looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segkit.error import plural
from segkit.metric.cells import Counts
from segkit.metric.interval import LEVEL, RESAMPLES, Drawn, Resampled, Units, draw, t_quantile
from segkit.metric.overlap import image_scores, plain
from segkit.metric.overlap import measured as names_measured
from segkit.metric.protocol import Protocol, apply
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

    Series = tuple[Sequence[float], Array]  # a number in each repeat; its mean over them in each resample

POWER = (
    1.96 + 0.84
)  # standard errors that a difference must have to be found in 80 % of data sets (5 % level)
MOST = 10_000_000  # images beyond which it makes no sense to name their number


class Measured(NamedTuple):
    """A run's numbers: as they are and in every resample.

    Attributes:
        classes: Name -> position of the classes that the protocol measures.
        here: Every number, ``b = 1``.
        drawn: Every number in B resamples.
        images: ``[n]`` mean IoU of each image over the classes that appear in it; nan where none does.
    """

    classes: dict[str, int]
    here: Drawn
    drawn: Drawn
    images: Array


def measured(
    counts: Counts, labels: LabelSpace, protocol: Protocol, units: Units, resamples: int = RESAMPLES
) -> Measured:
    """Numbers of one run; the same units give the same resamples for every run.

    Raises:
        UserError: The protocol does not fit the labels.
    """
    seen, merged = apply(protocol, counts, labels)
    here = Resampled(seen.counts, merged, protocol, units).at(np.ones((1, units.count)))
    classes = {name: merged.names.index(name) for name in names_measured(merged, protocol)}
    scores = image_scores(seen.counts[:, list(classes.values())])
    return Measured(classes, here, draw(counts, labels, protocol, units, resamples), scores)


def differences(a: Sequence[Measured], b: Sequence[Measured], units: Units) -> dict[str, Any]:
    """Paired differences B - A of every mean number and of every class's IoU.

    Args:
        a: The repeats of recipe A, at least one.
        b: The repeats of recipe B.
        units: What was drawn, the same for all.

    Returns:
        ``mean``: name -> the entry that `difference` makes; ``per_class``: class -> such an entry
        of its IoU with ``p_holm``.
    """
    mean = {name: difference(_mean(a, name), _mean(b, name), units.count) for name in a[0].here.mean}
    per_class = {
        name: difference(_iou(a, c), _iou(b, c), int(a[0].here.shown_by[c]))
        for name, c in a[0].classes.items()
    }
    for entry, p in zip(per_class.values(), holm([e["p"] for e in per_class.values()]), strict=True):
        entry["p_holm"] = p
    return {"mean": mean, "per_class": per_class}


def _mean(runs: Sequence[Measured], name: str) -> Series:
    drawn = np.mean([run.drawn.mean[name] for run in runs], axis=0)
    return [float(run.here.mean[name][0]) for run in runs], drawn


def _iou(runs: Sequence[Measured], c: int) -> Series:
    drawn = np.mean([run.drawn.per_class["iou"][:, c] for run in runs], axis=0)
    return [float(run.here.per_class["iou"][0, c]) for run in runs], drawn


def difference(a: Series, b: Series, n: int) -> dict[str, Any]:
    """One number of two recipes.

    Args:
        a: Its value in each repeat of A, and ``[B]`` the mean over the repeats in each resample.
        b: The same of B.
        n: Images or groups that the number rests on.

    Returns:
        ``a``, ``b`` (means over repeats), ``difference``, ``interval`` (95 %), ``standard_error``,
        ``images_error`` and ``seeds_error`` (its two parts), ``freedom``, ``p`` (two-sided),
        ``probability``: the share of the resamples in which B is better (ties count half), with
        repeats the share above 0 of the t distribution that gives the interval. ``None`` where
        not defined.
    """
    first, second = float(np.mean(a[0])), float(np.mean(b[0]))
    found = {"a": plain(first), "b": plain(second), "difference": plain(second - first)}
    drawn = b[1] - a[1]
    drawn = drawn[~np.isnan(drawn)]
    unknown = ("interval", "standard_error", "images_error", "seeds_error", "freedom", "p", "probability")
    if found["difference"] is None or n < 2 or not len(drawn):
        return found | dict.fromkeys(unknown)
    parts = [(float(drawn.var()) * n / (n - 1), n - 1), *_seeds(a[0], b[0])]
    error, freedom = _combined(parts)
    reach = t_quantile((1 + LEVEL) / 2, freedom) * error
    d = second - first
    better = float((drawn > 0).mean() + (drawn == 0).mean() / 2)
    known = {
        "interval": [max(-1.0, d - reach), min(1.0, d + reach)],  # the numbers lie between 0 and 1
        "standard_error": error,
        "images_error": math.sqrt(parts[0][0]),
        "seeds_error": math.sqrt(sum(v for v, _ in parts[1:])) if len(parts) > 1 else None,
        "freedom": freedom,
        "p": 2 * _above(-abs(d), error, freedom),
        "probability": _above(d, error, freedom) if len(parts) > 1 else better,
    }
    return found | known


def _seeds(a: Sequence[float], b: Sequence[float]) -> list[tuple[float, int]]:
    """Variance and degrees of freedom that the repeats give to the difference."""
    several = [runs for runs in (a, b) if len(runs) > 1]
    if not several:
        return []
    if len(several) == 2:
        return [(float(np.var(runs, ddof=1)) / len(runs), len(runs) - 1) for runs in several]
    spread = float(np.var(several[0], ddof=1))
    return [(spread * (1 / len(a) + 1 / len(b)), len(several[0]) - 1)]


def _combined(parts: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Standard error and Satterthwaite's degrees of freedom."""
    total = sum(v for v, _ in parts)
    below = sum(v**2 / f for v, f in parts)
    return math.sqrt(total), total**2 / below if below > 0 else float(parts[0][1])


def _above(d: float, error: float, freedom: float) -> float:
    """Share of Student's t distribution with this mean and standard error that lies above 0."""
    from scipy.special import stdtr

    if error == 0:
        return 0.5 if d == 0 else float(d > 0)
    return float(stdtr(freedom, d / error))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Correct p values for as many looks (Holm 1979, "A simple sequentially rejective ... procedure").

    The smallest of K is multiplied with K, the next with K - 1, and so on; none may be smaller than
    one before it, or larger than 1. ``None`` stays ``None`` and is no look.
    """
    known = sorted((p, i) for i, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = largest
    return adjusted


class Said(NamedTuple):
    """A verdict.

    Attributes:
        better: ``b``, ``a``, or ``None`` where the data do not tell.
        sentence: The same in plain words, with the figures.
        needed: Images (groups) that would tell a difference of this size in 80 % of data sets;
            ``None`` where the question does not arise, or no number would do.
    """

    better: str | None
    sentence: str
    needed: int | None = None


def verdict(
    entry: Mapping[str, Any], units: Units, letters: tuple[str, str], runs: tuple[int, int] = (1, 1)
) -> Said:
    """Say in one sentence whether B is better.

    Args:
        entry: What `difference` made of the headline number (mIoU).
        units: What was drawn.
        letters: What the recipes are called.
        runs: How many repeats each has.
    """
    b, d, interval = letters[1], entry["difference"], entry["interval"]
    where = _units(units)
    if d is None:
        return Said(None, f"mIoU is not defined on these {where}: nothing can be said")
    if interval is None:
        return Said(
            None, f"{plural(units.count, units.word)} cannot tell: mIoU differs by {d:+.3f}, without interval"
        )
    digits = _decimals(entry["standard_error"])
    low, high = interval
    seeds = (
        "; one run each: what another seed would give is not in the interval"
        if runs == (1, 1)
        else f"; the interval covers images and seeds ({runs[0]} and {plural(runs[1], 'run')})"
    )
    if low > 0 or high < 0:
        size = sorted((abs(low), abs(high)))
        word = "better" if d > 0 else "worse"
        figures = f"{abs(d):.{digits}f} [{size[0]:.{digits}f}, {size[1]:.{digits}f}] in mIoU"
        return Said("b" if d > 0 else "a", f"{b} is {word} by {figures} on these {where}{seeds}")
    several = "" if runs == (1, 1) else f" and {sum(runs)} runs"
    no = f"no difference that these {where}{several} can show"
    if d == 0 and entry["standard_error"] == 0:
        return Said(None, f"{no}: mIoU is the same in every resample")
    figures = f"{d:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}] in mIoU"
    number = needed(entry, units.count)
    return Said(None, f"{no}: {figures}; {_enough(entry, number, units)}{seeds}", number)


def _units(units: Units) -> str:
    own = plural(units.count, units.word)
    return own if units.word == "image" else f"{own} ({plural(len(units.of), 'image')})"


def _decimals(error: float) -> int:
    """As many decimals as show two digits of the standard error, at least three."""
    return 3 if error <= 0 else min(9, max(3, 1 - math.floor(math.log10(error))))


def needed(entry: Mapping[str, Any], n: int) -> int | None:
    """How many images would tell a difference of this size, rounded to two digits.

    Without repeats ``n ((1.96 + 0.84) e / |d|)^2`` with the standard error e: enough for a power of
    80 % at a level of 5 %. With repeats more images make only their own part of the variance
    smaller: ``n e_images^2 / ((d / 2.8)^2 - e_seeds^2)``; ``None`` where that is not positive or no
    more than n, for then it is the few seeds that hide the difference.
    """
    rest = (entry["difference"] / POWER) ** 2 - (entry["seeds_error"] or 0.0) ** 2
    number = n * entry["images_error"] ** 2 / rest if rest > 0 else math.inf
    if number > MOST or (entry["seeds_error"] and number <= n):
        return None
    number = max(number, n + 1)  # n were not enough, because few units make t large
    digits = max(0, math.floor(math.log10(number)) - 1)
    return round(number / 10**digits) * 10**digits


def _enough(entry: Mapping[str, Any], number: int | None, units: Units) -> str:
    if number is not None:
        return f"about {number:,} {units.word}s like these would be needed to tell a difference of that size"
    if entry["seeds_error"] and entry["difference"] != 0:
        return f"more {units.word}s would not tell, for the spread of few seeds hides it: run more seeds"
    return f"no practical number of {units.word}s would tell a difference of that size"


def chance(letters: Sequence[str], values: Sequence[float]) -> str:
    """The verdict where all runs are repeats of one recipe."""
    names = f"{', '.join(letters[:-1])} and {letters[-1]}"
    spread = float(np.std(values, ddof=1))
    figures = "mIoU is not defined"
    if not math.isnan(spread):
        digits = _decimals(spread)
        figures = f"mIoU spreads by {spread:.{digits}f} (standard deviation over {len(values)} runs)"
    return (
        f"no difference between recipes: {names} are repeats of one; what differs is chance (seed): {figures}"
    )
