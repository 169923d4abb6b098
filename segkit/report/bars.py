"""Per-class IoU -> horizontal bars in the colours of the classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.files import write_csv, write_figure
from segkit.report.style import INK, PALE, drawn, drawn_note, plot
from segkit.types import LabelSpace


def class_iou_bars(
    iou: Sequence[float],
    labels: LabelSpace,
    folder: Path,
    name: str,
    protocol: str = "",
    stem: str = "class_iou",
) -> Path:
    """Draw one bar per class, in class order, and a line at their mean.

    Of more than 200 classes, the 60 with the lowest IoU are drawn; the table has all.

    Args:
        iou: K values from 0 to 1; nan for a class that occurs neither in the targets nor in the
            predictions, which then has no bar and no part in the mean.
        labels: Names and colours.
        folder: Where ``<stem>.png`` and ``<stem>.csv`` go.
        name: Name of the run, for the title.
        protocol: How the numbers are defined, for the line below the title.
        stem: Name of both files.

    Returns:
        The PNG file.
    """
    values = np.asarray(iou, np.float64)
    present = values[np.isfinite(values)]
    mean = float(present.mean()) if len(present) else math.nan
    shown = sorted(drawn(np.argsort(values, kind="stable").tolist()))
    subtitle = (protocol or "IoU of each class") + drawn_note(len(values), "the lowest")
    axes = plot(name, subtitle, "IoU (0 to 1)", "", (7.2, 1.5 + 0.3 * len(shown)))
    _bars(axes, values[shown], [labels.names[i] for i in shown], [labels.colors[i] for i in shown])
    if len(present):
        axes.axvline(mean, color=INK, lw=1.2, ls="--", zorder=3)
        side, gap = ("right", -0.01) if mean > 0.85 else ("left", 0.01)
        axes.text(mean + gap, len(shown) - 0.15, f"mean {mean:.3f}", ha=side, va="center", fontsize=9)
    rows = [
        {"class": n, "iou": "" if math.isnan(v) else f"{v:.6f}"}
        for n, v in zip([*labels.names, "mean"], [*values, mean], strict=True)
    ]
    write_csv(folder / f"{stem}.csv", ["class", "iou"], rows)
    assert isinstance(axes.figure, Figure)
    write_figure(folder / f"{stem}.png", axes.figure)
    return folder / f"{stem}.png"


def _bars(
    axes: Axes, values: np.ndarray, names: Sequence[str], class_colors: Sequence[tuple[int, int, int]]
) -> None:
    rows = np.arange(len(values))
    # A thin dark edge keeps white and pale classes visible on white paper.
    colors = [tuple(c / 255 for c in color) for color in class_colors]
    axes.barh(rows, np.nan_to_num(values), height=0.72, color=colors, edgecolor=INK, linewidth=0.5)
    for row, value in enumerate(values.tolist()):
        absent = math.isnan(value)
        axes.text(
            0.01 if absent else value + 0.01,
            row,
            "absent" if absent else f"{value:.3f}",
            va="center",
            fontsize=9,
            color=PALE if absent else INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85},
            zorder=4,
        )
    axes.set_yticks(rows, names)
    axes.set_ylim(len(values) + 0.2, -0.6)  # class 0 on top, a line for the mean at the bottom
    axes.set_xlim(0, 1.1)
    axes.set_xticks(np.arange(0, 1.01, 0.2))
    axes.grid(axis="y", visible=False)
