"""Runs -> which is better: ``compare.json`` and ``compare.csv``, and the same in words."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segkit.files import write_csv, write_json
from segkit.metric.interval import LEVEL, RESAMPLES, Units, units_of, warning
from segkit.metric.overlap import plain
from segkit.metric.paired import Measured, Said, chance, differences, measured, verdict
from segkit.report.recipe import differing
from segkit.report.stored import COMPARED, Stored, aligned

if TYPE_CHECKING:
    from segkit.types import Array

WORDS = {
    "difference": "second minus first, of the means over repeats",
    "interval": (
        "95 %: difference +- t standard errors; the standard error is that of the paired bootstrap over "
        "images (groups where there are groups), times sqrt(n / (n - 1)); with repeats the spread of seeds "
        "is added (Welch, Satterthwaite)"
    ),
    "probability": (
        "share of the resamples of images in which the second is better, ties count half; with repeats, "
        "share above 0 of the t distribution that gives the interval"
    ),
    "p": "two-sided, of Student's t",
    "p_holm": "p of a class, corrected by Holm for as many looks as there are classes",
    "per_image": "mean IoU of an image over the classes that appear in its target or prediction",
}


class Side(NamedTuple):
    """A recipe, or a single run where all runs are repeats of one recipe.

    Attributes:
        letter: What it is called: A, B ...
        name: What its first run calls itself.
        runs: Its repeats, at least one.
        measured: Their numbers.
        images: ``[n]`` IoU of each image, mean over the repeats.
    """

    letter: str
    name: str
    runs: list[Stored]
    measured: list[Measured]
    images: Array


class Pair(NamedTuple):
    """Two sides.

    Attributes:
        a: The first.
        b: The other.
        numbers: What `segkit.metric.paired.differences` gives.
        said: The verdict on mIoU.
        differs: Key, value in A, value in B of their recipes.
    """

    a: Side
    b: Side
    numbers: dict[str, Any]
    said: Said
    differs: list[tuple[str, str, str]]

    @property
    def change(self) -> Array:
        """``[n]`` difference of the IoU of each image, B - A."""
        return self.b.images - self.a.images

    def extremes(self, count: int) -> tuple[list[int], list[int]]:
        """Positions of the images that improved most, and of those that worsened most."""
        change = np.nan_to_num(self.change)
        order = np.argsort(change, kind="stable")
        better = [int(i) for i in order[::-1][:count] if change[i] > 0]
        return better, [int(i) for i in order[:count] if change[i] < 0]


class Comparison(NamedTuple):
    """All that was found.

    Attributes:
        sides: The recipes.
        pairs: Each side against the first.
        units: What was resampled.
        repeats: All runs are repeats of one recipe; sides are single runs then.
        verdicts: The answer, a sentence for each pair (one for repeats).
    """

    sides: list[Side]
    pairs: list[Pair]
    units: Units
    repeats: bool
    verdicts: list[str]

    @property
    def first(self) -> Stored:
        """The run that gives labels, names and protocol: all others agree with it."""
        return self.sides[0].runs[0]


def compare_runs(runs: Sequence[Stored]) -> Comparison:
    """Compare runs: repeats of one recipe are taken together, and each recipe with the first.

    Args:
        runs: At least two.

    Raises:
        UserError: They cannot be compared (`segkit.report.stored.aligned`).
    """
    runs = aligned(runs)
    units = units_of(runs[0].groups)
    recipes = _recipes(runs)
    repeats = len(recipes) == 1
    sides = [
        _side(letter(i), list(group), units)
        for i, group in enumerate([[run] for run in runs] if repeats else recipes)
    ]
    pairs = [_pair(sides[0], side, units, repeats) for side in sides[1:]]
    if repeats:
        miou = [float(side.measured[0].here.mean["miou"][0]) for side in sides]
        verdicts = [chance([side.letter for side in sides], miou)]
    else:
        verdicts = [pair.said.sentence for pair in pairs]
    return Comparison(sides, pairs, units, repeats, verdicts)


def letter(index: int) -> str:
    """A to Z, then run 27 ..."""
    return string.ascii_uppercase[index] if index < 26 else f"run {index + 1}"


def _recipes(runs: Sequence[Stored]) -> list[list[Stored]]:
    """Runs of one recipe together, in the order of their first; an unknown recipe is its own."""
    found: list[list[Stored]] = []
    for run in runs:
        own = run.origin.recipe
        same = [group for group in found if own is not None and group[0].origin.recipe == own]
        if same:
            same[0].append(run)
        else:
            found.append([run])
    return found


def _side(name: str, runs: list[Stored], units: Units) -> Side:
    numbers = [measured(run.counts, run.labels, run.protocol, units) for run in runs]
    return Side(name, runs[0].name, runs, numbers, np.mean([m.images for m in numbers], axis=0))


def _pair(a: Side, b: Side, units: Units, repeats: bool) -> Pair:
    numbers = differences(a.measured, b.measured, units)
    letters, runs = (a.letter, b.letter), (len(a.runs), len(b.runs))
    said = verdict(numbers["mean"]["miou"], units, letters, runs)
    if repeats:  # what single images tell is no difference of recipes
        said = Said(
            None, f"{a.letter} and {b.letter} are repeats of one recipe: what differs is chance (seed)"
        )
    return Pair(a, b, numbers, said, differing(a.runs[0].origin.recipe, b.runs[0].origin.recipe))


def numbers_of(comparison: Comparison, count: int) -> dict[str, Any]:
    """Everything in plain containers, as ``compare.json`` holds it.

    Args:
        comparison: What was found.
        count: How many of the most improved and worsened images are named.
    """
    first, units = comparison.first, comparison.units
    about = {key: first.numbers.get(key) for key in COMPARED}
    return {
        "verdict": comparison.verdicts,
        "repeats_of_one_recipe": comparison.repeats,
        "protocol": {**about, **first.numbers["protocol"], "comparison": WORDS},
        "level": LEVEL,
        "resamples": RESAMPLES,
        "images": len(first.names),
        "unit": units.word,
        "units": units.count,
        "warning": warning(units),
        "recipes": [_about(side) for side in comparison.sides],
        "comparisons": [_numbers(pair, first.names, count) for pair in comparison.pairs],
    }


def _about(side: Side) -> dict[str, Any]:
    return {
        "letter": side.letter,
        "name": side.name,
        "known": side.runs[0].origin.recipe is not None,
        "runs": [
            {
                "folder": str(run.folder),
                "seed": run.origin.seed,
                "checkpoint": run.numbers["checkpoint"],
                "command": run.origin.card.get("command"),
                "versions": run.origin.card.get("versions"),
                "mean": {name: plain(float(v[0])) for name, v in m.here.mean.items()},
            }
            for run, m in zip(side.runs, side.measured, strict=True)
        ],
    }


def _numbers(pair: Pair, names: Sequence[str], count: int) -> dict[str, Any]:
    better, worse = pair.extremes(count)
    return {
        "a": pair.a.letter,
        "b": pair.b.letter,
        "verdict": pair.said.sentence,
        "better": pair.b.letter if pair.said.better == "b" else pair.a.letter if pair.said.better else None,
        "needed": pair.said.needed,
        "recipe": [{"key": k, pair.a.letter: a, pair.b.letter: b} for k, a, b in pair.differs],
        **pair.numbers,
        "improved": [_image(pair, i, names) for i in better],
        "worsened": [_image(pair, i, names) for i in worse],
    }


def _image(pair: Pair, i: int, names: Sequence[str]) -> dict[str, Any]:
    a, b = float(pair.a.images[i]), float(pair.b.images[i])
    return {"sample": names[i], "a": a, "b": b, "difference": b - a}


def write_numbers(folder: Path, comparison: Comparison, numbers: dict[str, Any]) -> None:
    """Write ``compare.json``, and every image into ``compare.csv``."""
    write_json(folder / "compare.json", numbers)
    first, sides, pairs = comparison.first, comparison.sides, comparison.pairs
    columns = ["sample", "group", *(f"iou_{s.letter}" for s in sides), *(_column(p) for p in pairs)]
    rows = [
        {"sample": name, "group": group}
        | {f"iou_{s.letter}": _six(s.images[i]) for s in sides}
        | {_column(p): _six(p.change[i]) for p in pairs}
        for i, (name, group) in enumerate(zip(first.names, first.groups, strict=True))
    ]
    write_csv(folder / "compare.csv", columns, rows)


def _column(pair: Pair) -> str:
    return f"{pair.b.letter}-{pair.a.letter}"


def _six(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6f}"


def text(comparison: Comparison) -> str:
    """The verdicts and, for every pair, a table of differences: lines for a terminal."""
    lines = []
    for side in comparison.sides:
        folders = ", ".join(str(run.folder) for run in side.runs)
        lines.append(f"{side.letter}: {side.name} ({folders})")
    for pair in comparison.pairs:
        rows = {**pair.numbers["per_class"], "mIoU": pair.numbers["mean"]["miou"]}
        wide = max(map(len, [*rows, "class"]))
        a, b = pair.a.letter, pair.b.letter
        titles = (
            f"{a:>7}  {b:>7}  {f'{b} - {a}':>8}  {'95 % interval':>17}  {f'{b} better':>9}  {'p (Holm)':>8}"
        )
        lines += ["", f"{'IoU':{wide}}  {titles}", *(_line(n, e, wide) for n, e in rows.items())]
    return "\n".join([*lines, "", *comparison.verdicts])


def _line(name: str, entry: dict[str, Any], wide: int) -> str:
    interval = "-" if entry["interval"] is None else "[{:+.4f}, {:+.4f}]".format(*entry["interval"])
    p = entry.get("p_holm", entry["p"])
    cells = (
        _cell(entry["a"], 7, ".4f"),
        _cell(entry["b"], 7, ".4f"),
        _cell(entry["difference"], 8, "+.4f"),
        f"{interval:>18}",
        _cell(entry["probability"], 8, ".1%"),
        f"{'<0.001':>8}" if p is not None and p < 0.001 else _cell(p, 8, ".3f"),
    )
    return f"{name:{wide}}  " + "  ".join(cells)


def _cell(value: float | None, width: int, form: str) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"
