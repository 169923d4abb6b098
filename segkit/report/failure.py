"""Where a network fails -> plots: errors by kind, objects by size, how many pictures are bad."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segkit.files import write_csv, write_figure
from segkit.metric.overlap import WORST
from segkit.report.style import BLUE, GREEN, INK, PALE, PURPLE, VERMILLION, drawn, drawn_note, plot

if TYPE_CHECKING:
    from segkit.types import Array

KINDS = {"boundary": BLUE, "missed": VERMILLION, "invented": GREEN, "confused": PURPLE}
ALL = "all"  # the row of all classes together


def error_bars(numbers: Mapping[str, Any], folder: Path, name: str, stem: str = "errors") -> Path:
    """Draw the wrong pixels of each class, and of all, divided into kinds.

    Args:
        numbers: As `segkit.metric.failure.Failure.numbers` gives them.
        folder: Where ``<stem>.png`` and ``<stem>.csv`` go.
        name: Name of the run, for the title.
        stem: Name of both files.

    Returns:
        The PNG file.
    """
    everything = {ALL: numbers["errors"], **numbers["errors_per_class"]}
    rows = _drawn(everything, lambda row: row["total"])
    note = drawn_note(len(everything) - 1, "the most wrong pixels")
    pixels = np.array([[row[kind] for kind in KINDS] for row in rows.values()])
    total = pixels.sum(1)
    shares = 100 * pixels / np.maximum(total, 1)[:, None]
    size = (7.6, 1.9 + 0.3 * len(rows))
    subtitle = f"kinds of wrong pixels, by the class of the target{note}"
    axes = plot(name, subtitle, "% of the wrong pixels", "", size)
    left = np.zeros(len(rows))
    for (kind, color), width in zip(KINDS.items(), shares.T, strict=True):
        axes.barh(range(len(rows)), width, left=left, height=0.72, color=color, label=kind)
        left += width
    for i, count in enumerate(total.tolist()):
        part = f" ({100 * count / total[0]:.1f} %)" if i and count else ""
        text = f"{count:,} px{part}" if count else "nothing wrong"
        axes.text(101 if count else 1, i, text, va="center", fontsize=9, color=INK if count else PALE)
    axes.set_xlim(0, 132)
    axes.set_xticks(range(0, 101, 20))
    _rows(axes, list(rows))
    _legend(axes)
    lines = [
        {"class": n, "kind": kind, "pixels": row[kind], "share_of_wrong": _share(row[kind], row["total"])}
        for n, row in everything.items()
        for kind in KINDS
    ]
    write_csv(folder / f"{stem}.csv", ["class", "kind", "pixels", "share_of_wrong"], lines)
    return _written(axes, folder / f"{stem}.png")


def size_dots(numbers: Mapping[str, Any], folder: Path, name: str, stem: str = "object_size") -> Path:
    """Draw the mean IoU of objects of each class, a dot for each size; larger dots are larger objects.

    Args:
        numbers: As for `error_bars`.
        folder: Where ``<stem>.png`` and ``<stem>.csv`` go.
        name: Name of the run, for the title.
        stem: Name of both files.

    Returns:
        The PNG file.
    """
    everything, sizes = {ALL: numbers["size"], **numbers["size_per_class"]}, numbers["sizes"]
    rows = _drawn(everything, lambda row: sum(row[s["name"]]["objects"] for s in sizes))
    note = drawn_note(len(everything) - 1, "the most objects")
    subtitle = f"mean IoU of the target's objects (connected regions), by their area{note}"
    axes = plot(name, subtitle, "IoU (0 to 1)", "", (7.6, 1.9 + 0.3 * len(rows)))
    _dots(axes, rows, sizes)
    axes.set_xlim(-0.02, 1.02)
    _rows(axes, list(rows))
    _legend(axes, 2)
    fields = ("objects", "found", "recall", "iou")
    lines = [
        {"class": name, **limits, **{field: row[limits["size"]][field] for field in fields}}
        for name, row in everything.items()
        for limits in ({"size": s["name"], "from": s["from"], "to": s["to"]} for s in sizes)
    ]
    write_csv(folder / f"{stem}.csv", ["class", "size", "from", "to", *fields], lines)
    return _written(axes, folder / f"{stem}.png")


def _drawn(rows: Mapping[str, Any], size: Callable[[Any], float]) -> dict[str, Any]:
    """The row of all, and those of the classes that are drawn, in their order."""
    ranked = sorted((name for name in rows if name != ALL), key=lambda name: -size(rows[name]))
    kept = {ALL, *drawn(ranked)}
    return {name: row for name, row in rows.items() if name in kept}


def score_histogram(
    scores: Array, names: Sequence[str], folder: Path, name: str, stem: str = "image_miou"
) -> Path:
    """Draw how many images have which mIoU, the worst 5 % marked.

    Args:
        scores: ``[images]``, 0..1; nan for an image without a number, which is left out.
        names: Of the images, for the table.
        folder: Where ``<stem>.png`` and ``<stem>.csv`` (an image a line, the worst first) go.
        name: Name of the run, for the title.
        stem: Name of both files.

    Returns:
        The PNG file.
    """
    known = np.flatnonzero(~np.isnan(scores))
    order = known[np.argsort(scores[known], kind="stable")]
    ranked, number = scores[order], min(len(order), max(1, round(WORST * len(order))))
    noun = "picture" if number == 1 else "pictures"
    subtitle = f"mIoU of each of {len(order)} images over the classes that appear in it"
    axes = plot(name, subtitle, "mIoU of the image (0 to 1)", "images")
    low, high = _tenths(ranked)
    parts, colors = [ranked[:number], ranked[number:]], [VERMILLION, BLUE]
    labels = [f"worst 5 %: {number} {noun}", "other pictures"]
    axes.hist(parts, bins=np.linspace(low, high, 31).tolist(), stacked=True, color=colors, label=labels)
    if len(order):
        mean = float(ranked.mean())
        axes.axvline(mean, color=INK, lw=1.2, ls="--")
        place = axes.get_xaxis_transform()  # x in numbers, y from 0 to 1
        axes.text(mean + 0.01 * (high - low), 0.97, f"mean {mean:.3f}", transform=place, fontsize=9, va="top")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(low, high)
    _legend(axes, 2)
    lines = [
        {"image": names[i], "miou": f"{scores[i]:.6f}", "worst": int(rank < number)}
        for rank, i in enumerate(order)
    ]
    write_csv(folder / f"{stem}.csv", ["image", "miou", "worst"], lines)
    return _written(axes, folder / f"{stem}.png")


def _tenths(ranked: Array) -> tuple[float, float]:
    """The range of ascending scores, from one tenth to another."""
    if not len(ranked):
        return 0.0, 1.0
    low, high = (math.floor(10 * float(v)) for v in (ranked[0], ranked[-1]))
    return min(9, low) / 10, min(10, high + 1) / 10


def _dots(axes: Axes, rows: Mapping[str, Any], sizes: Sequence[Mapping[str, Any]]) -> None:
    values = np.array([[_number(row[s["name"]]["iou"]) for s in sizes] for row in rows.values()], float)
    for i, own in enumerate(values):
        shown = own[~np.isnan(own)]
        if len(shown):
            axes.plot([shown.min(), shown.max()], [i, i], color="#B5B5B5", lw=1.5, zorder=2)
        else:
            axes.text(0.01, i, "no object", va="center", fontsize=9, color=PALE)
    places = np.arange(len(rows))
    for b, (size, color) in enumerate(zip(sizes, _shades(len(sizes)), strict=True)):
        label = f"{size['name']} ({_limits(size)}): {rows[ALL][size['name']]['objects']:,}"
        axes.scatter(values[:, b], places, 24 + 44 * b, color=color, edgecolor="white", label=label, zorder=3)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """A class a line, all of them together on top."""
    axes.set_yticks(range(len(names)), names)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.axhline(0.5, color="#9A9A9A", lw=0.8)
    axes.grid(axis="y", visible=False)


def _legend(axes: Axes, columns: int = 4) -> None:
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def _shades(number: int) -> list[tuple[float, ...]]:
    """Blues that grow darker, so that the order of sizes is seen."""
    return [colormaps["Blues"](0.4 + 0.6 * i / max(1, number - 1)) for i in range(number)]


def _limits(size: Mapping[str, Any]) -> str:
    """From which area to which: below 1 a share of the picture."""

    def shown(value: float) -> str:
        return f"{100 * value:g} %" if value < 1 else f"{value:g} px"

    low, high = size["from"], size["to"]
    if high is None:
        return f"from {shown(low)}" if low else "any area"
    return f"below {shown(high)}" if not low else f"{shown(low)} to {shown(high)}"


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.6f}" if whole else ""


def _written(axes: Axes, path: Path) -> Path:
    assert isinstance(axes.figure, Figure)
    write_figure(path, axes.figure)
    return path
