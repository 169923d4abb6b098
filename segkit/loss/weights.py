"""``loss.class_weights=...``: how much each class counts, from the pixels of the training masks."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segkit.types import Task, UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[Any]


def uniform(counts: Counts) -> Counts:
    """1 for every class: as without weights, where a class's part of the loss is its part of the pixels."""
    return np.ones(counts.shape[1])


def inverse(counts: Counts) -> Counts:
    """One over a class's share of the pixels: every class gets the same part of the loss."""
    return counts.sum() / counts.sum(0)


def median_frequency(counts: Counts) -> Counts:
    """Median frequency balancing (Eigen & Fergus 2015, section 6.3.2).

    The frequency of a class is its pixels over all labelled pixels of the images that show it.
    """
    labelled = counts.sum(1)
    frequency = counts.sum(0) / ((counts > 0) * labelled[:, None]).sum(0)
    return np.median(frequency) / frequency


def effective_number(counts: Counts, beta: float = 0.999, pixels: int = 10_000) -> Counts:
    """Inverse effective number of samples, ``(1 - beta) / (1 - beta^n)`` (Cui et al. 2019).

    With millions of pixels ``beta^n`` vanishes and all weights become the same, so n is the
    number of pixels that the class would have in a data set of ``pixels`` pixels: a class with
    less than a few hundredths of them is weighted as by `inverse`, while classes of a tenth
    and more are nearly alike, whatever the size and number of the images.
    """
    n = counts.sum(0) / counts.sum() * pixels
    return (1 - beta) / -np.expm1(n * np.log(beta))


def enet(counts: Counts, c: float = 1.02) -> Counts:
    """``1 / ln(c + share)`` (Paszke et al. 2016, ENet, section 5.2): bounded for the rarest class."""
    return 1 / np.log(c + counts.sum(0) / counts.sum())


def sqrt(counts: Counts) -> Counts:
    """One over the square root of a class's share: half way between `inverse` and none."""
    return np.sqrt(counts.sum() / counts.sum(0))


SCHEMES: dict[str, Callable[[Counts], Counts]] = {
    f.__name__: f for f in (uniform, inverse, median_frequency, effective_number, enet, sqrt)
}


CAP = 10.0  # largest weight of a class, in means over the pixels


def class_weights(scheme: str | Sequence[float], counts: Counts, cap: float = CAP) -> list[float]:
    """Turn what the user asked for into one weight per class.

    A scheme's weights are scaled so that their mean over the training pixels is 1, which
    leaves the size of the loss as it was, and none is more than ``cap`` times that mean (the
    others make up for what the cap takes away). A class without a training pixel gets 1: its
    weight has no source, and in validation it counts like an average pixel. A list is taken as
    it is: only its ratios matter, since a loss divides by the weights of its pixels.

    Args:
        scheme: Name of a scheme, or K numbers.
        counts: ``[images, K]`` int64, pixels of each class in each training image.
        cap: Largest weight, at least 1.

    Returns:
        K finite weights, zero or more.

    Raises:
        UserError: Unknown scheme, a list that does not fit, or masks without a labelled pixel.
    """
    counts = np.asarray(counts, np.float64)
    if not isinstance(scheme, str):
        return _explicit(scheme, counts.shape[1])
    if scheme not in SCHEMES:
        near = difflib.get_close_matches(scheme, SCHEMES, 1, 0)[0]
        raise UserError(
            f"loss.class_weights={scheme} is no scheme: did you mean {near}? "
            f"(null, {', '.join(SCHEMES)}, or a list of {counts.shape[1]} numbers)"
        )
    shown = counts.sum(0) > 0
    if not shown.any():
        raise UserError(
            f"loss.class_weights={scheme} needs labelled pixels, but every training pixel is ignored: "
            "check data.labels, or type loss.class_weights=null"
        )
    weights = np.ones(counts.shape[1])
    share = counts.sum(0)[shown] / counts.sum()
    weights[shown] = _normalised(SCHEMES[scheme](counts[:, shown]), share, cap)
    return [float(w) for w in weights]


def loss_share(weights: Sequence[float], counts: Counts, task: Task) -> list[float]:
    """How much of the weighted cross-entropy each class carries while all pixels lose the same.

    With a softmax or one sigmoid a pixel counts with the weight of its own class. Multilabel
    classes each ask yes or no of every pixel, so there the pixels do not matter.

    Args:
        weights: K numbers, as `class_weights` gives them.
        counts: ``[images, K]`` int64, pixels of each class in each training image.
        task: What the label space says.

    Returns:
        K numbers from 0 to 1 that add up to 1; zeros where there is no pixel.
    """
    carried = np.asarray(weights, np.float64)
    if task != "multilabel":
        carried = carried * np.asarray(counts, np.float64).sum(0)
    total = carried.sum()
    return [float(c / total) if total > 0 else 0.0 for c in carried]


def _normalised(weights: Counts, share: Counts, cap: float) -> Counts:
    """Scale so that ``sum(share * weights)`` is 1 with no weight above ``cap`` (>= 1)."""
    capped = np.zeros(len(weights), bool)
    while True:
        room = 1 - cap * share[capped].sum()
        scaled = np.where(capped, cap, weights * room / (share * weights)[~capped].sum())
        over = ~capped & (scaled > cap * (1 + 1e-12))
        if not over.any() or (capped | over).all():  # all of them: rounding, with a cap of about 1
            return np.minimum(scaled, cap)
        capped |= over


def _explicit(values: Sequence[float], num_classes: int) -> list[float]:
    """Check K weights that were given one by one."""
    values = values if isinstance(values, Sequence) else [values]
    weights = np.asarray(values, np.float64) if all(isinstance(v, int | float) for v in values) else None
    if weights is None or len(weights) != num_classes:
        raise UserError(f"loss.class_weights={list(values)} must be {num_classes} numbers, one per class")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise UserError(
            f"loss.class_weights={list(values)} must be zero or more, not all zero: type 1 for a usual class"
        )
    return [float(w) for w in weights]
