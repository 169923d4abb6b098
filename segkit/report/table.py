"""Numbers -> a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("iou", "dice", "precision", "recall")


def table(numbers: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Draw per-class and mean numbers with the protocol that defines them.

    Args:
        numbers: What ``segkit.metric.overlap.overlap`` returns.
        about: Where the numbers come from (checkpoint, split, resolution).

    Returns:
        Lines of plain text; ``-`` stands for a class that does not occur.
    """
    per_class, mean = numbers["per_class"], numbers["mean"]
    wide = max(len(name) for name in [*per_class, "mean"])
    titles = f"{'IoU':>7}  {'Dice':>7}  {'precis.':>7}  {'recall':>7}  {'pixels':>12}"
    lines = [f"{'class':{wide}}  {titles}"]
    lines += [
        f"{name:{wide}}  " + "  ".join(_cell(row[c]) for c in COLUMNS) + f"  {row['pixels']:>12,}"
        for name, row in per_class.items()
    ]
    means = [mean["miou"], mean["dice"], mean["precision"], mean["recall"]]
    lines.append(f"{'mean':{wide}}  " + "  ".join(map(_cell, means)))
    accuracy = mean["pixel_accuracy"]
    if accuracy is not None:
        lines.append(f"pixel accuracy {accuracy:.4f}")
    lines.append(
        f"protocol: {about['split']} part, {numbers['protocol']['images']} images, "
        f"{about['resolution']} resolution; all pixels together, ignored ones left out; "
        "classes absent from target and prediction left out of the means"
    )
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'-':>7}" if value is None else f"{value:7.4f}"
