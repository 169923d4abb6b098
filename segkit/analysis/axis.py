"""What the plots of classes share: rows named and coloured by class, and saving with numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from segkit.files import write_csv, write_figure
from segkit.report.style import INK, drawn, drawn_note, plot
from segkit.types import LabelSpace

MANY = 40  # classes from which on rows are thin and letters small


class Plot(NamedTuple):
    """A plot on disk.

    Attributes:
        png: The picture; the CSV has the same name.
        title: What it shows.
        text: How to read it, in a sentence or two.
    """

    png: Path
    title: str
    text: str


def order(balance: Mapping[str, Any]) -> list[int]:
    """Class indices that a plot shows, the class with most pixels first: the order of every plot."""
    shares = [row["share"] or 0.0 for row in balance["parts"]["all"]["classes"]]
    return drawn(sorted(range(len(shares)), key=lambda k: -shares[k]))


def note(balance: Mapping[str, Any]) -> str:
    """For the subtitle, where `order` does not have all classes."""
    return drawn_note(len(balance["parts"]["all"]["classes"]), "the most pixels")


def shown(name: str, room: int = 28) -> str:
    """A class name for a plot: not too long, and with no ``$`` that would begin a formula."""
    cut = name if len(name) <= room else name[: room - 1] + "…"
    return cut.replace("$", r"\$")


def class_axis(labels: LabelSpace, balance: Mapping[str, Any], name: str, subtitle: str, unit: str) -> Axes:
    """Make axes with one row per class, the most frequent on top, each with its colour."""
    classes = order(balance)
    count = len(classes)
    row, letters = (0.32, 9.5) if count <= MANY else (0.165, 7.0)
    axes = plot(name, subtitle + note(balance), unit, "", (8.2, 1.45 + row * count))
    axes.set_yticks(range(count), [shown(labels.names[k]) for k in classes], fontsize=letters)
    axes.set_ylim(count - 0.4, -0.6)
    axes.tick_params(axis="y", pad=13)
    paint = [tuple(c / 255 for c in labels.colors[k]) for k in classes]
    axes.scatter(
        [-0.012] * count,
        range(count),
        60 if count <= MANY else 22,
        paint,
        marker="s",
        transform=axes.get_yaxis_transform(),
        edgecolor=INK,
        linewidth=0.5,
        clip_on=False,
    )
    return axes


def plain_log(axes: Axes) -> None:
    """Name a log x axis in plain numbers, between the powers of ten too where there are few of them."""
    low, high = axes.get_xlim()
    steps = (1.0,) if high / low > 3000 else (1.0, 3.0) if high / low > 100 else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(10, steps, numticks=30))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(lambda x, _: f"{round(x):,}".replace(",", " ") if x >= 1 else f"{x:.6g}")


def save(axes: Axes, png: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write the figure and, beside it, the numbers that it shows."""
    assert isinstance(axes.figure, Figure)
    with warnings.catch_warnings():  # a class named in a script that the font lacks shows boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        write_figure(png, axes.figure)
    write_csv(png.with_suffix(".csv"), columns, rows)
    return png
