"""Counts and the ``failure`` block -> where a network fails, in tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from segkit.metric.cells import Counts, without
from segkit.metric.overlap import image_scores
from segkit.report.grid import Cell, Colors, Grid, number, pretty, share, whole, word
from segkit.report.node import Node
from segkit.report.record import Record
from segkit.report.worst import confused_pairs
from segkit.types import UserError

PAIRS, WORST, SUSPICIOUS = 12, 12, 50  # rows
KINDS = ("boundary", "missed", "invented", "confused")


def confused(record: Record, colors: Colors) -> Grid | None:
    """The pairs of classes that are confused most; ``None`` where there is no confusion matrix."""
    counts = shown_counts(record) if record.counts else None
    if counts is None or counts.confusion is None:
        return None
    wrong = counts.confusion.sum() - counts.confusion.trace()
    rows = [
        [
            word(pair.target, colors),
            word(pair.prediction, colors),
            share(pair.share),
            whole(pair.pixels),
            share(pair.pixels / wrong),
        ]
        for pair in confused_pairs(counts.confusion, record.labels, PAIRS)
    ]
    columns = ("target", "prediction", "% of the target's class", "pixels", "% of all wrong pixels")
    return Grid("Most confused pairs", columns, rows, frozenset({0, 1})) if rows else None


def worst_images(record: Record) -> Grid | None:
    """The images with the lowest mean IoU; ``None`` where nothing was counted."""
    if not record.counts:
        return None
    counts = shown_counts(record).counts
    scores, sizes = image_scores(counts), (counts[..., 0] + counts[..., 2]).sum(-1)
    rows = [
        [
            word(str(record.counts["names"][i])),
            number(float(scores[i])),
            share(float(counts[i, :, 2].sum() / sizes[i]) if sizes[i] else None),
        ]
        for i in np.argsort(scores, kind="stable")[:WORST]  # nan is last
        if np.isfinite(scores[i])
    ]
    columns = ("image", "mean IoU of the image", "% of pixels wrong")
    return Grid("Worst images", columns, rows) if rows else None


def shown_counts(record: Record) -> Counts:
    """Counts without the classes that the protocol ignores.

    Raises:
        UserError: An ignored class is none of those that were counted.
    """
    found = record.counts
    counts = Counts(found["counts"], found.get("confusion"), found["index"], found.get("cells"))
    ignored = record.metrics.table("protocol").texts("ignored_classes") if record.metrics else []
    if unknown := [name for name in ignored if name not in record.classes]:
        file = record.folder / "metrics.json"
        raise UserError(f"{file}: counts.npz has no class '{unknown[0]}' to ignore; measure both anew")
    return without(counts, record.labels, ignored) if ignored else counts


def failure(node: Node, record: Record, colors: Colors) -> dict[str, Any]:
    """Tables of the ``failure`` block: errors by kind, by class, by size, suspicious labels, words."""
    words = node.table("protocol")
    return {
        "errors": _errors(node.table("errors"), words),
        "errors_per_class": _errors_per_class(node.table("errors_per_class"), colors),
        "sizes": _sizes(node, words),
        "sizes_per_class": _sizes_per_class(node, colors),
        "suspicious": _suspicious(node.rows("suspicious"), record, colors),
        "words": [(pretty(key), value.text_of()) for key, value in words.items() if key not in KINDS],
    }


def _errors(errors: Node, words: Node) -> Grid | None:
    total = errors.number("total")
    rows = []
    for kind in (*KINDS, "total"):
        pixels = errors.number(kind)
        part = pixels / total if pixels is not None and total else None
        rows.append([Cell(kind, kind), whole(pixels), share(part), word(words.text(kind))])
    columns = ("kind of error", "pixels", "% of all wrong pixels", "what it means")
    return Grid("Errors by kind", columns, rows, frozenset({0, 3})) if errors else None


def _errors_per_class(errors: Node, colors: Colors) -> Grid | None:
    rows = [
        [word(name, colors), *(whole(row.number(kind)) for kind in (*KINDS, "total"))]
        for name, row in errors.items()
    ]
    return Grid("Wrong pixels by the class of the target", ("class", *KINDS, "total"), rows) if rows else None


def _sizes(node: Node, words: Node) -> Grid | None:
    found = node.table("size")
    rows = []
    for size in node.rows("sizes"):
        row = found.table(size.text("name"))
        objects, seen = row.number("objects"), row.number("found")
        rate = seen / objects if seen is not None and objects else None
        limits = _limits(size.number("from"), size.number("to"))
        rows.append([word(size.text("name")), limits, whole(objects), share(rate), *_rates(row)])
    columns = ("size", "area", "objects", "% found", "recall", "IoU")
    return Grid("Objects by size", columns, rows) if rows else None


def _rates(row: Node) -> list[Cell]:
    return [number(row.number("recall")), number(row.number("iou"))]


def _limits(low: float | None, high: float | None) -> Cell:
    """From where to where a size goes; below 1 it is a share of the picture."""
    shares = all(v is None or v < 1 for v in (low, high))

    def shown(value: float) -> str:
        return f"{100 * value:g} %" if shares else f"{value:g} px"

    text = f"from {shown(low or 0)}" if high is None else f"{shown(low or 0)} to {shown(high)}"
    return Cell(text, low or 0)


def _sizes_per_class(node: Node, colors: Colors) -> Grid | None:
    sizes = [size.text("name") for size in node.rows("sizes")]
    rows = []
    for name, row in node.table("size_per_class").items():
        cells = [(whole(row.table(s).number("objects")), number(row.table(s).number("iou"))) for s in sizes]
        rows.append([word(name, colors), *(cell for pair in cells for cell in pair)])
    columns = [f"{size}, {what}" for size in sizes for what in ("objects", "IoU")]
    return Grid("Objects by class and size", ("class", *columns), rows) if rows and sizes else None


def _suspicious(found: list[Node], record: Record, colors: Colors) -> Grid | None:
    names = dict(zip(record.counts.get("index", ()), record.counts.get("names", ()), strict=False))
    rows = []
    for row in found[:SUSPICIOUS]:
        index = row.whole("index")
        rows.append(
            [
                word(str(names.get(index, f"image {index}"))),
                word(row.text("target"), colors),
                word(row.text("prediction"), colors),
                whole(row.number("pixels")),
                number(row.number("confidence")),
                number(row.number("score")),
            ]
        )
    columns = ("image", "label says", "network says", "pixels", "confidence", "score")
    return Grid("Labels to look at", columns, rows, frozenset({0, 1, 2})) if rows else None
