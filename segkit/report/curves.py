"""metrics.csv -> curves of loss, overlap and learning rate."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.files import write_csv, write_figure
from segkit.report.style import BLUE, GREEN, INK, VERMILLION, plot, whole_numbers
from segkit.types import UserError

if TYPE_CHECKING:
    from segkit.types import Array

Columns = Mapping[str, "Array"]
Lines = Sequence[tuple[str, str, str]]  # column, label, colour

LOSS: Lines = (("train/loss", "train", BLUE), ("val/loss", "validation", VERMILLION))
OVERLAP: Lines = (
    ("val/miou", "mIoU", BLUE),
    ("val/dice", "mean Dice", VERMILLION),
    ("val/accuracy", "pixel accuracy", GREEN),
)
RATE: Lines = (("lr", "learning rate", BLUE),)


def curves(metrics_csv: Path, folder: Path, name: str, loss: str = "loss") -> list[Path]:
    """Draw what happened over the epochs.

    Args:
        metrics_csv: A table with the column ``epoch`` and any of ``lr``, ``train/loss``,
            ``val/loss``, ``val/miou``, ``val/dice``, ``val/accuracy``; empty cells are gaps.
        folder: Where ``loss``, ``overlap`` and ``learning_rate`` go, each as PNG and CSV.
        name: Name of the run, for the titles.
        loss: Name of the loss, such as ``ce_dice``.

    Returns:
        The PNG files that were written (none for columns without a number).

    Raises:
        UserError: The table is missing or has no column ``epoch``.
    """
    columns = read_columns(metrics_csv)
    loss = loss if loss.endswith("loss") else f"{loss} loss"
    drawings = (
        ("loss", LOSS, loss, loss),
        ("overlap", OVERLAP, "validation, whole data set, absent classes left out", "share (0 to 1)"),
        ("learning_rate", RATE, "learning rate at the end of each epoch", "learning rate"),
    )
    written = []
    for stem, lines, subtitle, unit in drawings:
        present = [line for line in lines if line[0] in columns and np.isfinite(columns[line[0]]).any()]
        if present:
            axes = _draw(columns, present, name, subtitle, unit)
            _finish(stem, axes, columns)
            written.append(_save(axes, columns, present, folder / f"{stem}.png"))
    return written


def read_columns(metrics_csv: Path) -> Columns:
    """Read a table of numbers: column -> float64 ``[epochs]``, nan where a cell is empty.

    Raises:
        UserError: The table is missing, has no column ``epoch``, or holds something else than numbers.
    """
    try:
        with metrics_csv.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, names = list(reader), list(reader.fieldnames or [])
    except OSError as error:
        raise UserError(f"cannot read {metrics_csv}: {error.strerror}; give a run's metrics.csv") from error
    except (ValueError, csv.Error) as error:
        raise UserError(f"{metrics_csv}: not a table; give the metrics.csv that training writes") from error
    if "epoch" not in names:
        raise UserError(f"{metrics_csv}: no column epoch; give the metrics.csv that training writes")
    try:
        return {k: np.array([float(row[k] or math.nan) for row in rows], np.float64) for k in names}
    except ValueError as error:
        raise UserError(f"{metrics_csv}: {error}; give the metrics.csv that training writes") from error


def _draw(columns: Columns, lines: Lines, name: str, subtitle: str, unit: str) -> Axes:
    axes = plot(name, subtitle, "epoch", unit)
    epoch = columns["epoch"]
    marker = "o" if len(epoch) <= 30 else ""
    for column, label, color in lines:
        seen = np.isfinite(columns[column])  # a missing value is bridged, not drawn as a hole
        axes.plot(
            epoch[seen], columns[column][seen], marker, ls="-", color=color, label=label, lw=1.8, ms=3.5
        )
    whole_numbers(axes, float(np.nanmin(epoch)), float(np.nanmax(epoch)))
    return axes


def _finish(stem: str, axes: Axes, columns: Columns) -> None:
    """What one kind of curve has and the others have not."""
    if stem == "learning_rate":
        rate = columns["lr"][columns["lr"] > 0]
        if len(rate) and rate.max() / rate.min() > 20:
            axes.set_yscale("log")
        else:
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
            axes.set_ylim(bottom=0)
        return
    if stem == "overlap":
        axes.set_ylim(0, 1.02)
        _mark_best(axes, columns)
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.legend(frameon=False, labelcolor=INK, loc="best")


def _mark_best(axes: Axes, columns: Columns) -> None:
    miou = columns.get("val/miou")
    if miou is None or not np.isfinite(miou).any():
        return
    best = int(np.nanargmax(miou))
    epoch, value = columns["epoch"][best], miou[best]
    axes.plot([epoch], [value], "o", ms=9, mfc="none", mec=INK, mew=1.3, zorder=5)
    # Inside the axes wherever the point lies: text grows towards the middle.
    left, right = axes.get_xlim()
    past_middle, low = epoch > (left + right) / 2, value < 0.2
    axes.annotate(
        f"best mIoU {value:.3f}\nepoch {epoch:.0f}",
        (epoch, value),
        xytext=(-10 if past_middle else 10, 12 if low else -12),
        textcoords="offset points",
        ha="right" if past_middle else "left",
        va="bottom" if low else "top",
        fontsize=9,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85},
    )


def _save(axes: Axes, columns: Columns, lines: Lines, path: Path) -> Path:
    kept = ["epoch", *(column for column, _, _ in lines)]
    rows = zip(*(columns[k] for k in kept), strict=True)
    texts = [{k: _text(k, v) for k, v in zip(kept, row, strict=True)} for row in rows]
    write_csv(path.with_suffix(".csv"), kept, texts)
    assert isinstance(axes.figure, Figure)
    write_figure(path, axes.figure)
    return path


def _text(column: str, value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if column == "epoch" else f"{value:.8g}"
