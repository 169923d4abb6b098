"""Tables for a page: cells with what is shown and what they are sorted by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from segkit.report.html import NOTHING, count, percent, short

Colors = Mapping[str, tuple[int, ...]]


class Cell(NamedTuple):
    """One cell.

    Attributes:
        text: What is shown.
        sort: What the column is sorted by; empty: it stays below.
        color: Of the swatch beside a class, 0..255.
    """

    text: str
    sort: str | float = ""
    color: tuple[int, ...] | None = None


class Grid(NamedTuple):
    """A table whose columns sort.

    Attributes:
        title: What it holds.
        columns: Names; the first is that of the rows.
        rows: As many cells each as there are columns.
        words: Positions of the columns that hold words, not numbers.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: frozenset[int] = frozenset({0})


def word(text: str, colors: Colors | None = None) -> Cell:
    """A name; where it is that of a class, with its colour."""
    return Cell(text, text, (colors or {}).get(text))


def number(value: float | None) -> Cell:
    """A number of any size."""
    return Cell(short(value), "" if value is None else value)


def share(value: float | None) -> Cell:
    """A share, 0..1, in percent."""
    return Cell(percent(value), "" if value is None else value)


def whole(value: float | None) -> Cell:
    """A number without decimals."""
    return Cell(NOTHING) if value is None else Cell(count(int(value)), int(value))


def between(value: tuple[float, float] | None) -> Cell:
    """An interval, sorted by its width."""
    if value is None:
        return Cell(NOTHING)
    return Cell(f"{short(value[0])} to {short(value[1])}", value[1] - value[0])


def pretty(name: str) -> str:
    """A number's name for people."""
    return NAMES.get(name) or " ".join(NAMES.get(part, part) for part in name.split("_"))


def capital(text: str) -> str:
    """The same with its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


NAMES = {
    "miou": "mean IoU",
    "iou": "IoU",
    "dice": "Dice",
    "worst5_miou": "worst 5 % of images",
    "per_image_miou": "mean IoU per image",
    "fw_iou": "frequency-weighted IoU",
    "f1": "F1",
    "ece": "ECE",
    "nll": "NLL",
    "brier": "Brier score",
    "hd95": "HD95",
    "hausdorff": "Hausdorff distance",
    "assd": "average surface distance",
}
