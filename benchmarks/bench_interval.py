"""Seconds for the intervals of a data set, beside a plain loop over the resamples.

    python benchmarks/bench_interval.py

Promised: under one second for 500 images and 19 classes (every mean and per-class number, 2,000
resamples). The loop derives the same numbers with `overlap` from the counts of each resample; it
is timed on 100 of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from segkit.metric.cells import Counts
from segkit.metric.interval import RESAMPLES, intervals
from segkit.metric.overlap import overlap
from segkit.types import LabelSpace

LOOPED = 100


def data(images: int, classes: int) -> tuple[Counts, LabelSpace]:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9000, (images, classes, 3)) * (rng.random((images, classes, 1)) < 0.6)
    names = tuple(f"class {i}" for i in range(classes))
    labels = LabelSpace(names, ((0, 0, 0),) * classes, tuple((i,) for i in range(classes)))
    return Counts(counts, None, np.arange(images)), labels


def loop(counts: Counts, labels: LabelSpace, resamples: int) -> dict[str, np.ndarray]:
    rng, n = np.random.default_rng(0), len(counts.index)
    found: list[dict[str, float]] = []
    for _ in range(resamples):
        drawn = Counts(counts.counts[rng.integers(0, n, n)], None, np.arange(n))
        found.append(overlap(drawn, labels)["mean"])
    return {name: np.quantile([f[name] for f in found], [0.025, 0.975]) for name in found[0]}


def best(work: Callable[[], object], times: int = 3) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    intervals(*data(4, 2))  # scipy.special is imported once
    print(f"{RESAMPLES:,} resamples, best of 3")
    for images, classes in ((500, 19), (500, 150), (5_000, 19)):
        counts, labels = data(images, classes)
        ours = best(lambda counts=counts, labels=labels: intervals(counts, labels))  # type: ignore[misc]
        line = f"  {images:>5,} images, {classes:>3} classes: {ours:6.2f} s"
        if images * classes < 10_000:
            plain = best(lambda c=counts, k=labels: loop(c, k, LOOPED), 1)  # type: ignore[misc]
            plain *= RESAMPLES / LOOPED
            line += f"; a plain loop {plain:6.1f} s, {plain / ours:.0f} times as long"
        print(line)


if __name__ == "__main__":
    main()
