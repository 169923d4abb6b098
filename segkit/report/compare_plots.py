"""Plots of a comparison: the difference of each class with its interval, and every image of both."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.files import write_csv, write_figure
from segkit.report.compare import Pair
from segkit.report.style import BLUE, INK, PALE, VERMILLION, drawn, drawn_note, plot

MANY = 40  # classes from which on rows are thin and letters small
NUMBERS = ("a", "b", "difference", "low", "high", "p", "p_holm", "probability")


def forest(pair: Pair, colors: Mapping[str, tuple[int, int, int]], folder: Path, title: str) -> Path:
    """Draw the difference of the IoU of each class with its interval, and that of mIoU below.

    Blue: the interval lies above zero after Holm's correction; vermillion: below; grey: neither.

    Args:
        pair: The two sides.
        colors: Of the classes.
        folder: Where ``difference_B-A.png`` and ``.csv`` go.
        title: Of the plot.

    Returns:
        The PNG file.
    """
    classes: dict[str, Any] = pair.numbers["per_class"]
    total = {"mIoU": pair.numbers["mean"]["miou"]}
    kept = set(drawn(sorted(classes, key=lambda n: -abs(classes[n]["difference"] or 0))))
    rows = {**{n: entry for n, entry in classes.items() if n in kept}, **total}
    a, b, count = pair.a.letter, pair.b.letter, len(rows)
    high, letters = (0.32, 9.5) if count <= MANY else (0.165, 7.0)
    note = drawn_note(len(classes), "the largest difference")
    label = f"IoU of {b} - IoU of {a} (-1 to 1; right of 0 {b} is better)"
    axes = plot(title, f"difference with 95 % interval{note}", label, "", (6.4, 1.5 + high * count))
    axes.axvline(0, color=INK, lw=1)
    for row, (name, entry) in enumerate(rows.items()):
        _row(axes, row, entry, bold=name == "mIoU")
    axes.axhline(count - 1.5, color=PALE, lw=0.8)
    axes.set_yticks(range(count), [_shown(name) for name in rows], fontsize=letters)
    axes.set_ylim(count - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", pad=13)
    _swatches(axes, [colors.get(name) for name in rows], 60 if count <= MANY else 22)
    stem = f"difference_{b}-{a}"
    lines = [_numbers(n, entry) for n, entry in {**classes, **total}.items()]
    return _save(axes, folder / f"{stem}.png", ("class", *NUMBERS), lines)


def _row(axes: Axes, row: int, entry: Mapping[str, Any], bold: bool) -> None:
    if entry["difference"] is None:
        axes.text(0, row, " not measured in both", va="center", fontsize=8.5, color=PALE)
        return
    color, low_high = _color(entry), entry["interval"]
    if low_high is not None:
        axes.plot(low_high, [row, row], color=color, lw=3 if bold else 1.8, solid_capstyle="butt")
    axes.plot(entry["difference"], row, "D" if bold else "o", color=color, markersize=7 if bold else 5.5)


def _color(entry: Mapping[str, Any]) -> str:
    p = entry.get("p_holm", entry["p"])
    if p is None or p >= 0.05:
        return PALE
    return BLUE if entry["difference"] > 0 else VERMILLION


def _swatches(axes: Axes, colors: list[tuple[int, int, int] | None], size: int) -> None:
    shown = [(row, color) for row, color in enumerate(colors) if color is not None]
    axes.scatter(
        [-0.012] * len(shown),
        [row for row, _ in shown],
        size,
        [tuple(c / 255 for c in color) for _, color in shown],
        marker="s",
        transform=axes.get_yaxis_transform(),
        edgecolor=INK,
        linewidth=0.5,
        clip_on=False,
    )


def _shown(name: str, room: int = 28) -> str:
    cut = name if len(name) <= room else name[: room - 1] + "…"
    return cut.replace("$", r"\$")


def _numbers(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    low, high = entry["interval"] or (None, None)
    values = {**entry, "low": low, "high": high, "p_holm": entry.get("p_holm")}
    return {"class": name, **{k: "" if values[k] is None else f"{values[k]:.6g}" for k in NUMBERS}}


def per_image(pair: Pair, names: Iterable[str], folder: Path, title: str) -> Path:
    """Draw every image as a point: its IoU in A against that in B.

    Args:
        pair: The two sides.
        names: Of the images.
        folder: Where ``images_B-A.png`` and ``.csv`` go.
        title: Of the plot.

    Returns:
        The PNG file.
    """
    a, b, change = pair.a.letter, pair.b.letter, pair.change
    known = ~np.isnan(change)
    better, worse = int((change[known] > 0).sum()), int((change[known] < 0).sum())
    equal = int(known.sum()) - better - worse
    subtitle = f"mean IoU of each image: {better} better in {b}, {worse} worse, {equal} equal"
    axes = plot(title, subtitle, f"IoU in {a} (0 to 1)", f"IoU in {b} (0 to 1)", (5.4, 5.4))
    color = np.where(change > 0, BLUE, np.where(change < 0, VERMILLION, PALE))
    axes.plot([0, 1], [0, 1], color=INK, lw=1)
    axes.scatter(pair.a.images[known], pair.b.images[known], 22, color[known], alpha=0.7, linewidth=0)
    axes.set_aspect("equal")
    both = np.concatenate([pair.a.images[known], pair.b.images[known]]) if known.any() else np.array([0, 1])
    pad = max(0.02, 0.06 * float(np.ptp(both)))
    limits = (float(both.min()) - pad, float(both.max()) + pad)
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    corner: dict[str, Any] = {"transform": axes.transAxes, "fontsize": 9.5}
    axes.text(0.02, 0.98, f"{b} better", color=BLUE, va="top", **corner)
    axes.text(0.98, 0.02, f"{b} worse", color=VERMILLION, ha="right", **corner)
    rows = [
        {"sample": name, "a": _six(x), "b": _six(y), "difference": _six(y - x)}
        for name, x, y in zip(names, pair.a.images, pair.b.images, strict=True)
    ]
    return _save(axes, folder / f"images_{b}-{a}.png", ("sample", "a", "b", "difference"), rows)


def _six(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"


def _save(axes: Axes, png: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    assert isinstance(axes.figure, Figure)
    with warnings.catch_warnings():  # a class named in a script that the font lacks shows boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        write_figure(png, axes.figure)
    write_csv(png.with_suffix(".csv"), list(columns), rows)
    return png
