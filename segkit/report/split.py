"""A split -> what a person wants to know of it: table, numbers, plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segkit.data.divergence import Divergence, divergence
from segkit.files import write_csv, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from segkit.types import Array

PROTOCOL = (
    "divergence of a class: largest |share in a part / ratio of the part - 1|, for its pixels and for the "
    "images that show it, the mean of both; 0 = every part has exactly its share; ignored pixels left out"
)
COLUMNS = ("class", "part", "ratio", "pixels", "pixel_share", "images", "image_share", "random_divergence")


class Division(NamedTuple):
    """A split of n samples into P parts.

    Attributes:
        names: The parts: train, val, test, or the folds and test.
        ratios: Size that each was to have, as a share of the whole.
        chosen: ``[n]`` int, the part of each sample.
    """

    names: tuple[str, ...]
    ratios: tuple[float, ...]
    chosen: Array


def describe(
    classes: Sequence[str],
    counts: Array,
    groups: Sequence[str],
    division: Division,
    by_chance: Sequence[Array] = (),
) -> dict[str, Any]:
    """Measure a split.

    Args:
        classes: Names of the K classes.
        counts: ``[n, K]`` int64, pixels of each class in each sample.
        groups: The group of each sample; ``""`` is a group of its own.
        division: The split.
        by_chance: Other splits to compare it with, each ``[n]`` int.

    Returns:
        ``parts`` (images, groups, ratio, share), ``classes`` (per class and part pixels and
        images with their shares, divergence, number of groups), ``divergence`` (worst, its class,
        mean, size), ``worst_ratio``, ``random`` (medians of the divergence, or ``None``),
        ``missing``, ``protocol``.
    """
    measured = divergence(counts, division.chosen, division.ratios)
    chances = [divergence(counts, chosen, division.ratios) for chosen in by_chance]
    keys = np.unique([g or f"\0{i}" for i, g in enumerate(groups)], return_inverse=True)[1]
    shows = counts > 0
    rows = {
        name: _class(c, counts, division, measured, chances, len(np.unique(keys[shows[:, c]])))
        for c, name in enumerate(classes)
    }
    present = [name for c, name in enumerate(classes) if shows[:, c].any()]
    worst = max(present, key=lambda name: rows[name]["divergence"], default=None)
    return {
        "parts": _parts(division, keys),
        "classes": rows,
        "divergence": {**_numbers([measured]), "worst_class": worst},
        "worst_ratio": _worst_ratio(rows, division),
        "random": {"splits": len(chances), **_numbers(chances)} if chances else None,
        "missing": [
            {"class": classes[c], "part": division.names[p], "groups": rows[classes[c]]["groups"]}
            for p, c in np.argwhere(measured.missing)
        ],
        "protocol": PROTOCOL,
    }


def _parts(division: Division, keys: Array) -> dict[str, Any]:
    found = {}
    for p, (name, ratio) in enumerate(zip(division.names, division.ratios, strict=True)):
        inside = division.chosen == p
        images, groups = int(inside.sum()), len(np.unique(keys[inside]))
        found[name] = {"ratio": ratio, "images": images, "share": images / len(keys), "groups": groups}
    return found


def _class(
    c: int,
    counts: Array,
    division: Division,
    measured: Divergence,
    chances: Sequence[Divergence],
    groups: int,
) -> dict[str, Any]:
    pixels, images = int(counts[:, c].sum()), int((counts[:, c] > 0).sum())
    parts = {}
    for p, name in enumerate(division.names):
        own = counts[division.chosen == p, c]
        parts[name] = {
            "pixels": int(own.sum()),
            "pixel_share": float(own.sum() / pixels) if pixels else None,
            "images": int((own > 0).sum()),
            "image_share": float((own > 0).sum() / images) if images else None,
        }
    return {
        "pixels": pixels,
        "share_of_pixels": pixels / max(int(counts.sum()), 1),
        "images": images,
        "groups": groups,
        "divergence": float(measured.classes[c]),
        "random_divergence": float(np.median([d.classes[c] for d in chances])) if chances else None,
        "parts": parts,
    }


def _worst_ratio(rows: Mapping[str, Any], division: Division) -> dict[str, Any] | None:
    """The share that is farthest from its part's ratio, as a multiple of it."""
    found = [
        {"class": name, "part": part, "of": kind, "ratio": row["parts"][part][f"{kind}_share"] / ratio}
        for name, row in rows.items()
        for part, ratio in zip(division.names, division.ratios, strict=True)
        for kind in ("pixel", "image")
        if row["images"] and ratio > 0
    ]
    return max(found, key=lambda one: abs(one["ratio"] - 1), default=None)


def _numbers(found: Sequence[Divergence]) -> dict[str, float]:
    return {key: float(np.median([getattr(d, key) for d in found])) for key in ("worst", "mean", "size")}


