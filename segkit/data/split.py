"""Which sample is for training, which for validation, which for the test.

`assign` decides, `folds` for cross-validation; `write_split` freezes the decision in a file that
later runs obey (`segkit.data.frozen`), and `extend` places samples that came after it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from segkit.data.frozen import read_split, write_split
from segkit.data.stratify import at_random, stratify
from segkit.error import plural
from segkit.types import SPLITS, Sample, Split, UserError

__all__ = [
    "assign",
    "extend",
    "fold_index",
    "fold_parts",
    "fold_ratios",
    "folds",
    "read_split",
    "write_split",
]

Counts = Callable[[], NDArray[np.int64]]


def assign(
    samples: Sequence[Sample],
    val_fraction: float,
    test_fraction: float,
    seed: int,
    counts: Counts | None = None,
) -> list[Split]:
    """Give every sample its part.

    Official splits stay as they are, and no test part is invented beside one; only where the
    official splits leave out validation, it is taken from their training part. Data without
    a split is divided by group: a group never straddles, and a sample without a group is a
    group of its own. The result depends on names, groups, counts and seed, not on the order
    of ``samples``.

    Args:
        samples: All of the data.
        val_fraction: Share of samples for validation, 0 up to below 1.
        test_fraction: The same for the test; the sum of both is below 1.
        seed: Decides which groups go where.
        counts: Gives the pixels of each class in each sample, int64 ``[n, K]`` in the order
            of ``samples``; asked only where something is to be divided. With it all parts get
            their share of every class (`stratify`), without it chance decides.

    Returns:
        ``train``, ``val`` or ``test`` for each sample.

    Raises:
        UserError: A fraction is out of range, only some samples have an official split, or
            there are fewer groups than parts.
    """
    _check_fractions(val_fraction, test_fraction)
    _check_official(samples)
    official = {s.split for s in samples if s.split}
    if not official:
        ratios = (1 - val_fraction - test_fraction, val_fraction, test_fraction)
        return [SPLITS[p] for p in _divide(samples, ratios, seed, counts)]
    kept: list[Split] = [next(p for p in SPLITS if p == s.split) for s in samples]
    if "val" in official or "train" not in official:
        return kept
    train = [i for i, part in enumerate(kept) if part == "train"]
    own = (lambda: counts()[train]) if counts else None
    parts = _divide([samples[i] for i in train], (1 - val_fraction, val_fraction, 0), seed, own)
    for i, part in zip(train, parts, strict=True):
        kept[i] = SPLITS[part]
    return kept


def folds(
    samples: Sequence[Sample], k: int, test_fraction: float, seed: int, counts: Counts | None = None
) -> list[list[Split]]:
    """Divide for k-fold cross-validation: k splits, and each sample is for validation in one of them.

    The test part is the same in all of them: the official one, or ``test_fraction`` of data
    that has no official split. The rest is divided as in `assign`.

    Args:
        samples: All of the data.
        k: How many, at least 2.
        test_fraction: Share of samples that no fold holds, 0 up to below 1.
        seed: As in `assign`.
        counts: As in `assign`.

    Returns:
        k lists with the part of each sample.

    Raises:
        UserError: As in `assign`, or k is below 2.
    """
    if k < 2:
        raise UserError(f"split.folds={k}: give at least 2, or null for one split")
    _check_fractions(0, test_fraction)
    _check_official(samples)
    return fold_parts(_fold(samples, k, test_fraction, seed, counts), k)


def extend(
    samples: Sequence[Sample],
    frozen: Sequence[Mapping[str, Split]],
    val_fraction: float,
    test_fraction: float,
    seed: int,
    counts: Counts,
) -> list[list[Split]]:
    """Place new samples beside those of a frozen split, which stay where they are.

    A new sample of a group that is there joins it, and one that has an official split keeps
    that (in folds: official test samples alone are for the test); the others go where the
    parts of all samples become most alike.

    Args:
        samples: All of the data, old and new.
        frozen: Parts by name: one mapping, or k for a split into folds (`fold_index`).
        val_fraction: As in `assign`; not used for folds.
        test_fraction: As in `assign`.
        seed: As in `assign`.
        counts: As in `assign`.

    Returns:
        The part of each sample, one list per mapping.

    Raises:
        UserError: A fraction is out of range, or the mappings are no folds.
    """
    k = len(frozen)
    _check_fractions(0 if k > 1 else val_fraction, test_fraction)
    if k > 1:
        old = fold_index(frozen)
        fixed = np.array([old.get(s.name, k if s.split == "test" else -1) for s in samples])
        return fold_parts(_fold(samples, k, test_fraction, seed, counts, fixed), k)
    parts = [frozen[0].get(s.name, s.split) for s in samples]
    fixed = np.array([SPLITS.index(p) if p in SPLITS else -1 for p in parts])
    ratios = (1 - val_fraction - test_fraction, val_fraction, test_fraction)
    return [[SPLITS[p] for p in _divide(samples, ratios, seed, counts, fixed)]]


def fold_ratios(k: int, test_fraction: float) -> list[float]:
    """Sizes of k folds and of the test part beside them."""
    return [(1 - test_fraction) / k] * k + [test_fraction]


def fold_parts(chosen: NDArray[np.int64], k: int) -> list[list[Split]]:
    """Turn the fold of each sample (0..k-1, or k for the test) into k splits."""
    return [["test" if c == k else "val" if c == f else "train" for c in chosen] for f in range(k)]


def fold_index(frozen: Sequence[Mapping[str, Split]]) -> dict[str, int]:
    """The fold of each sample, by name: what `fold_parts` is made of.

    Raises:
        UserError: A sample is not for validation in exactly one split, nor for the test in all.
    """
    k, found = len(frozen), {}
    for name in frozen[0]:
        parts = [split.get(name, "") for split in frozen]
        found[name] = parts.index("val") if "val" in parts else k
        if Counter(parts) not in (Counter({"test": k}), Counter({"val": 1, "train": k - 1})):
            raise UserError(
                f"'{name}' is {', '.join(p or 'nowhere' for p in parts)} in these {k} splits, "
                "which are no folds; split.existing=replace makes new ones"
            )
    return found


def _fold(
    samples: Sequence[Sample],
    k: int,
    test_fraction: float,
    seed: int,
    counts: Counts | None,
    fixed: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """The fold of each sample, k for the test; ``fixed``: of those that stay, -1 for the others."""
    stays = np.full(len(samples), -1) if fixed is None else fixed
    official = any(s.split for s in samples)
    rest = [i for i, s in enumerate(samples) if s.split != "test" and not (official and stays[i] == k)]
    own = (lambda: counts()[rest]) if counts else None
    held = None if fixed is None else fixed[rest]
    ratios = fold_ratios(k, 0 if official else test_fraction)
    chosen = np.full(len(samples), k)
    chosen[rest] = _divide([samples[i] for i in rest], ratios, seed, own, held, k)
    return np.where(stays < 0, chosen, stays)


def _check_fractions(val: float, test: float) -> None:
    for key, value in (("val_fraction", val), ("test_fraction", test)):
        if not 0 <= value < 1:
            raise UserError(f"data.{key}={value} must be at least 0 and below 1")
    if val + test >= 1:
        raise UserError(
            f"data.val_fraction={val} and data.test_fraction={test} leave nothing to train on; "
            "their sum must be below 1"
        )


def _check_official(samples: Sequence[Sample]) -> None:
    outside = [s.name for s in samples if not s.split]
    if outside and len(outside) < len(samples):
        raise UserError(
            f"{len(outside)} of {len(samples)} samples have no official split while the others have "
            f"(first: {outside[0]}); give all of them one or none"
        )
    if wrong := next((s for s in samples if s.split and s.split not in SPLITS), None):
        raise UserError(f"sample '{wrong.name}' has the split '{wrong.split}'; choose train, val or test")


def _divide(
    samples: Sequence[Sample],
    ratios: Sequence[float],
    seed: int,
    counts: Counts | None,
    fixed: NDArray[np.int64] | None = None,
    k: int = 0,
) -> NDArray[np.int64]:
    """The part (an index of ``ratios``) of each sample."""
    # A prefix keeps a group apart from a sample that is called like it.
    keys = [f"group {s.group}" if s.group else f"sample {s.name}" for s in samples]
    if fixed is None:
        _check_enough(samples, len(set(keys)), ratios, k)
    drawn = {key: hashlib.sha256(f"{seed} {key}".encode()).digest() for key in set(keys)}
    order = sorted(range(len(samples)), key=lambda i: (drawn[keys[i]], keys[i], samples[i].name))
    groups = [keys[i] for i in order]
    chosen = np.empty(len(samples), np.int64)
    if counts is None or (fixed is None and sum(r > 0 for r in ratios) < 2):
        chosen[order] = at_random(groups, ratios)
    else:
        held = None if fixed is None else fixed[order]
        chosen[order] = stratify(counts()[order], groups, ratios, seed, fixed=held)
    return chosen


def _check_enough(samples: Sequence[Sample], groups: int, ratios: Sequence[float], k: int) -> None:
    wanted = sum(r > 0 for r in ratios)
    if groups >= wanted:
        return
    kind = "group" if any(s.group for s in samples) else "sample"
    found = plural(groups, kind)
    if k:
        test = " and a test part" if wanted > k else ""
        raise UserError(f"split.folds={k}: {found} cannot be divided into {k} folds{test}; lower it")
    if groups < 2:
        raise UserError(
            f"{found} cannot be divided: training needs at least 2 {kind}s, one to learn from and one to "
            f"validate with; add {kind}s"
        )
    names = ", ".join(p for p, r in zip(SPLITS, ratios, strict=True) if r > 0)
    raise UserError(
        f"{found} cannot be divided into {names}; add {kind}s, "
        "or set data.test_fraction=0 or data.val_fraction=0"
    )
