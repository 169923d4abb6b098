"""How alike the parts of a split are: segkit's against random, scikit-learn's and iterative stratification.

    python benchmarks/bench_split.py [CAMVID]

CAMVID is a folder in SegNet's layout; without it these two cases are left out. Random is the median
of 100 seeds, segkit one seed. Every peer is used in all the ways that its users use it, with five
seeds (three for 100,000 images): "typical" is the median over them, "best" the smallest of each
number over all of them, which no single split of the peer has to reach. Takes some minutes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import numpy as np

from segkit.data.divergence import divergence
from segkit.data.stratify import at_random, stratify

RATIOS = (0.7, 0.15, 0.15)
FOLDS = 20  # 14, 3 and 3 of them are train, val and test
MEASURES = ("worst", "mean", "pixels worst", "pixels mean", "images worst", "images mean")


def synthetic(n: int, classes: int = 20, group: float = 15) -> tuple[np.ndarray, list[str]]:
    """Images in groups of very different size; class c shows in about 0.95 / c^1.6 of them.

    Groups like some classes better than others, as places, patients and films do.
    """
    rng = np.random.default_rng(n)
    sizes = rng.geometric(1 / group, n)
    groups = np.repeat(np.arange(n), sizes)[:n]
    often = 0.95 * np.arange(1, classes + 1) ** -1.6
    liking = np.log(often / (1 - often)) + rng.normal(0, 1, (groups[-1] + 1, classes))
    shows = rng.random((n, classes)) < (1 / (1 + np.exp(-liking)))[groups]
    area = shows * rng.lognormal(0, 1, (n, classes)) * np.arange(1, classes + 1) ** -0.7
    share = area / np.maximum(area.sum(1, keepdims=True), 1e-9)
    return np.rint(share * 512 * 1024).astype(np.int64), [f"g{g}" for g in groups]


def cases(camvid_root: str | None) -> Iterator[tuple[str, np.ndarray, list[str]]]:
    from segkit.data.count import count_pixels
    from segkit.data.labels import read_labels
    from segkit.data.streets import Streets

    if camvid_root:
        from segkit.data.camvid import camvid

        source = camvid(camvid_root)
        counts = count_pixels(source, source.samples)
        yield "CamVid, 4 sequences", counts, [s.group for s in source.samples]
        yield "CamVid, no groups", counts, [""] * len(counts)
    streets = Streets(read_labels("streets"))
    yield "street scenes", count_pixels(streets, streets.samples), [""] * len(streets.samples)
    for n in (1_000, 10_000, 100_000):
        yield f"{n:,} synthetic", *synthetic(n)


def measures(counts: np.ndarray, parts: np.ndarray) -> np.ndarray:
    found = divergence(counts, parts, RATIOS)
    both = [(np.nanmax(x), np.nanmean(x)) for x in (found.pixels, found.images)]
    return np.array([found.worst, found.mean, *both[0], *both[1]])


def by_chance(counts: np.ndarray, groups: list[str]) -> Iterator[np.ndarray]:
    names = np.array([g or f"image {i}" for i, g in enumerate(groups)])
    unique, number = np.unique(names, return_inverse=True)
    for seed in range(100):
        order = np.argsort(np.random.default_rng(seed).permutation(len(unique))[number], kind="stable")
        parts = np.empty(len(names), np.int64)
        parts[order] = at_random(names[order].tolist(), RATIOS)
        yield parts


def scikit_learn(counts: np.ndarray, groups: list[str]) -> Iterator[np.ndarray]:
    """StratifiedGroupKFold by the dominant and by the rarest class of an image; merged and in two steps."""
    from sklearn.model_selection import StratifiedGroupKFold

    number = np.unique([g or f"image {i}" for i, g in enumerate(groups)], return_inverse=True)[1]
    shows = counts > 0
    rarest = np.where(shows, shows.sum(0), len(counts) + 1).argmin(1)
    for y in (counts.argmax(1), rarest):
        for seed in range(3 if len(counts) > 50_000 else 5):

            def folds(rows: np.ndarray, k: int, y: np.ndarray = y, seed: int = seed) -> np.ndarray:
                tool = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
                fold = np.zeros(len(rows), np.int64)
                for i, (_, held) in enumerate(tool.split(rows, y[rows], number[rows])):
                    fold[held] = i
                return fold

            yield from merged_and_nested(folds, len(counts), int(number.max()) + 1)


def iterative(counts: np.ndarray, groups: list[str]) -> Iterator[np.ndarray]:
    """Iterative stratification of the classes that a group shows; merged, in two steps, and direct."""
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit

    number = np.unique([g or f"image {i}" for i, g in enumerate(groups)], return_inverse=True)[1]
    shows = np.zeros((number.max() + 1, counts.shape[1]), np.int64)
    np.maximum.at(shows, number, (counts > 0).astype(np.int64))
    for seed in range(3 if len(counts) > 50_000 else 5):

        def folds(rows: np.ndarray, k: int, seed: int = seed) -> np.ndarray:
            tool = MultilabelStratifiedKFold(n_splits=k, shuffle=True, random_state=seed)
            fold = np.zeros(len(rows), np.int64)
            for i, (_, held) in enumerate(tool.split(rows, shows[rows])):
                fold[held] = i
            return fold

        for parts in merged_and_nested(folds, len(shows), len(shows)):
            yield parts[number]
        parts, rows = np.zeros(len(shows), np.int64), np.arange(len(shows))
        for part, share in ((2, 0.15), (1, 0.15 / 0.85)):
            cut = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=share, random_state=seed)
            rest, held = next(cut.split(rows, shows[rows]))
            parts[rows[held]], rows = part, rows[rest]
        yield parts[number]


def merged_and_nested(
    folds: Callable[[np.ndarray, int], np.ndarray], n: int, units: int
) -> Iterator[np.ndarray]:
    """Parts from a tool that knows only equal folds: 14 + 3 + 3 of 20, or one of 7, then one of 6."""
    rows = np.arange(n)
    if units >= FOLDS:
        yield np.digitize(folds(rows, FOLDS), (14, 17))
        parts, held = np.zeros(n, np.int64), folds(rows, 7) == 0
        parts[held] = 2
        rest = rows[~held]
        parts[rest[folds(rest, 6) == 0]] = 1
        yield parts
    elif units >= 4:  # any two of four folds
        fold = folds(rows, 4)
        for val, test in permutations(range(4), 2):
            yield np.select([fold == val, fold == test], [1, 2], 0)


def segkit(counts: np.ndarray, groups: list[str]) -> Iterator[np.ndarray]:
    yield stratify(counts, groups, RATIOS)


METHODS: dict[str, tuple[Callable[..., Iterator[np.ndarray]], dict[str, Callable[..., np.ndarray]]]] = {
    "segkit": (segkit, {"": np.min}),
    "random": (by_chance, {"median of 100": np.median}),
    "StratifiedGroupKFold": (scikit_learn, {"typical": np.median, "best": np.min}),
    "iterative stratification": (iterative, {"typical": np.median, "best": np.min}),
}


def compare(name: str, counts: np.ndarray, groups: list[str]) -> None:
    units = len({g or i for i, g in enumerate(groups)})
    print(f"\n{name}: {len(counts):,} images, {counts.shape[1]} classes, {units:,} groups")
    print(f"  {'divergence':34}" + "".join(f"{m:>14}" for m in MEASURES) + f"{'s a split':>11}")
    rows = {}
    for method, (run, summaries) in METHODS.items():
        start = time.process_time()
        splits = list(run(counts, groups))
        seconds = (time.process_time() - start) / len(splits)
        found = [measures(counts, parts) for parts in splits if len(set(parts)) == len(RATIOS)]
        for word, summary in summaries.items() if found else ():
            row = rows[f"{method} {word}".strip()] = summary(found, axis=0)
            title = f"{method}, {word}" if word else method
            print(f"  {title:34}" + "".join(f"{v:14.5f}" for v in row) + f"{seconds:11.2f}", flush=True)
        if len(found) < len(splits):
            print(f"  {method}: {len(splits) - len(found)} of {len(splits)} splits leave a part empty")
    verdict(rows)


def verdict(rows: dict[str, np.ndarray]) -> None:
    """Say where segkit is not lower."""
    own = rows.pop("segkit")
    for word, places in (
        ("equal", own == np.array(list(rows.values()))),
        ("higher", own > list(rows.values())),
    ):
        found = [
            f"{m} ({p})"
            for p, row in zip(rows, places, strict=True)
            for m, x in zip(MEASURES, row, strict=True)
            if x
        ]
        print(f"  segkit is {word}: {', '.join(found) or 'nowhere'}")


def cost(n: int, grouped: bool) -> None:
    """Time and memory of one split, in a process of its own."""
    counts, groups = synthetic(n)
    start, before = time.process_time(), peak_memory()
    parts = stratify(counts, groups if grouped else [""] * n, RATIOS)
    seconds, peak = time.process_time() - start, peak_memory()
    found = divergence(counts, parts, RATIOS)
    print(
        f"  {n:>7,} images, 20 classes, {'in groups' if grouped else 'no groups'}: {seconds:5.1f} s, "
        f"peak {peak:.2f} GiB ({before:.2f} before), worst {found.worst:.5f}, mean {found.mean:.5f}"
    )


def peak_memory() -> float:
    """GiB that this process has held at most (Linux; `getrusage` would count its parent's too)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20  # type: ignore[index]


def main() -> None:
    if sys.argv[1:2] == ["--cost"]:
        cost(int(sys.argv[2]), sys.argv[3] == "True")
        return
    warnings.filterwarnings("ignore", "The least populated class in y")  # rare classes are the point
    for case in cases(sys.argv[1] if len(sys.argv) > 1 else None):
        compare(*case)
    print("\nCPU seconds and memory of one split (promised: 100,000 images under 60 s and 2 GiB)", flush=True)
    for n, grouped in ((1_000, True), (10_000, True), (100_000, True), (100_000, False)):
        subprocess.run([sys.executable, __file__, "--cost", str(n), str(grouped)], check=True)


if __name__ == "__main__":
    main()
