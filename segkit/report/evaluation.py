"""Counts -> the files of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segkit.files import write_json, write_npz
from segkit.metric.counts import Counts
from segkit.report.bars import class_iou_bars
from segkit.report.confusion import confusion
from segkit.types import LabelSpace


def write_evaluation(
    folder: Path,
    counts: Counts,
    numbers: Mapping[str, Any],
    labels: LabelSpace,
    names: Sequence[str],
    about: Mapping[str, Any],
    title: str,
) -> None:
    """Write ``metrics.json``, ``counts.npz`` and the plots of the classes.

    Args:
        folder: Where they go.
        counts: What was counted; kept whole, so that any later question needs no network.
        numbers: What ``overlap`` made of it.
        labels: Names and colours of the classes.
        names: Sample names, in the order of the counts.
        about: Checkpoint, split and resolution, for the record.
        title: Name of the run, for the plots.
    """
    write_json(folder / "metrics.json", {**about, "images": len(names), **numbers})
    arrays = {"counts": counts.counts, "names": np.asarray(names), "classes": np.asarray(labels.names)}
    if counts.confusion is not None:
        arrays["confusion"] = counts.confusion
        confusion(counts.confusion, labels, folder / "plots", title)
    write_npz(folder / "counts.npz", **arrays)
    iou = [math.nan if row["iou"] is None else row["iou"] for row in numbers["per_class"].values()]
    protocol = f"IoU over the {about['split']} part at {about['resolution']} resolution"
    class_iou_bars(iou, labels, folder / "plots", title, protocol)
