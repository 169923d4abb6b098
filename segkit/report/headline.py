"""What was measured -> the numbers on top of a page, each with its protocol and its interval."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from segkit.error import plural
from segkit.metric.overlap import ABSENT, PROTOCOL
from segkit.report.grid import Colors, Grid, between, capital, number, pretty, whole, word
from segkit.report.html import short
from segkit.report.node import Node
from segkit.report.record import Record

HEADLINE = ("miou", "foreground_iou", "dice", "pixel_accuracy", "worst5_miou")
TITLES = {"miou": "Mean IoU", "dice": "Mean Dice", "worst5_miou": "Worst 5 % of images, mean IoU"}
OVER_CLASSES = ("miou", "dice", "worst5_miou")  # what is a mean over classes
RATES = ("iou", "dice", "precision", "recall")
VALIDATED = (("val/miou", "miou"), ("val/dice", "dice"), ("val/accuracy", "pixel_accuracy"))
LEVEL = {
    "dataset": "the pixels of all images together",
    "image": "mean over images",
    "pair": "mean over pairs of an image and a class",
}
LEFT_OUT = {
    "exclude": "absent ones left out",
    "zero": "absent ones count as 0",
    "one": "absent ones count as 1",
}


class Card(NamedTuple):
    """A number of the headline: what it is called, its value, its interval, how it is defined."""

    title: str
    value: str
    interval: str
    definition: str
    scope: str


def headline(record: Record) -> list[Card]:
    """The numbers of the test, or where there was none those of the best validation; and the loss."""
    cards = measured_cards(record.metrics, record.metrics) if record.metrics else _validated(record)
    return [*cards, *_loss(record)]


def measured_cards(numbers: Node, about: Node) -> list[Card]:
    """The most important means of a set of overlap numbers.

    Args:
        numbers: What `segkit.metric.overlap.overlap` gives, with ``interval`` where there is one.
        about: Tells split and resolution.
    """
    mean, words = numbers.table("mean"), numbers.table("protocol")
    return [
        Card(
            _title(name), short(value), interval(numbers, name), words.text(name), scope(numbers, about, name)
        )
        for name in HEADLINE
        if (value := mean.number(name)) is not None
    ]


def scope(numbers: Node, about: Node, name: str) -> str:
    """What a number is about: classes, averaging, part, images and resolution, in words."""
    words = numbers.table("protocol")
    choice = {text: key for key, text in ABSENT.items()}.get(words.text("absent"), "")
    classes = words.texts("classes")
    absent = LEFT_OUT.get(choice, words.text("absent"))
    images, skipped = words.whole("images"), about.whole("skipped")
    over = ", ".join(filter(None, [f"{len(classes)} class{'' if len(classes) == 1 else 'es'}", absent]))
    parts = [
        over if name in OVER_CLASSES else "",
        LEVEL.get(words.text("aggregate"), words.text("aggregate")) if name != "worst5_miou" else "",
        _part(about.text("split"), images),
        f"{plural(skipped, 'image')} NOT measured: could not be read" if skipped else "",
        f"{about.text('resolution')} resolution" if about.text("resolution") else "",
    ]
    return "; ".join(filter(None, parts))


def interval(numbers: Node, name: str) -> str:
    """The interval of a mean, in words; empty where there is none."""
    block = numbers.table("interval")
    found = block.table("mean").range(name)
    if found is None:
        return ""
    level, units, unit = block.number("level"), block.whole("units"), block.text("unit")
    known = f"{100 * level:g} % interval" if level else "interval"
    over = f", over {plural(units, unit)}" if units and unit else ""
    over = f" ({warning})" if (warning := block.text("warning")) else over  # it names the units too
    return f"{known}: {short(found[0])} to {short(found[1])}{over}"


def all_means(numbers: Node) -> Grid:
    """Every mean with its interval and its definition."""
    words, intervals = numbers.table("protocol"), numbers.table("interval").table("mean")
    rows = [
        [
            word(pretty(name)),
            number(value.as_number()),
            between(intervals.range(name)),
            word(words.text(name)),
        ]
        for name, value in numbers.table("mean").items()
        if value.is_number
    ]
    return Grid("All means", ("number", "value", "interval", "definition"), rows, frozenset({0, 3}))


def protocol_words(numbers: Node) -> list[tuple[str, str]]:
    """What holds for all of the overlap numbers."""
    words = numbers.table("protocol")
    found = [(key, words.text(key)) for key in ("averaging", "mean", "absent", "ignored", "prediction")]
    for key in ("ignored_classes", "absent_classes"):
        found.append((key.replace("_", " "), ", ".join(words.texts(key))))
    return [(key, text) for key, text in found if text]


def class_grid(numbers: Node, colors: Colors, title: str, extra: dict[str, dict[str, float | None]]) -> Grid:
    """One row per class.

    Args:
        numbers: As in `measured_cards`.
        colors: Of the classes.
        title: Of the table.
        extra: Further columns: name -> class -> value.
    """
    intervals = numbers.table("interval").table("per_class")
    shown = bool(intervals)
    columns = ["class", "IoU", *(["IoU interval"] if shown else []), "Dice", "precision", "recall"]
    rows = []
    for name, row in numbers.table("per_class").items():
        rates = [number(row.number(rate)) for rate in RATES]
        if shown:
            rates.insert(1, between(intervals.table(name).range("iou")))
        others = [number(column.get(name)) for column in extra.values()]
        sizes = [whole(row.number("pixels")), whole(row.number("images"))]
        rows.append([word(name, colors), *rates, *others, *sizes])
    return Grid(title, (*columns, *extra, "pixels", "images"), rows)


def validated_classes(record: Record) -> Grid | None:
    """IoU of each class at the best epoch, where nothing was measured after training."""
    best, prefix = best_epoch(record), "val/iou/"
    columns = {c.removeprefix(prefix): v for c, v in record.history.items() if c.startswith(prefix)}
    if best is None or not columns:
        return None
    rows = [[word(name), number(_plain(v[best]))] for name, v in columns.items()]
    return Grid(f"Validation, epoch {record.history['epoch'][best]:.0f}", ("class", "IoU"), rows)


def best_epoch(record: Record) -> int | None:
    """Row of ``metrics.csv`` that the run's ``monitor`` finds best."""
    monitor = record.config.text("monitor") or "val/miou"
    values = record.history.get(monitor, np.zeros(0))
    if not np.isfinite(values).any():
        return None
    return int(np.nanargmin(values) if record.config.text("monitor_mode") == "min" else np.nanargmax(values))


