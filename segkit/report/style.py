"""One look for every plot: colours that a colour-blind eye tells apart, a light grid, named axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

T = TypeVar("T")

# Okabe & Ito, "Color Universal Design" (2008).
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
INK, PALE, GRID = "#222222", "#767676", "#E3E3E3"
DPI = 130

MOST = 200  # classes that fit on a plot; of more, only some are drawn (its table has all)
DRAWN = 60  # so many


def plot(title: str, subtitle: str, xlabel: str, ylabel: str, size: tuple[float, float] = (7.2, 4.4)) -> Axes:
    """Make a figure of ``size`` inches with one pair of axes (``axes.figure`` is the figure)."""
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)  # no window system, no global state
    axes = figure.add_subplot()
    _head(axes, title, subtitle)
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#9A9A9A")
    return axes


def drawn(ranked: Sequence[T]) -> list[T]:
    """What a plot shows of classes, the most telling first: all, or the first of too many."""
    return list(ranked if len(ranked) <= MOST else ranked[:DRAWN])


def drawn_note(classes: int, which: str) -> str:
    """For the subtitle: which classes are shown, where it is not all of them."""
    return f"; the {DRAWN} of {classes} classes with {which}" if classes > MOST else ""


def _head(axes: Axes, title: str, subtitle: str) -> None:
    """Bold title, quiet line below it (what the picture shows, under which protocol)."""
    axes.set_title(_literal(title), loc="left", pad=22, fontsize=12, fontweight="bold", color=INK)
    axes.annotate(
        _literal(subtitle),
        (0, 1),
        xytext=(0, 7),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9.5,
        color=PALE,
    )


def whole_numbers(axes: Axes, low: float, high: float) -> None:
    """Let the x axis show whole epochs, also when there is only one."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    pad = max(0.5, 0.02 * (high - low))
    axes.set_xlim(low - pad, high + pad)


def _literal(text: str) -> str:
    """Keep matplotlib from reading ``$`` in a name as the start of a formula."""
    return text.replace("$", r"\$")


def font_path(bold: bool = False) -> str:
    """A font with Latin, Greek and Cyrillic letters that comes with matplotlib."""
    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans{'-Bold' if bold else ''}.ttf"