def split_table(about: Mapping[str, Any]) -> str:
    """Draw what `describe` found as lines of plain text."""
    parts, rows = about["parts"], about["classes"]
    wide = max(5, *map(len, rows))
    images = len(parts) <= 3  # with folds there is no room for both
    cell = 15 if images else 8
    titles = [f"{name} {part['ratio']:.3g}" if images else name for name, part in parts.items()]
    heads = "".join(f"{title:>{cell}}" for title in titles)
    lines = [f"{'':{wide}}  {'of all':>7}{heads}"]
    kinds = f"{'pixels':>8}{'images':>7}" if images else f"{'pixels':>8}"
    lines.append(f"{'class':{wide}}  {'pixels':>7}{kinds * len(parts)}{'divergence':>12}")
    for name, row in rows.items():
        cells = "".join(_cell(part, images) for part in row["parts"].values())
        off = "-" if row["images"] == 0 else f"{row['divergence']:.4f}"
        lines.append(f"{name:{wide}}  {row['share_of_pixels']:7.2%}{cells}{off:>12}")
    shares = "".join(
        _cell({"pixel_share": p["share"], "images": p["images"]}, images) for p in parts.values()
    )
    lines.append(f"{'images':{wide}}  {'':7}{shares}{about['divergence']['size']:>12.4f}")
    return "\n".join([*lines, *_remarks(about)])


def _cell(part: Mapping[str, Any], images: bool) -> str:
    share = f"{'-':>8}" if part["pixel_share"] is None else f"{part['pixel_share']:8.1%}"
    return f"{share}{part['images']:>7}" if images else share


def _remarks(about: Mapping[str, Any]) -> list[str]:
    own, chance = about["divergence"], about["random"]
    named = f" ({own['worst_class']})" if own["worst_class"] else ""
    lines = [f"divergence: worst {own['worst']:.4f}{named}, mean {own['mean']:.4f}"]
    if chance:
        lines[0] += (
            f"; a random split: worst {chance['worst']:.4f}, mean {chance['mean']:.4f} "
            f"(median of {chance['splits']})"
        )
    if far := about["worst_ratio"]:
        lines.append(
            f"worst ratio: {far['part']} has {far['ratio']:.2f} times its share "
            f"of the {far['of']}s of {far['class']}"
        )
    empty = [name for name, part in about["parts"].items() if part["ratio"] > 0 and not part["images"]]
    lines += [f"missing: {name} has no image at all" for name in empty]
    for gap in about["missing"]:
        if gap["part"] not in empty:
            few = f"; its images lie in {gap['groups']} group{'s' if gap['groups'] > 1 else ''}"
            few = few if gap["groups"] < len(about["parts"]) else ""
            lines.append(f"missing: no image of {gap['part']} shows {gap['class']}{few}")
    return [*lines, f"protocol: {about['protocol']}"]


def split_plot(about: Mapping[str, Any], folder: Path, name: str, stem: str = "split") -> Path:
    """Draw every part's share of every class, divided by the part's ratio.

    Args:
        about: What `describe` found.
        folder: Where ``<stem>.png`` and ``<stem>.csv`` go.
        name: Name of the data, for the title.
        stem: Name of both files.

    Returns:
        The PNG file.
    """
    from matplotlib.figure import Figure

    from segkit.report.style import drawn, drawn_note, plot

    subtitle = "1: exactly its share; filled: pixels, hollow: images"
    if about["random"]:
        subtitle += "; grey: reach of random splits"
    found = {n: row for n, row in about["classes"].items() if row["images"]}
    kept = set(drawn(sorted(found, key=lambda n: found[n]["images"])))
    rows = {n: row for n, row in found.items() if n in kept}
    subtitle += drawn_note(len(found), "the fewest images")
    axes = plot(
        name, subtitle, "share of the class in the part / ratio of the part", "", (7.6, 1.7 + 0.3 * len(rows))
    )
    _dots(axes, rows, {n: p["ratio"] for n, p in about["parts"].items() if p["ratio"] > 0})
    write_csv(folder / f"{stem}.csv", COLUMNS, _lines(about))
    assert isinstance(axes.figure, Figure)
    write_figure(folder / f"{stem}.png", axes.figure)
    return folder / f"{stem}.png"


def _dots(axes: Axes, rows: Mapping[str, Any], ratios: Mapping[str, float]) -> None:
    from segkit.report.style import BLUE, GREEN, INK, PURPLE, VERMILLION

    colors = {"train": BLUE, "val": VERMILLION, "test": GREEN}
    places = np.arange(len(rows))
    chance = np.array([row["random_divergence"] or 0 for row in rows.values()], np.float64)
    left = np.maximum(1 - chance, 0)
    axes.barh(places, 1 + chance - left, left=left, height=0.6, color="#E6E6E6", zorder=1)
    axes.axvline(1, color=INK, lw=1, zorder=2)
    for i, (part, ratio) in enumerate(ratios.items()):
        color, shift = colors.get(part, PURPLE), (i - (len(ratios) - 1) / 2) * 0.44 / max(len(ratios) - 1, 1)
        for kind, face in (("pixel_share", color), ("image_share", "none")):
            values = [row["parts"][part][kind] / ratio for row in rows.values()]
            label = part if kind == "pixel_share" else None
            axes.scatter(values, places + shift, 26, facecolor=face, edgecolor=color, label=label, zorder=3)
    axes.set_yticks(places, list(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)  # class 0 on top
    handles, labels = axes.get_legend_handles_labels()
    kept = [i for i, label in enumerate(labels) if i == 0 or label in colors]
    folds = {f"fold {i}" for i in range(len(labels) + 1)}
    shown = ["each fold" if labels[i] in folds else labels[i] for i in kept]
    axes.figure.legend([handles[i] for i in kept], shown, loc="outside lower center", ncols=3, frameon=False)


def _lines(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line per class and part."""
    return [
        {
            "class": name,
            "part": part,
            "ratio": about["parts"][part]["ratio"],
            "random_divergence": row["random_divergence"],
            **numbers,
        }
        for name, row in about["classes"].items()
        for part, numbers in row["parts"].items()
    ]