def loss_name(record: Record) -> str:
    """Name of the loss, from the configuration."""
    name = record.config.table("loss").text("_target_").rpartition(".")[2]
    return name if name.endswith("loss") else f"{name} loss".strip()


def _validated(record: Record) -> list[Card]:
    best = best_epoch(record)
    if best is None:
        return []
    protocol = record.config.table("metric").table("protocol")
    data = record.config.table("data")
    shrunk = data.text("eval_resolution") == "network" and data.text("fit") != "crop"
    where = [
        _epoch(record, best),
        LEVEL.get(protocol.text("aggregate"), LEVEL["dataset"]),
        f"{'network' if shrunk else 'native'} resolution",
    ]
    absent = LEFT_OUT.get(protocol.text("absent"), LEFT_OUT["exclude"])
    return [
        Card(
            _title(name),
            short(value),
            "",
            PROTOCOL[name],
            "; ".join([f"all classes, {absent}", *where] if name in OVER_CLASSES else where),
        )
        for column, name in VALIDATED
        if (value := _at(record, column, best)) is not None
    ]


def _loss(record: Record) -> list[Card]:
    best = best_epoch(record)
    value = None if best is None else _at(record, "val/loss", best)
    if best is None or value is None:
        return []
    words = "what training minimises, at the network's resolution"
    return [Card(loss_name(record), short(value), "", words, _epoch(record, best))]


def _title(name: str) -> str:
    return TITLES.get(name) or capital(pretty(name))


def _epoch(record: Record, best: int) -> str:
    images = record.card.table("data").table("samples").whole("val") if record.card else None
    return f"{_part('val', images)}, epoch {record.history['epoch'][best]:.0f} (the best)"


def _part(split: str, images: int | None) -> str:
    part = {"val": "validation part", "all": "all parts"}.get(split, f"{split} part" if split else "")
    return ", ".join(filter(None, [part, "" if images is None else plural(images, "image")]))


def _at(record: Record, column: str, row: int) -> float | None:
    values = record.history.get(column)
    return None if values is None else _plain(values[row])


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
