"""Confusion matrix -> picture: where the pixels of each class went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.files import write_csv, write_figure
from segkit.report.style import INK, MOST, drawn, drawn_note, plot
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

MANY = 20  # classes from which on cells are smaller and small shares stay blank


def confusion(matrix: Array, labels: LabelSpace, folder: Path, name: str, stem: str = "confusion") -> Path:
    """Draw the matrix with each row divided by its sum.

    Of more than 200 classes, the 60 with the most wrong pixels are drawn, and the table has the
    cells that hold pixels alone.

    Args:
        matrix: int64 ``[K, K]`` pixel counts, rows = target, columns = prediction.
        labels: Names of the K classes.
        folder: Where ``<stem>.png`` and ``<stem>.csv`` (one line per cell: count and share) go.
        name: Name of the run, for the title.
        stem: Name of both files.

    Returns:
        The PNG file.
    """
    counts = np.asarray(matrix, np.int64)
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    shown = most_confused(counts)
    side = 1.9 + max(2.6, (0.31 if len(shown) > MANY else 0.42) * len(shown))
    axes = plot(name, _subtitle(len(shown), len(counts)), "prediction", "target", (side + 0.1, side))
    _cells(axes, shares[np.ix_(shown, shown)], [labels.names[i] for i in shown])
    write_csv(
        folder / f"{stem}.csv", ["target", "prediction", "pixels", "share"], _rows(counts, shares, labels)
    )
    assert isinstance(axes.figure, Figure)
    write_figure(folder / f"{stem}.png", axes.figure)
    return folder / f"{stem}.png"


def most_confused(counts: Array) -> list[int]:
    """The classes that are drawn, in their order: all, or of too many those with the most wrong pixels."""
    wrong = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
    return sorted(drawn(np.argsort(-wrong, kind="stable").tolist()))


def _subtitle(shown: int, classes: int) -> str:
    blank = "; blank: below 0.5" if shown > MANY else ""
    whole = "" if shown < classes else "; rows add to 100"
    return f"percent of each target class{whole}{blank}{drawn_note(classes, 'the most wrong pixels')}"


def _cells(axes: Axes, shares: Array, names: Sequence[str]) -> None:
    axes.grid(visible=False)
    axes.set_facecolor("#EFEFEF")  # shows through the row of a class without target pixels
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    smallest = 0.005 if len(shares) > MANY else np.finfo(float).tiny
    for row, column in np.argwhere(shares >= smallest):
        share = shares[row, column]
        text = f"{100 * share:.0f}" if share >= 0.005 else "<1"
        color, weight = ("white" if share > 0.5 else INK), ("bold" if row == column else "normal")
        number = axes.text(
            column, row, text, ha="center", va="center", fontsize=8, color=color, fontweight=weight
        )
        number.set_in_layout(False)  # it lies inside its cell; measuring many of them takes seconds
    for row in np.flatnonzero(np.isnan(shares[:, 0])).tolist():
        axes.text(
            len(shares) / 2 - 0.5,
            row,
            "no target pixels",
            ha="center",
            va="center",
            fontsize=8,
            color="#767676",
        )
    ticks = np.arange(len(shares))
    turn = {"rotation": 90} if len(ticks) > 12 else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(ticks, names, **turn)
    axes.set_yticks(ticks, names)
    axes.set_xticks(ticks[1:] - 0.5, minor=True)
    axes.set_yticks(ticks[1:] - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)


def _rows(counts: Array, shares: Array, labels: LabelSpace) -> list[dict[str, object]]:
    return [
        {
            "target": labels.names[row],
            "prediction": labels.names[column],
            "pixels": int(counts[row, column]),
            "share": "" if np.isnan(shares[row, column]) else f"{shares[row, column]:.6f}",
        }
        for row, column in (np.ndindex(counts.shape) if len(counts) <= MOST else np.argwhere(counts))
    ]
