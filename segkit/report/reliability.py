"""Calibration -> the reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.files import write_csv, write_figure
from segkit.report.style import BLUE, GRID, INK, PALE, VERMILLION, plot

COLUMNS = ("low", "high", "pixels", "confidence", "accuracy")


def reliability(calibration: Mapping[str, Any], folder: Path, name: str, about: str = "") -> Path:
    """Draw how often the predicted class is right, for each bin of its probability.

    Bars are the accuracy; the hatched part leads from there to the mean confidence, which is where
    a calibrated network has its bars (DeGroot & Fienberg 1983; Niculescu-Mizil & Caruana 2005). The
    small diagram below shows the share of the pixels in each bin.

    Args:
        calibration: What `segkit.metric.calibration.Calibration.numbers` gives.
        folder: Where ``reliability.png`` and ``.csv`` go.
        name: Name of the run, for the title.
        about: Where the numbers come from, for the line below the title.

    Returns:
        The PNG file.
    """
    bins = calibration["reliability"]
    axes = plot(name, _subtitle(calibration, about), "", "accuracy (0 to 1)", (7.2, 6.0))
    _bars(axes, [b for b in bins if b["pixels"]])
    figure = axes.figure
    assert isinstance(figure, Figure)
    rows = figure.add_gridspec(2, 1, height_ratios=(3, 1))
    axes.set_subplotspec(rows[0])
    _pixels(figure.add_subplot(rows[1], sharex=axes), bins)
    write_csv(folder / "reliability.csv", COLUMNS, bins)
    write_figure(folder / "reliability.png", figure)
    return folder / "reliability.png"


def _subtitle(calibration: Mapping[str, Any], about: str) -> str:
    ece, warm = calibration["ece"], calibration["temperature"]
    text = "calibration of the predicted class: " + ("no pixel counts" if ece is None else f"ECE {ece:.3f}")
    if "as_trained" in calibration and ece is not None:
        text += f" at temperature {warm:.3g} ({calibration['as_trained']['ece']:.3f} as trained)"
    return f"{text}, {about}" if about else text


def _bars(axes: Axes, bins: Sequence[Mapping[str, Any]]) -> None:
    left, width = [b["low"] for b in bins], [b["high"] - b["low"] for b in bins]
    right, sure = [b["accuracy"] for b in bins], [b["confidence"] for b in bins]
    gap = [s - r for s, r in zip(sure, right, strict=True)]
    axes.bar(left, right, width, align="edge", color=BLUE, edgecolor="white", linewidth=0.6, label="accuracy")
    axes.bar(
        left,
        gap,
        width,
        right,
        align="edge",
        facecolor="none",
        edgecolor=VERMILLION,
        linewidth=0.8,
        hatch="////",
        label="gap to the mean confidence",
    )
    axes.plot([0, 1], [0, 1], color=INK, lw=1.2, ls="--", label="calibrated")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.tick_params(labelbottom=False)
    axes.legend(loc="upper left", frameon=False, fontsize=9)


def _pixels(low: Axes, bins: Sequence[Mapping[str, Any]]) -> None:
    """Small diagram below, with the same horizontal axis."""
    total = sum(b["pixels"] for b in bins)
    low.bar(
        [b["low"] for b in bins],
        [100 * b["pixels"] / total if total else 0 for b in bins],
        [b["high"] - b["low"] for b in bins],
        align="edge",
        color=PALE,
        edgecolor="white",
        linewidth=0.6,
    )
    low.set_xlabel("probability of the predicted class (0 to 1)", color=INK)
    low.set_ylabel("pixels (%)", color=INK)
    low.grid(color=GRID, linewidth=0.8)
    low.set_axisbelow(True)
    low.tick_params(colors=INK, length=0)
    for side, spine in low.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#9A9A9A")
