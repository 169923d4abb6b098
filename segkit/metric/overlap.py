"""From counts to numbers: IoU, Dice, precision, recall and accuracy, each with its protocol.

Only numpy is needed, so that stored counts can be asked again without a network.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from segkit.metric.cells import Counts
from segkit.metric.protocol import Protocol, apply
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

__all__ = ["PROTOCOL", "RATES", "Counts", "image_scores", "means", "measured", "overlap", "plain", "rates"]

RATES = ("iou", "dice", "precision", "recall")
WORST = 0.05  # share of the images that `worst5_miou` looks at

AGGREGATE = {
    "dataset": "data set: the pixels of all images together, then the mean over classes",
    "image": "image: the mean over the classes of each image, then the mean over images",
    "pair": "pair: the mean over all pairs of an image and a class",
}
ABSENT = {
    "exclude": (
        "a class without a pixel in target and prediction is left out of the means; "
        "one that is only predicted counts as 0"
    ),
    "zero": "a class without a pixel in target and prediction counts as 0 in the means",
    "one": (
        "a class without a pixel in target and prediction counts as 1 in the means; "
        "one that is only predicted counts as 0"
    ),
}
PROTOCOL = {
    "mean": "over the classes that appear, each with the same weight, unless the number says otherwise",
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
    "worst5_miou": "mean of the image mIoU (over the classes that appear in it) of the worst 5 % of images",
}


def overlap(counts: Counts, labels: LabelSpace, protocol: Protocol | None = None) -> dict[str, Any]:
    """Derive the overlap numbers.

    Args:
        counts: As `segkit.metric.counts.OverlapCounts` gives them.
        labels: Their label space.
        protocol: How the numbers are defined; ``None``: `Protocol`'s defaults.

    Returns:
        Plain containers, ready for JSON:
        ``protocol``: how each number is defined, which classes are in the means, how many images;
        ``mean``: the numbers that `PROTOCOL` describes, 0..1, plus ``foreground_iou`` in a
        binary task (where ``miou`` is the mean over background and foreground);
        ``per_class``: name -> iou, dice, precision, recall (of all images together), pixels (of
        the target), images (whose target shows it). A number that is not defined is ``None``.

    Raises:
        UserError: The protocol does not fit the labels (`segkit.metric.protocol.apply`).
    """
    protocol = protocol or Protocol()
    counts, labels = apply(protocol, counts, labels)
    numbers, foreground = _headline(counts.counts, labels, protocol), labels.task == "binary"
    total = counts.counts.sum(0)
    ratios = rates(total)
    size = counts.counts[..., 0] + counts.counts[..., 2]
    per_class = {
        name: {
            **{rate: plain(values[c]) for rate, values in ratios.items()},
            "pixels": int(size[:, c].sum()),
            "images": int((size[:, c] > 0).sum()),
        }
        for c, name in enumerate(labels.names)
        if name in measured(labels, protocol)
    }
    if foreground:
        numbers["foreground_iou"] = float(ratios["iou"][1])
    return {
        "protocol": _words(labels, protocol, total, len(counts.counts)),
        "mean": {name: plain(value) for name, value in numbers.items()},
        "per_class": per_class,
    }


def _headline(counts: Array, labels: LabelSpace, protocol: Protocol) -> dict[str, float]:
    """Every mean number from ``[images, K, 3]`` counts."""
    named = measured(labels, protocol)
    counts = counts[:, [name in named for name in labels.names]]
    if protocol.aggregate == "dataset":
        numbers = {name: float(v) for name, v in means(counts.sum(0), protocol.absent).items()}
    elif protocol.aggregate == "image":
        numbers = {name: _mean(v) for name, v in means(counts, protocol.absent).items()}
    else:
        pairs = counts.reshape(-1, 1, 3)  # each pair is a data set of one class
        numbers = {name: _mean(v) for name, v in means(pairs, protocol.absent).items()}
    scores = image_scores(counts)
    numbers["per_image_miou"] = _mean(rates(counts)["iou"])
    scores = np.sort(scores[~np.isnan(scores)])  # an image that is ignored whole has none
    numbers["worst5_miou"] = _mean(scores[: max(1, round(WORST * len(scores)))])
    if labels.task == "multilabel":
        numbers["pixel_accuracy"] = math.nan  # a pixel has several answers: no share of them is right
    return numbers


def measured(labels: LabelSpace, protocol: Protocol) -> list[str]:
    """Names of the classes that have a number.

    A category may be called like an ignored class, and has a number none the less.

    Args:
        labels: As `segkit.metric.protocol.apply` gives them.
        protocol: The same.
    """
    ignored = protocol.ignore_classes if protocol.level == "class" else ()
    return [name for name in labels.names if name not in ignored]


def rates(counts: Array) -> dict[str, Array]:
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


def means(counts: Array, absent: str = "exclude") -> dict[str, Array]:
    """Numbers over the classes of ``[..., K, 3]`` counts, each ``[...]``; nan where not defined.

    Args:
        counts: Pixels of a data set, of many resamples of it, or of many images.
        absent: As in `Protocol`.
    """
    tp, size, union = counts[..., 0], counts[..., 0] + counts[..., 2], counts.sum(-1)
    ratios = rates(counts)
    filled = (
        ratios
        if absent == "exclude"
        else {name: np.where(np.isnan(v), float(absent == "one"), v) for name, v in ratios.items()}
    )
    shown = size > 0
    return {
        "miou": _mean_over_last(filled["iou"]),
        "dice": _mean_over_last(filled["dice"]),
        "precision": _mean_over_last(filled["precision"]),
        "recall": _mean_over_last(filled["recall"]),
        "pixel_accuracy": _ratio(tp.sum(-1), size.sum(-1)),
        "mean_class_accuracy": _mean_over_last(np.where(shown, ratios["recall"], np.nan)),
        "fw_iou": _ratio((size * np.where(shown, ratios["iou"], 0)).sum(-1), size.sum(-1)),
        "micro_iou": _ratio(tp.sum(-1), union.sum(-1)),
    }


def image_scores(counts: Array) -> Array:
    """Mean IoU of each image over the classes that appear in it: ``[images]`` from ``[images, K, 3]``."""
    return _mean_over_last(rates(counts)["iou"])


def _words(labels: LabelSpace, protocol: Protocol, total: Array, images: int) -> dict[str, Any]:
    """The protocol in words, for these labels and counts."""
    names = measured(labels, protocol)
    absent = [n for n, row in zip(labels.names, total, strict=True) if n in names and not row.sum()]
    left_out = absent if protocol.absent == "exclude" else []
    words: dict[str, Any] = {**PROTOCOL}
    if labels.task == "binary":
        words["foreground_iou"] = f"IoU of {labels.names[1]} alone"
    if labels.task == "multilabel":
        words["pixel_accuracy"] = "not defined where classes overlap"
    if protocol.absent != "exclude":
        words["mean"] = "over all classes, each with the same weight, unless the number says otherwise"
    return {
        "task": labels.task,
        "images": images,
        "level": protocol.level,
        "aggregate": protocol.aggregate,
        "averaging": AGGREGATE[protocol.aggregate],
        "absent": ABSENT[protocol.absent],
        "ignored_classes": list(protocol.ignore_classes),
        "classes": [name for name in names if name not in left_out],
        "absent_classes": absent,
        **words,
    }


def _mean(values: Array) -> float:
    """Mean of what is defined; nan if nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def _mean_over_last(values: Array) -> Array:
    """Mean over the last axis of what is defined; nan where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1))


def _ratio(over: Array, under: Array) -> Array:
    under = np.asarray(under, np.float64)
    return np.where(under > 0, over / np.where(under > 0, under, 1), np.nan)


def plain(value: float) -> float | None:
    """Make a number fit for JSON, which has no nan."""
    return None if math.isnan(value) else float(value)
