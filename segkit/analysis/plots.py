"""Balance and weights -> plots, each a PNG with the numbers in a CSV beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from segkit.analysis.axis import Plot, class_axis, order, plain_log, save, shown
from segkit.analysis.matrix import positions, together
from segkit.files import Color
from segkit.report.style import BLUE, GREEN, INK, PALE, VERMILLION, plot
from segkit.types import LabelSpace

MARKS = {"all": (INK, "D"), "train": (BLUE, "o"), "val": (VERMILLION, "s"), "test": (GREEN, "^")}
STEMS = ("class_shares", "class_images", "loss_share", "regions", "together", "position", "image_sizes")
QUANTILES = ("at_least", "lower_quartile", "median", "upper_quartile", "at_most")  # of the sizes of regions
LETTERS = 125  # of small text that fit into the whole width of a bar


def draw_plots(
    folder: Path, labels: LabelSpace, balance: Mapping[str, Any], weights: Mapping[str, Any], name: str
) -> dict[str, Plot]:
    """Draw everything that has numbers.

    Args:
        folder: Where the files go.
        labels: Names and colours of the K classes.
        balance: What `segkit.analysis.balance.balance` returns.
        weights: What `segkit.analysis.weights.weights_table` returns.
        name: Of the data, for the titles.

    Returns:
        Stem of the file -> plot, of `STEMS` those that have something to show (``image_sizes``
        only where there are several).
    """
    everything = balance["parts"]["all"]
    drawings: list[tuple[bool, Callable[[], Plot]]] = [
        (everything["pixels"] > 0, partial(class_shares, folder, labels, balance, name)),
        (everything["pixels"] > 0, partial(class_images, folder, labels, balance, name)),
        (not weights["missing"], partial(loss_share, folder, labels, weights, name)),
        (everything["pixels"] > 0, partial(regions, folder, labels, balance, name)),
        (everything["pixels"] > 0, partial(together, folder, labels, balance, name)),
        (everything["pixels"] > 0, partial(positions, folder, labels, balance, name)),
        (len(everything["image_sizes"]) > 1, partial(image_sizes, folder, balance, name)),
    ]
    plots = [draw() for wanted, draw in drawings if wanted]
    return {p.png.stem: p for p in plots}


def class_shares(folder: Path, labels: LabelSpace, balance: Mapping[str, Any], name: str) -> Plot:
    """Share of the labelled pixels that each class has in each part, on a log axis."""
    axes = class_axis(
        labels, balance, name, "share of the labelled pixels in each part", "share of pixels (%)"
    )
    values = _per_part(balance, lambda row: None if row["share"] is None else 100 * row["share"])
    _dots(axes, values, order(balance))
    rows = _part_rows(balance, ("pixels", "share"))
    png = save(axes, folder / "class_shares.png", ["part", "class", "pixels", "share"], rows)
    return Plot(
        png,
        "Pixels of each class",
        "Dots that lie apart: the parts differ in how much of the class they hold.",
    )


def class_images(folder: Path, labels: LabelSpace, balance: Mapping[str, Any], name: str) -> Plot:
    """How many images of each part show each class, on a log axis."""
    axes = class_axis(labels, balance, name, "images that show the class, in each part", "images")
    _dots(axes, _per_part(balance, lambda row: row["images"]), order(balance))
    rows = _part_rows(balance, ("images", "image_share"))
    png = save(axes, folder / "class_images.png", ["part", "class", "images", "image_share"], rows)
    return Plot(
        png,
        "Images that show each class",
        "A class that a part shows in a handful of images cannot be measured well there.",
    )


def _per_part(balance: Mapping[str, Any], value: Callable[[Mapping[str, Any]], Any]) -> dict[str, list[Any]]:
    """Values of all classes in the parts; of the whole only where there is no part."""
    parts = {p: n for p, n in balance["parts"].items() if p != "all"} or balance["parts"]
    return {part: [value(row) for row in numbers["classes"]] for part, numbers in parts.items()}


def _part_rows(balance: Mapping[str, Any], columns: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"part": part, "class": row["name"], **{c: row[c] for c in columns}}
        for part, numbers in balance["parts"].items()
        for row in numbers["classes"]
    ]


def _dots(axes: Axes, parts: Mapping[str, Sequence[float | None]], classes: Sequence[int]) -> None:
    """One dot per class and part; what is nowhere stands hollow on a strip at the left."""
    values = np.array([[v or 0.0 for v in row] for row in parts.values()], float)[:, classes]
    positive = values[values > 0]
    low, high = (positive.min(), positive.max()) if len(positive) else (1.0, 10.0)
    axes.set_xscale("log")
    left = low / (high / low * 10) ** 0.06
    axes.set_xlim(left / 1.6 if (values == 0).any() else low / 1.6, high * 1.6)
    rows = np.arange(values.shape[1])
    axes.hlines(
        rows, np.where(values > 0, values, np.inf).min(0), values.max(0), color="#B5B5B5", lw=1.2, zorder=1
    )
    for offset, (part, row) in zip(_offsets(len(parts)), zip(parts, values, strict=True), strict=True):
        color, marker = MARKS[part]
        there = row > 0
        axes.plot(row[there], rows[there] + offset, marker, color=color, ms=5.5, label=part, alpha=0.9)
        gone = rows[~there]
        axes.plot(np.full(len(gone), left), gone + offset, marker, color=color, mfc="none", ms=4.5)
    plain_log(axes)
    _legend(axes, (values == 0).any())


def _offsets(count: int) -> Sequence[float]:
    return np.linspace(-0.16, 0.16, count).tolist() if count > 1 else [0.0]


def _legend(axes: Axes, hollow: bool) -> None:
    if hollow:
        axes.plot([], [], "o", color=PALE, mfc="none", ms=4.5, label="hollow: none")
    box = axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=5, frameon=False, handletextpad=0.2, columnspacing=1.1
    )
    box.set_in_layout(False)


def regions(folder: Path, labels: LabelSpace, balance: Mapping[str, Any], name: str) -> Plot:
    """Sizes of the connected regions of each class: quartiles, median and powers of two around all."""
    subtitle = "4-connected regions: quartiles (box), median, and powers of two that all lie between (line)"
    axes = class_axis(labels, balance, name, subtitle, "pixels of a region")
    classes = balance["parts"]["all"]["classes"]
    found = [(r, k) for r, k in enumerate(order(balance)) if classes[k]["regions"]]
    _boxes(
        axes,
        [r for r, _ in found],
        [classes[k]["region_pixels"] for _, k in found],
        [labels.colors[k] for _, k in found],
    )
    axes.set_xscale("log")
    axes.set_xlim(0.8, 1.4 * max(c["region_pixels"]["at_most"] or 1 for c in classes))
    plain_log(axes)
    right = axes.get_yaxis_transform()
    for row, k in enumerate(order(balance)):
        count = f"{classes[k]['regions']:,}".replace(",", " ")
        axes.text(1.01, row, count, transform=right, va="center", fontsize=8, color=PALE)
    axes.text(1.01, -0.75, "regions", transform=right, va="center", fontsize=8, color=PALE)
    columns = ["class", "regions", *QUANTILES]
    rows = [
        {"class": c["name"], "regions": c["regions"], **{k: c["region_pixels"][k] for k in QUANTILES}}
        for c in classes
    ]
    png = save(axes, folder / "regions.png", columns, rows)
    return Plot(
        png,
        "Sizes of regions",
        "Regions of a few pixels are thin objects, or specks that a mask should not have.",
    )


def _boxes(
    axes: Axes, rows: Sequence[int], sizes: Sequence[Mapping[str, Any]], colors: Sequence[Color]
) -> None:
    """Bounds, quartiles and median of each row; all rows at once, since every artist costs time."""
    place, column = np.array(rows), {key: np.array([s[key] for s in sizes], float) for key in QUANTILES}
    low, high = column["lower_quartile"], column["upper_quartile"]
    axes.hlines(place, column["at_least"], column["at_most"], color=PALE, lw=1.2, zorder=2)
    paint = [_paint(c) for c in colors]
    axes.barh(place, high - low, left=low, height=0.56, color=paint, edgecolor=INK, linewidth=0.7, zorder=3)
    line = [INK if _light(c) > 110 else "white" for c in colors]
    axes.vlines(column["median"], place - 0.28, place + 0.28, color=line, lw=2, zorder=4)


def _paint(color: Color) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255


def _light(color: Color) -> float:
    return 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2]


def loss_share(folder: Path, labels: LabelSpace, weights: Mapping[str, Any], name: str) -> Plot:
    """What each class carries of the cross-entropy under each scheme: one bar that is 100 % long."""
    schemes = weights["schemes"]
    subtitle = "share of the loss that each class carries while all pixels lose the same"
    axes = plot(name, subtitle, "share of the loss (%)", "", (9.0, 1.3 + 0.55 * len(schemes)))
    first = [c["loss_share"] for c in schemes[0]["classes"]]
    classes = sorted(range(len(first)), key=lambda k: -first[k])
    for row, scheme in enumerate(schemes):
        _bar(axes, row, [scheme["classes"][k]["loss_share"] for k in classes], labels, classes)
    axes.set_yticks(range(len(schemes)), [s["name"].replace("_", " ") for s in schemes])
    axes.set_ylim(len(schemes) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.grid(axis="y", visible=False)
    rows = [
        {"scheme": s["name"], "class": c["name"], **{k: c[k] for k in ("weight", "loss_share", "capped")}}
        for s in schemes
        for c in s["classes"]
    ]
    png = save(axes, folder / "loss_share.png", ["scheme", "class", "weight", "loss_share", "capped"], rows)
    text = "Classes in the same order in every bar: the most frequent one on the left."
    return Plot(png, "Share of the loss by scheme", text)


def _bar(axes: Axes, row: int, shares: Sequence[float], labels: LabelSpace, classes: Sequence[int]) -> None:
    """One piece per class, with its name where there is room."""
    left = [0.0, *np.cumsum(shares).tolist()]
    pieces = [(100 * x, 100 * share) for x, share in zip(left, shares, strict=False)]
    edges = ["white" if share > 0.004 else "none" for share in shares]
    paint = [_paint(labels.colors[k]) for k in classes]
    axes.broken_barh(pieces, (row - 0.36, 0.72), facecolors=paint, edgecolors=edges, linewidth=0.7)
    for (x, width), share, k in zip(pieces, shares, classes, strict=True):
        if len(labels.names[k]) < share * LETTERS:
            name = shown(labels.names[k])
            text = axes.text(x + width / 2, row, name, ha="center", va="center", fontsize=7.5)
            text.set_color(INK if _light(labels.colors[k]) > 125 else "white")
            text.set_in_layout(False)


def image_sizes(folder: Path, balance: Mapping[str, Any], name: str) -> Plot:
    """Width and height of the images; the area of a dot is the number of images."""
    sizes = balance["parts"]["all"]["image_sizes"]
    subtitle = f"{len(sizes)} sizes; area of a dot: number of images"
    axes = plot(name, subtitle, "width (pixels)", "height (pixels)", (6.4, 4.6))
    images = np.array([s["images"] for s in sizes])
    width, height = [s["width"] for s in sizes], [s["height"] for s in sizes]
    axes.scatter(
        width, height, 25 + 500 * images / images.max(), color=BLUE, alpha=0.55, edgecolor=INK, lw=0.6
    )
    named: list[tuple[float, float]] = []
    for size in sizes:
        place = (size["width"] / max(width), size["height"] / max(height))
        if all(abs(place[0] - x) > 0.3 or abs(place[1] - y) > 0.05 for x, y in named):
            named.append(place)
            _size_name(axes, size)
    axes.set_xlim(0, 1.28 * max(width))
    axes.set_ylim(0, 1.2 * max(height))
    png = save(axes, folder / "image_sizes.png", ["width", "height", "images"], sizes)
    return Plot(
        png, "Image sizes", "Pictures of several sizes are cropped and padded in training (data.size)."
    )


def _size_name(axes: Axes, size: Mapping[str, int]) -> None:
    text = f"{size['width']}x{size['height']}: {size['images']}"
    note = axes.annotate(
        text, (size["width"], size["height"]), (11, 7), textcoords="offset points", fontsize=8
    )
    note.set_in_layout(False)
