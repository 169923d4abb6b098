"""Numbers -> a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segkit.error import plural

COLUMNS = ("dice", "precision", "recall")
KINDS = ("boundary", "missed", "invented", "confused")  # of errors


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
    if "category" in numbers:
        lines.append(_categories(numbers["category"]))
    lines += _other(numbers)
    lines.append(_sure(interval))
    words = numbers["protocol"]
    if numbers.get("skipped"):
        missing = plural(numbers["skipped"], "image")
        lines.append(f"NOT MEASURED: {missing} that could not be read (skipped.csv)")
    lines.append(
        f"protocol: {about['split']} part, {words['images']} images, {about['resolution']} resolution; "
        f"{words['averaging']}; {words['absent']}; {words['ignored']}"
    )
    return "\n".join(lines)


def _categories(numbers: Mapping[str, Any]) -> str:
    """The means over the coarser level, from the same counts."""
    mean, interval = numbers["mean"], numbers["interval"]["mean"]
    count = len(numbers["protocol"]["classes"])
    return f"{count} categories: IoU {_cell(mean['miou']).strip()} {_range(interval['miou'])}"


def _other(numbers: Mapping[str, Any]) -> list[str]:
    """A line for each kind of number beside overlap; all of them are in ``metrics.json``."""
    lines = []
    if boundary := numbers.get("boundary"):
        mean, unit = boundary["mean"], boundary["protocol"]["unit"].rpartition(" in ")[2]
        shown = f"F1 {_short(mean['boundary_f1'])}, IoU {_short(mean['boundary_iou'])}"
        lines.append(f"borders: {shown}, HD95 {_short(mean['hd95'])} ({unit}); means of images and classes")
    if calibration := numbers.get("calibration"):
        shown = ", ".join(f"{name.upper()} {_short(calibration[name])}" for name in ("ece", "nll"))
        lines.append(f"calibration: {shown}, temperature {calibration['temperature']:.3g}")
    if failure := numbers.get("failure"):
        errors = failure["errors"]
        shares = [f"{kind} {100 * errors[kind] / max(1, errors['total']):.0f} %" for kind in KINDS]
        lines.append(f"wrong pixels: {', '.join(shares)}")
    return lines


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


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
