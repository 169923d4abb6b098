"""Two plots of many small cells: classes that meet, and where in the picture each class lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from segkit.analysis.axis import MANY, Plot, note, order, save, shown
from segkit.report.style import INK, MOST, plot
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

NUMBERED = 24  # classes up to which cells carry their percent
LETTERS = 17  # of a name above a map of usual width


def together(folder: Path, labels: LabelSpace, balance: Mapping[str, Any], name: str) -> Plot:
    """Of the images that show the class of the row, the share that shows that of the column."""
    classes = order(balance)
    count = len(classes)
    share = np.array(balance["together"]["share"], float)[np.ix_(classes, classes)]
    cell = 0.40 if count <= NUMBERED else 0.26 if count <= MANY else 0.125
    side = 2.3 + max(2.4, cell * count)
    subtitle = f"percent of the images with one class that also show the other{note(balance)}"
    axes = plot(name, subtitle, "also shown", "images that show", (max(side + 0.4, 5.6), side))
    _cells(axes, share)
    letters = 9 if count <= NUMBERED else 7.5 if count <= MANY else 6
    names = [shown(labels.names[k], 22) for k in classes]
    axes.set_xticks(range(count), names, rotation=90, fontsize=letters)
    axes.set_yticks(range(count), names, fontsize=letters)
    png = save(axes, folder / "together.png", ["class", "with", "images", "share"], _pairs(labels, balance))
    text = (
        "A pale column is a class that few images show; a pale cell in a dark column: two that rarely meet."
    )
    return Plot(png, "Classes that meet", text)


def _cells(axes: Axes, share: Array) -> None:
    axes.grid(visible=False)
    axes.set_facecolor("#EFEFEF")  # a class that no image shows
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="equal", interpolation="nearest")
    if len(share) > NUMBERED:
        return
    for (row, column), value in np.ndenumerate(share):
        if np.isnan(value):
            continue
        color = "white" if value > 0.55 else INK
        text = axes.text(
            column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7.5, color=color
        )
        text.set_in_layout(False)


def _pairs(labels: LabelSpace, balance: Mapping[str, Any]) -> list[dict[str, Any]]:
    images, share = balance["together"]["images"], balance["together"]["share"]
    return [
        {"class": one, "with": other, "images": images[i][j], "share": share[i][j]}
        for i, one in enumerate(labels.names)
        for j, other in enumerate(labels.names)
        if len(labels.names) <= MOST or images[i][j]
    ]


def positions(folder: Path, labels: LabelSpace, balance: Mapping[str, Any], name: str) -> Plot:
    """One small map per class: how often the class lies in each place of the picture."""
    classes = order(balance)
    maps = np.array(balance["position"], float)
    columns = min(len(classes), 4 if len(classes) <= MANY else 8)
    tall = _aspect(balance)
    wide = 2.3 if columns <= 4 else 1.45  # inches of one map
    lines = -(-len(classes) // columns)
    size = (0.5 + wide * max(columns, 2), 1.1 + lines * (wide * 0.94 * tall + 0.34))
    axes = plot(
        name,
        f"share of the images in which the class lies there; dark: where it lies most{note(balance)}",
        "",
        "",
        size,
    )
    step = _mosaic(axes, [maps[k] for k in classes], columns, tall, 0.34 / (wide * 0.94))
    for place, k in enumerate(classes):
        line, column = divmod(place, columns)
        _name(axes, labels.names[k], maps[k], column * 1.06, line * step, columns)
    png = save(
        axes,
        folder / "position.png",
        ["class", "row", *map(str, range(maps.shape[2]))],
        _map_rows(labels, maps),
    )
    text = "The percent beside a name is the share at its darkest place: each map has a scale of its own."
    return Plot(png, "Where classes lie", text)


def _aspect(balance: Mapping[str, Any]) -> float:
    """Height over width of the most frequent image size, within reason."""
    sizes = balance["parts"]["all"]["image_sizes"]
    return min(2.0, max(0.4, sizes[0]["height"] / sizes[0]["width"])) if sizes else 1.0


def _mosaic(axes: Axes, maps: Sequence[Array], columns: int, tall: float, head: float) -> float:
    """Put maps side by side, each as wide as 1 and darkest at its own largest share.

    Returns:
        The distance of two lines of maps.
    """
    step = tall + head
    for place, values in enumerate(maps):
        line, column = divmod(place, columns)
        left, top = column * 1.06, line * step
        peak = np.nanmax(values, initial=0.0)
        axes.imshow(
            values,
            cmap="Blues",
            vmin=0,
            vmax=peak or 1,
            extent=(left, left + 1, top + tall, top),
            interpolation="nearest",
        )
        axes.add_patch(_frame(left, top, tall))
    axes.set_xlim(-0.01, max(columns, 2) * 1.06)
    axes.set_ylim((len(maps) - 1) // columns * step + tall + 0.01, -head)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return step


def _frame(left: float, top: float, tall: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((left, top), 1, tall, fill=False, edgecolor="#9A9A9A", linewidth=0.7)


def _name(axes: Axes, name: str, values: Array, left: float, top: float, columns: int) -> None:
    peak = np.nanmax(values, initial=0.0)
    size = 8.5 if columns <= 4 else 7
    percent = "nowhere" if peak == 0 else f"{100 * peak:.0f} %" if peak >= 0.01 else "<1 %"
    for x, text, side in ((left, shown(name, LETTERS), "left"), (left + 1, percent, "right")):
        drawn = axes.text(x, top - 0.03, text, ha=side, va="bottom", fontsize=size, color=INK)
        drawn.set_in_layout(False)


def _map_rows(labels: LabelSpace, maps: Array) -> list[dict[str, Any]]:
    """One line per row of a map: a line per cell would make a table of megabytes.

    Of too many classes, those rows in which the class lies.
    """
    return [
        {"class": labels.names[k], "row": row, **{str(x): f"{v:.4g}" for x, v in enumerate(line) if v == v}}
        for k, plane in enumerate(maps)
        for row, line in enumerate(plane)
        if len(maps) <= MOST or np.nanmax(line, initial=0) > 0
    ]
