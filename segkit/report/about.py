"""Card, configuration and split of a run -> what would be needed to make it again, in words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import yaml  # type: ignore[import-untyped,unused-ignore]

from segkit.error import plural
from segkit.report.grid import Grid, share, whole, word
from segkit.report.html import count
from segkit.report.node import Node
from segkit.report.record import Record

GROUPS = 40  # a table of more groups says less than it costs
PARTS = ("train", "val", "test")


class Line(NamedTuple):
    """A line of the configuration, and whether it was typed."""

    text: str
    changed: bool


def about(record: Record) -> list[tuple[str, str, bool]]:
    """What is known of the run: name, text, and whether the text is code."""
    rows = [*_card(record), *_source(record), *_time(record)]
    return [(name, text, code) for name, text, code in rows if text]


def config_lines(record: Record) -> list[Line]:
    """The configuration as it is written, with what was typed marked."""
    typed = {o.lstrip("+~").partition("=")[0].replace("@", ".") for o in record.overrides}
    places = _places(record.config_text)
    marked = {line for key, line in places.items() if key in typed}
    return [Line(text, i in marked) for i, text in enumerate(record.config_text.splitlines())]


def parts(record: Record) -> Grid | None:
    """Samples and groups of each part."""
    found: dict[str, tuple[int, int]] = {
        part: (sum(groups.values()), sum(1 for g in groups if g)) for part, groups in record.split.items()
    }
    if not found and record.card:
        samples = record.card.table("data").table("samples")
        found = {part: (n, 0) for part in PARTS if (n := samples.whole(part)) is not None}
    total = sum(images for images, _ in found.values())
    rows = [
        [word(part), whole(images), share(images / total), whole(groups or None)]
        for part, (images, groups) in sorted(found.items(), key=lambda item: _place(item[0]))
    ]
    return Grid("Samples", ("part", "images", "% of images", "groups"), rows) if total else None


def groups(record: Record) -> Grid | None:
    """Samples of each group in each part; ``None`` where there are no groups, or very many."""
    names = sorted({g for groups in record.split.values() for g in groups if g})
    if not names or len(names) > GROUPS:
        return None
    ordered = sorted(record.split, key=_place)
    rows = [[word(name), *(whole(record.split[part].get(name, 0)) for part in ordered)] for name in names]
    return Grid("Groups", ("group", *ordered), rows)


def duration(seconds: float | None) -> str:
    """Seconds for people: ``42 s``, ``12 min 5 s``, ``3 h 20 min``; empty for ``None``."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes} min {left} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _card(record: Record) -> list[tuple[str, str, bool]]:
    card = record.card
    if card is None:
        return []
    git, data = card.table("git"), card.table("data")
    commit = git.text("commit")
    state = ", with changes that are in no commit" if commit and git.value.get("changed") else ""
    versions = [f"{k} {v.text_of() or 'not installed'}" for k, v in card.table("versions").items()]
    again = [f"{row.text('command')} ({row.text('started')})" for row in card.rows("resumed")]
    return [
        ("command", card.text("command"), True),
        ("gone on with", "; ".join(again), True),
        ("started", card.text("started"), False),
        ("finished", _last(card).text("finished"), False),
        ("seed", card.text("seed"), False),
        ("left out", _skipped(_last(card).whole("skipped")), False),
        ("deterministic", _deterministic(card), False),
        ("data fingerprint", data.text("fingerprint"), True),
        ("versions", ", ".join(versions), False),
        ("git", f"{commit}{state}", False),
        ("hardware", _hardware(card.table("hardware")), False),
    ]  # fmt: skip


def _skipped(count: int | None) -> str:
    return f"{plural(count, 'picture')} that could not be read (skipped.csv)" if count else ""


def _deterministic(card: Node) -> str:
    """How far the run can be repeated, with what became different where it went on."""
    first, found = card.text("deterministic"), []
    for piece in card.rows("resumed"):
        text = piece.text("deterministic")
        if text and text != first:
            found.append(f"since {piece.text('started')}: {text}")
    return "; ".join(filter(None, [first, *dict.fromkeys(found)]))


def _source(record: Record) -> list[tuple[str, str, bool]]:
    """Where the numbers come from."""
    metrics, config = record.metrics, record.config
    rows = [("data", config.table("data").text("root"), True)]
    if metrics is not None:
        rows += [
            ("checkpoint", metrics.text("checkpoint"), True),
            ("threshold", metrics.text("threshold"), False),
        ]
    if not record.card:
        command = " ".join(["python -m segkit.evaluate", *record.overrides]) if record.overrides else ""
        rows = [("command", command, True), *rows]
    return rows


def _time(record: Record) -> list[tuple[str, str, bool]]:
    """Time and cost, of all parts of a run that was resumed together."""
    rows: list[tuple[str, str, bool]] = []
    seconds = record.history.get("seconds")
    if seconds is not None and np.isfinite(seconds).any():
        epochs = f"{np.nanmedian(seconds):.3g} s (median of {len(seconds)} epochs, with validation)"
        rows.append(("time per epoch", epochs, False))
    if record.card is None:
        return rows
    pieces = [record.card, *record.card.rows("resumed")]
    memory = max((m for p in pieces if (m := p.number("peak_memory_bytes")) is not None), default=None)
    gpu = max((m for p in pieces if (m := p.number("peak_gpu_memory_bytes")) is not None), default=None)
    steps = [s for p in pieces if (s := p.whole("steps")) is not None]
    return [
        *rows,
        ("time in all", duration(_sum(pieces, "seconds")), False),
        ("optimiser steps", count(max(steps)) if steps else "", False),
        ("cost", _cost(pieces), False),
        ("peak memory", _bytes(memory), False),
        ("peak memory of a GPU", _bytes(gpu), False),
    ]


def _cost(pieces: list[Node]) -> str:
    cores, gpus = _sum(pieces, "core_seconds"), _sum(pieces, "gpu_seconds")
    found = [(cores, "processor cores, busy time"), (gpus, "GPUs, time on the clock")]
    return "; ".join(f"{count(round(v))} s of {what} ({v / 3600:.2g} h)" for v, what in found if v)


def _sum(pieces: list[Node], key: str) -> float | None:
    known = [v for p in pieces if (v := p.number(key)) is not None]
    return sum(known) if known else None


def _last(card: Node) -> Node:
    return (card.rows("resumed") or [card])[-1]


def _bytes(value: float | None) -> str:
    return "" if value is None else f"{value / 2**20:,.0f} MiB"


def _hardware(node: Node) -> str:
    cores, gpus, threads = node.whole("cores"), node.texts("gpus"), node.whole("torch_threads")
    return ", ".join(
        filter(None, [node.text("system"), plural(cores, "core") if cores else "", *gpus,
                      plural(threads, "torch thread") if threads else ""])
    )  # fmt: skip


def _place(part: str) -> int:
    return PARTS.index(part) if part in PARTS else len(PARTS)


def _places(text: str) -> dict[str, int]:
    """Line of every dotted key of a YAML text."""
    found: dict[str, int] = {}
    seen: set[int] = set()  # an alias stands for what was seen already

    def walk(node: Any, prefix: str) -> None:
        if isinstance(node, yaml.MappingNode) and id(node) not in seen:
            seen.add(id(node))
            for key, value in node.value:
                name = f"{prefix}{key.value}"
                found[name] = key.start_mark.line
                walk(value, f"{name}.")

    walk(yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), "")
    return found
