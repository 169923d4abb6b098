"""From counts to numbers: IoU, Dice, precision, recall and accuracy, each with its protocol.

Only numpy is needed, so that stored counts can be asked again without a network.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segkit.types import LabelSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Counts(NamedTuple):
    """What was counted on a set of images.

    Attributes:
        counts: ``[images, K, 3]`` int64: true positives, false positives, false negatives, in
            pixels.
        confusion: ``[K, K]`` int64, rows target, columns prediction; ``None`` in a multilabel task.
        index: ``[images]`` int64, position of each image in its split, ascending.
    """

    counts: Array
    confusion: Array | None
    index: Array  # type: ignore[assignment]  # hides tuple.index, which nobody misses


PROTOCOL = {
    "level": "data set: the pixels of all images together; only per_image_miou goes image by image",
    "mean": "over the classes that appear, each with the same weight, unless the number says otherwise",
    "absent": (
        "a class without a pixel in target and prediction is left out of the means; "
        "one that is only predicted counts as 0"
    ),
    "ignored": "pixels with the ignore index are counted nowhere",
    "prediction": "hard labels",
    "miou": "mean of TP / (TP + FP + FN) over classes",
    "dice": "mean of 2 TP / (2 TP + FP + FN) over classes (the same as macro F1)",
    "precision": "mean of TP / (TP + FP) over classes; 0 for a class that is never predicted",
    "recall": "mean of TP / (TP + FN) over classes; 0 for a class that is only predicted",
    "pixel_accuracy": "share of the pixels that are right",
    "mean_class_accuracy": "mean of TP / (TP + FN) over the classes that the target shows",
    "fw_iou": "mean IoU, each class weighted with its share of the target's pixels",
    "micro_iou": "sum of TP / sum of (TP + FP + FN), all classes together",
    "per_image_miou": "mean IoU over every pair of an image and a class that appears in it",
}


def overlap(counts: Counts, labels: LabelSpace) -> dict[str, Any]:
    """Derive the overlap numbers.

    Args:
        counts: As `segkit.metric.counts.OverlapCounts` gives them.
        labels: Their label space.

    Returns:
        Plain containers, ready for JSON:
        ``protocol``: how each number is defined, which classes are in the means, how many images;
        ``mean``: the numbers that `PROTOCOL` describes, 0..1, plus ``foreground_iou`` in a
        binary task (where ``miou`` is the mean over background and foreground);
        ``per_class``: name -> iou, dice, precision, recall, pixels (of the target), images (whose
        target shows it). A number that is not defined is ``None``.
    """
    total = counts.counts.sum(0)
    rates = _rates(total)
    mean = {**_means(total, rates), "per_image_miou": _mean(_rates(counts.counts)["iou"])}
    if labels.task == "multilabel":
        mean["pixel_accuracy"] = math.nan  # a pixel has several answers: no share of them is right
    if labels.task == "binary":
        mean["foreground_iou"] = rates["iou"][1]
    size = counts.counts[..., 0] + counts.counts[..., 2]
    per_class = {
        name: {
            **{rate: _plain(values[c]) for rate, values in rates.items()},
            "pixels": int(size[:, c].sum()),
            "images": int((size[:, c] > 0).sum()),
        }
        for c, name in enumerate(labels.names)
    }
    return {
        "protocol": _protocol(labels, total, len(counts.counts)),
        "mean": {name: _plain(value) for name, value in mean.items()},
        "per_class": per_class,
    }


def _rates(counts: Array) -> dict[str, Array]:
    """Four ratios of ``[..., K, 3]`` counts, each ``[..., K]``; nan where the class is absent."""
    tp, fp, fn = (counts[..., i].astype(np.float64) for i in range(3))
    appears = tp + fp + fn > 0
    ratios = {
        "iou": (tp, tp + fp + fn),
        "dice": (2 * tp, 2 * tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
    }
    return {
        name: np.where(appears, over / np.where(under > 0, under, 1), np.nan)
        for name, (over, under) in ratios.items()
    }


def _means(total: Array, rates: dict[str, Array]) -> dict[str, float]:
    """Numbers over all classes from ``[K, 3]`` counts of the data set."""
    tp, size, union = total[:, 0], total[:, 0] + total[:, 2], total.sum(1)
    shown = size > 0
    return {
        "miou": _mean(rates["iou"]),
        "dice": _mean(rates["dice"]),
        "precision": _mean(rates["precision"]),
        "recall": _mean(rates["recall"]),
        "pixel_accuracy": _ratio(tp.sum(), size.sum()),
        "mean_class_accuracy": _mean(rates["recall"][shown]),
        "fw_iou": _ratio((size[shown] * rates["iou"][shown]).sum(), size.sum()),
        "micro_iou": _ratio(tp.sum(), union.sum()),
    }


def _protocol(labels: LabelSpace, total: Array, images: int) -> dict[str, Any]:
    """`PROTOCOL` for these labels and counts."""
    absent = [name for name, row in zip(labels.names, total, strict=True) if not row.sum()]
    words: dict[str, Any] = {**PROTOCOL}
    if labels.task == "binary":
        words["foreground_iou"] = f"IoU of {labels.names[1]} alone"
    if labels.task == "multilabel":
        words["pixel_accuracy"] = "not defined where classes overlap"
    return {
        "task": labels.task,
        "images": images,
        "classes": [name for name in labels.names if name not in absent],
        "absent_classes": absent,
        **words,
    }


def _mean(values: Array) -> float:
    """Mean of what is defined; nan if nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def _ratio(over: float, under: float) -> float:
    return float(over / under) if under else math.nan


def _plain(value: float) -> float | None:
    """Make a number fit for JSON, which has no nan."""
    return None if math.isnan(value) else float(value)
