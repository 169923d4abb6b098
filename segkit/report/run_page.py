"""A run folder -> ``report.html``: one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segkit.files import write_text
from segkit.report.about import about, config_lines, groups, parts
from segkit.report.block import Block, block, per_class
from segkit.report.failing import confused, failure, worst_images
from segkit.report.grid import capital, pretty
from segkit.report.headline import (
    all_means,
    class_grid,
    headline,
    loss_name,
    measured_cards,
    protocol_words,
    validated_classes,
)
from segkit.report.html import figure, render
from segkit.report.node import Node
from segkit.report.record import Record, read_record
from segkit.report.view import View

LIMIT = 14_000_000  # characters of the page
NAME = "report.html"
# Blocks with a place of their own; what another meter writes is shown below "more numbers".
KNOWN = (
    "mean",
    "per_class",
    "protocol",
    "interval",
    "category",
    "boundary",
    "calibration",
    "soft",
    "failure",
)
BESIDE = (("boundary", ("f1", "hd95")), ("calibration", ("ece",)))  # numbers beside the overlaps of classes
# Where plots go, by how their names begin; the others are shown with the plots of the classes.
PLACES = {
    "curves": ("loss", "overlap", "learning_rate"),
    "confusion": ("confusion", "val_confusion"),
    "classes": ("class_iou", "val_class_iou"),
    "boundary": ("boundary", "trimap"),
    "calibration": ("reliability", "calibration"),
    "failure": ("error", "object_size", "image_miou", "failure"),
}
FIGURES = {
    "loss": ("Loss", "Training and validation loss at the end of each epoch."),
    "overlap": ("Validation", "Overlap numbers of the validation part after each epoch."),
    "learning_rate": ("Learning rate", "At the end of each epoch."),
    "confusion": ("Confusion matrix", "Each row is a target class; where its pixels went."),
    "val_confusion": ("Confusion matrix, validation", "The best epoch. Each row is a target class."),
    "class_iou": ("IoU by class", "The line is the mean over classes."),
    "val_class_iou": ("IoU by class, validation", "The best epoch."),
    "reliability": ("Reliability", "How often the network is right when it is that sure."),
    "errors": ("Kinds of errors", "Shares of the wrong pixels of each class."),
    "object_size": ("Objects by size", "Mean IoU of the objects of each class."),
    "image_miou": ("Images by their mean IoU", "How many images are that good."),
}


def write_report(run: Path, views: Sequence[View] = (), crops: Sequence[View] = ()) -> Path:
    """Write ``report.html`` into the folder of a training or an evaluation, from what is in it.

    What is missing is left out: a run that was interrupted has curves and configuration, but no
    test. Curves are drawn anew where ``metrics.csv`` has gone on since.

    Args:
        run: The folder.
        views: The worst pictures.
        crops: Parts of pictures whose labels look wrong.

    Returns:
        The page.

    Raises:
        UserError: The folder holds nothing of a run, a file in it is damaged (the message names
            it), or it cannot be written to.
    """
    record = read_record(run)
    _draw_curves(record)
    values = _values(record)
    scripts = ("page.js", "viewer.js")
    values["fails"] = bool(values["worst"] or views or crops or any(values["failure"].values()))
    room = LIMIT - len(render("report.html.j2", {**values, "views": [], "crops": []}, scripts))
    shown = _fitting(views, room)
    room -= sum(map(_size, shown))
    pictures = {"views": shown, "crops": _fitting(crops, room)}
    write_text(run / NAME, render("report.html.j2", {**values, **pictures}, scripts))
    return run / NAME


def _values(record: Record) -> dict[str, Any]:
    """What the template shows, apart from pictures."""
    metrics = record.metrics or Node({}, record.folder / "metrics.json")
    colors = _colors(record)
    measured = record.metrics is not None
    blocks = {name: _block(metrics, name, colors) for name in ("boundary", "calibration", "soft")}
    others = {k: block(v, colors) for k, v in metrics.items() if k not in KNOWN and isinstance(v.value, dict)}
    return {
        "title": record.name,
        "kind": "a training" if record.card or record.history else "an evaluation",
        "measured": measured,
        "headline": headline(record),
        "means": all_means(metrics) if measured else None,
        "protocol": protocol_words(metrics),
        "category": _category(metrics, colors),
        "classes": _classes(metrics, colors) if measured else validated_classes(record),
        "confused": confused(record, colors),
        "blocks": blocks,
        "others": {capital(pretty(name)): found for name, found in others.items()},
        "failure": failure(metrics.table("failure"), record, colors),
        "worst": worst_images(record),
        "figures": _figures(record),
        "loss": loss_name(record),
        "parts": parts(record),
        "groups": groups(record),
        "about": about(record),
        "config": config_lines(record),
    }


def _block(metrics: Node, name: str, colors: Mapping[str, tuple[int, ...]]) -> Block | None:
    found = metrics.table(name)
    return block(found, colors) if found else None


def _category(metrics: Node, colors: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    """The same numbers of coarser classes."""
    node = metrics.table("category")
    if not node:
        return None
    grid = class_grid(node, colors, "Categories", {})
    return {"cards": measured_cards(node, metrics), "grid": grid}


def _classes(metrics: Node, colors: Mapping[str, tuple[int, ...]]) -> Any:
    extra = {}
    for name, wanted in BESIDE:
        for column, values in per_class(metrics.table(name)).items():
            if any(part in column for part in wanted):
                extra[pretty(column)] = values
    return class_grid(metrics, colors, "Classes", extra)


def _colors(record: Record) -> dict[str, tuple[int, ...]]:
    """Colours of the classes; none where they were not kept."""
    return (
        dict(zip(record.labels.names, record.labels.colors, strict=True)) if "colors" in record.counts else {}
    )


def _draw_curves(record: Record) -> None:
    """Draw what a run that was killed has not drawn, or not to its end."""
    table, picture = record.folder / "metrics.csv", record.folder / "plots" / "loss.png"
    if record.history and (not picture.is_file() or picture.stat().st_mtime < table.stat().st_mtime):
        from segkit.report.curves import curves

        curves(table, picture.parent, record.name, loss_name(record))


def _figures(record: Record) -> dict[str, list[dict[str, Any]]]:
    """The plots that have numbers beside them, by section."""
    found: dict[str, list[dict[str, Any]]] = {place: [] for place in PLACES}
    for png in sorted((record.folder / "plots").glob("*.png"), key=_rank):
        title, text = FIGURES.get(png.stem, (capital(pretty(png.stem)), ""))
        try:
            found[_place(png.stem)].append(figure(png, title, text))
        except OSError:  # no picture, or no numbers: nothing to show
            continue
    return found


def _place(stem: str) -> str:
    starts = ((p, start) for p, stems in PLACES.items() for start in stems if stem.startswith(start))
    return max(starts, key=lambda found: len(found[1]), default=("classes", ""))[0]


def _rank(png: Path) -> tuple[int, str]:
    known = list(FIGURES)
    return (known.index(png.stem) if png.stem in known else len(known), png.stem)


def _fitting(views: Iterable[View], room: int) -> list[View]:
    """The first views, as many as fit into ``room`` characters."""
    shown = []
    for view in views:
        room -= _size(view)
        if room < 0:
            break
        shown.append(view)
    return shown


def _size(view: View) -> int:
    """Characters that a view takes, its markup included."""
    words = len(view.name) + len(view.caption) + sum(60 + len(name) for name, _ in view.legend)
    return 2500 + len(view.image) + sum(map(len, view.layers.values())) + 6 * words
