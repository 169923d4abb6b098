"""A comparison -> plots and one self-contained ``compare.html``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from segkit.files import write_text
from segkit.metric.protocol import apply
from segkit.report.compare import Comparison, Pair, numbers_of, write_numbers
from segkit.report.compare_plots import forest, per_image
from segkit.report.html import data_uri, figure, render
from segkit.report.paint import flatten, paint_classes
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

LIMIT = 14_000_000  # characters of the page
WIDTH = 360  # pixels across a picture
# As in style.py: blue is what got better, vermillion what got worse.
BETTER, WORSE, BOTH = (0, 114, 178), (213, 94, 0), (150, 150, 150)


class Shot(NamedTuple):
    """A picture and what two models say of it.

    Attributes:
        image: uint8 RGB ``[h, w, 3]``.
        target: ``[H, W]`` class indices or ``[K, H, W]`` zeros and ones, with ``ignore_index``.
        a: Prediction of the first model, as ``target``.
        b: Of the second.
    """

    image: Array
    target: Array
    a: Array
    b: Array


Shots = Mapping[tuple[str, str], Shot]  # (letter of the second side, sample) -> shot


def write_comparison(folder: Path, comparison: Comparison, shots: Shots, command: str, count: int) -> None:
    """Write ``compare.json``, ``compare.csv``, ``plots/*.png`` with their ``.csv``, and ``compare.html``.

    Args:
        folder: Where they go.
        comparison: What was found.
        shots: Pictures, as many as could be made.
        command: What was typed.
        count: How many of the most improved and worsened images are shown.

    Raises:
        UserError: The folder cannot be written to.
    """
    numbers = numbers_of(comparison, count)
    write_numbers(folder, comparison, numbers)
    first = comparison.first
    _, merged = apply(first.protocol, first.counts, first.labels)
    colors = dict(zip(merged.names, merged.colors, strict=True))
    pairs = []
    for pair, found in zip(comparison.pairs, numbers["comparisons"], strict=True):
        title = f"{pair.a.letter} and {pair.b.letter}: {pair.a.name}"
        title = title if pair.a.name == pair.b.name else f"{title}, {pair.b.name}"
        plots = folder / "plots"
        text = f"Right of zero {pair.b.letter} is better; grey: not told apart after Holm's correction."
        figures = [
            figure(forest(pair, colors, plots, title), "Difference of each class", text),
            figure(per_image(pair, first.names, plots, title), "Every image", _about_images(pair)),
        ]
        pairs.append({**found, "figures": figures, "rows": _rows(found)})
    values = {**numbers, "command": command, "colors": colors, "classes": merged.names}
    room = LIMIT - len(render("compare.html.j2", {**values, "pairs": [{**p, "pictures": {}} for p in pairs]}))
    for pair, found in zip(comparison.pairs, pairs, strict=True):
        found["pictures"], room = _pictures(pair, found, shots, first.labels, room)
    write_text(folder / "compare.html", render("compare.html.j2", {**values, "pairs": pairs}))


def _about_images(pair: Pair) -> str:
    return f"A point is an image; above the line it is better in {pair.b.letter}, below in {pair.a.letter}."


def _rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Classes, then means, as rows of one table."""
    return [
        {"name": name, "kind": kind, **entry, "p_holm": entry.get("p_holm")}
        for kind, entries in (("class", found["per_class"]), ("mean", found["mean"]))
        for name, entry in entries.items()
    ]


def _pictures(
    pair: Pair, found: Mapping[str, Any], shots: Shots, labels: LabelSpace, room: int
) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """The cells of every shot, as many as fit into ``room`` characters; and the room that is left."""
    shown: dict[str, list[dict[str, Any]]] = {}
    for kind in ("improved", "worsened"):
        for entry in found[kind]:
            if (shot := shots.get((pair.b.letter, entry["sample"]))) is None:
                continue
            cells = _cells(shot, labels, (pair.a.letter, pair.b.letter))
            room -= sum(len(cell["picture"]) + 400 for cell in cells)
            if room > 0:
                shown.setdefault(kind, []).append({**entry, "cells": cells})
    return shown, room


def _cells(shot: Shot, labels: LabelSpace, letters: tuple[str, str]) -> list[dict[str, Any]]:
    height, width = shot.target.shape[-2:]
    image = cv2.resize(shot.image, (width, height), interpolation=cv2.INTER_AREA)
    drawn = (
        ("image", image, ".jpg"),
        ("target", paint_classes(shot.target, labels), ".png"),
        (letters[0], paint_classes(shot.a, labels), ".png"),
        (letters[1], paint_classes(shot.b, labels), ".png"),
        ("who is right", paint_change(image, shot, labels), ".png"),
    )
    return [{"title": title, **_picture(drawing, suffix)} for title, drawing, suffix in drawn]


def _picture(drawing: Array, suffix: str) -> dict[str, Any]:
    if drawing.shape[1] > WIDTH:
        size = (WIDTH, max(1, round(drawing.shape[0] * WIDTH / drawing.shape[1])))
        drawing = cv2.resize(drawing, size, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, 88] if suffix == ".jpg" else []
    _, coded = cv2.imencode(suffix, np.ascontiguousarray(drawing[..., ::-1]), options)
    kind = "image/jpeg" if suffix == ".jpg" else "image/png"
    return {"picture": data_uri(coded.tobytes(), kind), "width": drawing.shape[1], "height": drawing.shape[0]}


def paint_change(image: Array, shot: Shot, labels: LabelSpace) -> Array:
    """Show who is right where: blue B alone, vermillion A alone, grey neither; the rest is the pale picture.

    Args:
        image: uint8 RGB ``[H, W, 3]``, of the size of the target.
        shot: Target and predictions.
        labels: What they mean.

    Returns:
        uint8 RGB ``[H, W, 3]``; ignored pixels are pale too.
    """
    counted = flatten(shot.target, labels) != labels.ignore_index
    right = [prediction == shot.target for prediction in (shot.a, shot.b)]
    a, b = (r if r.ndim == 2 else r.all(0) for r in right)
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    ground = np.repeat((200 + 0.21 * grey).astype(np.uint8)[..., None], 3, 2)
    for where, color in ((b & ~a, BETTER), (a & ~b, WORSE), (~a & ~b, BOTH)):
        ground[where & counted] = color
    return ground
