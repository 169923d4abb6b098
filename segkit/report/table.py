"""Numbers -> a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segkit.error import plural

COLUMNS = ("dice", "precision", "recall")


def table(numbers: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Draw per-class and mean numbers with their intervals and the protocol that defines them.

    Args:
        numbers: What ``metrics.json`` holds (`segkit.report.evaluation.numbers_of`).
        about: Where the numbers come from (checkpoint, split, resolution).

    Returns:
        Lines of plain text; ``-`` stands for a class that does not occur, and for an interval
        where there is none.
    """
    per_class, mean, interval = numbers["per_class"], numbers["mean"], numbers["interval"]
    wide = max(len(name) for name in [*per_class, "mean"])
    level = f"{100 * interval['level']:.0f} % interval"
    titles = f"{'IoU':>7}  {level:>14}  {'Dice':>7}  {'precis.':>7}  {'recall':>7}  {'pixels':>14}"
    lines = [f"{'class':{wide}}  {titles}"]
    for name, row in per_class.items():
        cells = _row(row, interval["per_class"][name]["iou"], row["iou"])
        lines.append(f"{name:{wide}}  {cells}  {row['pixels']:>14,}")
    lines.append(f"{'mean':{wide}}  {_row(mean, interval['mean']['miou'], mean['miou'])}")
    accuracy = mean["pixel_accuracy"]
    if accuracy is not None:
        lines.append(
            f"pixel accuracy {accuracy:.4f} {_range(interval['mean']['pixel_accuracy'])}".rstrip(" -")
        )
    lines.append(_sure(interval))
    lines.append(
        f"protocol: {about['split']} part, {numbers['protocol']['images']} images, "
        f"{about['resolution']} resolution; all pixels together, ignored ones left out; "
        "classes absent from target and prediction left out of the means"
    )
    return "\n".join(lines)


def _row(numbers: Mapping[str, Any], interval: Sequence[float] | None, iou: float | None) -> str:
    cells = [_cell(iou), f"{_range(interval):>14}", *(_cell(numbers[c]) for c in COLUMNS)]
    return "  ".join(cells)


def _sure(interval: Mapping[str, Any]) -> str:
    """What the intervals rest on."""
    units = plural(interval["units"], interval["unit"])
    line = f"{100 * interval['level']:.0f} % interval: bootstrap over {units}"
    return f"{line} ({interval['warning']})" if interval["warning"] else line


def _range(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else "[{:.3f}, {:.3f}]".format(*interval)


def _cell(value: float | None) -> str:
    return f"{'-':>7}" if value is None else f"{value:7.4f}"
