"""What was measured -> the files of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from segkit.files import write_json, write_npz
from segkit.metric.cells import Counts
from segkit.metric.interval import intervals
from segkit.metric.overlap import image_scores, overlap
from segkit.metric.protocol import Protocol, apply
from segkit.metric.table import ImageTable
from segkit.report.bars import class_iou_bars
from segkit.report.confusion import confusion
from segkit.report.failure import error_bars, score_histogram, size_dots
from segkit.report.reliability import reliability
from segkit.types import LabelSpace, Sample


@dataclass(frozen=True)
class Evaluation:
    """What was measured on a part of some data.

    Attributes:
        counts: Overlaps; kept whole, so that any later question needs no network.
        tables: Meter -> what it kept of the images, column by column.
        meters: The meters, which make numbers of their tables.
        labels: Names and colours of the classes.
        samples: Those that were measured, in the order of the counts.
        protocol: How overlap numbers are defined.
        about: Checkpoint, split, resolution and threshold, for the record.
        title: Name of the run, for the plots.
        skipped: Names of the samples of the part that could not be read and were not measured.
    """

    counts: Counts
    labels: LabelSpace
    samples: list[Sample]
    protocol: Protocol
    about: Mapping[str, Any]
    title: str
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    meters: Mapping[str, ImageTable] = field(default_factory=dict)
    skipped: Sequence[str] = ()


def numbers_of(evaluation: Evaluation) -> dict[str, Any]:
    """Every number, in plain containers, as it stands in ``metrics.json``."""
    counts, labels, protocol = evaluation.counts, evaluation.labels, evaluation.protocol
    groups = [sample.group for sample in evaluation.samples]

    def measured(protocol: Protocol) -> dict[str, Any]:
        interval = intervals(counts, labels, protocol, groups)
        return {**overlap(counts, labels, protocol), "interval": interval}

    about = {"name": evaluation.title, **evaluation.about, "images": len(counts.index)}
    about |= {"skipped": len(evaluation.skipped), "skipped_images": list(evaluation.skipped)}
    numbers = {**about, **measured(protocol)}
    if protocol.level == "class" and any(labels.parents) and labels.task != "multilabel":
        numbers["category"] = measured(replace(protocol, level="category"))
    for name, meter in evaluation.meters.items():
        numbers[name] = meter.numbers(evaluation.tables[name])
    return numbers


def write_evaluation(folder: Path, evaluation: Evaluation) -> dict[str, Any]:
    """Write ``metrics.json``, ``counts.npz`` and the plots of the classes.

    Args:
        folder: Where they go.
        evaluation: What was measured.

    Returns:
        What ``metrics.json`` holds.
    """
    numbers = numbers_of(evaluation)
    write_json(folder / "metrics.json", numbers)
    write_npz(folder / "counts.npz", **arrays_of(evaluation))
    _draw_classes(folder / "plots", evaluation, numbers)
    if "calibration" in numbers:
        where = f"{evaluation.about['split']} part"
        reliability(numbers["calibration"], folder / "plots", evaluation.title, where)
    if "failure" in numbers:
        _draw_failure(folder / "plots", evaluation, numbers["failure"])
    return numbers


def _draw_classes(folder: Path, evaluation: Evaluation, numbers: Mapping[str, Any]) -> None:
    """Plots of the classes, or categories, that the numbers are about."""
    counts, labels = apply(evaluation.protocol, evaluation.counts, evaluation.labels)
    if counts.confusion is not None:
        confusion(counts.confusion, labels, folder, evaluation.title)
    found = [numbers["per_class"].get(name, {}).get("iou") for name in labels.names]
    iou = [math.nan if v is None else v for v in found]
    about = evaluation.about
    protocol = f"IoU over the {about['split']} part at {about['resolution']} resolution"
    class_iou_bars(iou, labels, folder, evaluation.title, protocol)


def _draw_failure(folder: Path, evaluation: Evaluation, numbers: Mapping[str, Any]) -> None:
    """Plots of what went wrong."""
    shown = ~np.isin(np.arange(evaluation.labels.num_classes), evaluation.protocol.ignored(evaluation.labels))
    scores = image_scores(evaluation.counts.counts[:, shown])
    error_bars(numbers, folder, evaluation.title)
    size_dots(numbers, folder, evaluation.title)
    score_histogram(scores, [s.name for s in evaluation.samples], folder, evaluation.title)


def arrays_of(evaluation: Evaluation) -> dict[str, Any]:
    """What ``counts.npz`` holds: overlaps, names, groups, and ``METER/COLUMN`` of what the meters kept."""
    counts, samples = evaluation.counts, evaluation.samples
    arrays: dict[str, Any] = {
        "counts": counts.counts,
        "index": counts.index,
        "names": np.array([s.name for s in samples], str),
        "groups": np.array([s.group for s in samples], str),
        **_label_arrays(evaluation.labels),
    }
    if counts.cells is not None:
        arrays |= {"confusion": counts.confusion, "cells": counts.cells}
    for name, table in evaluation.tables.items():
        arrays |= {f"{name}/{column}": values for column, values in table.items() if column != "index"}
    return arrays


def _label_arrays(labels: LabelSpace) -> dict[str, Any]:
    """What counts mean: enough to derive every number again (`segkit.report.stored`)."""
    return {
        "task": np.array(labels.task, str),
        "classes": np.array(labels.names, str),
        "colors": np.array(labels.colors, np.uint8).reshape(-1, 3),
        "parents": np.array(labels.parents, str),
    }
