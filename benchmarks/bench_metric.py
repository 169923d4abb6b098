"""What measuring costs, against torchmetrics and MONAI on the same pictures.

    python benchmarks/bench_metric.py

Everything runs on one thread; the ways take turns, and each ratio is the median over the rounds.
Peers get their tensors ready-made (one-hot, on the right type); our side starts from logits, or
from label maps. A peer that is not installed is left out.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from segkit.data.streets import scene
from segkit.metric.boundary import Boundary
from segkit.metric.counts import OverlapCounts
from segkit.metric.scored import Scored
from segkit.types import LabelSpace

ROUNDS = 9
CLASSES = ("void", "flat", "construction", "object", "nature", "sky", "human", "vehicle")
LABELS = LabelSpace(CLASSES, ((0, 0, 0),) * 8, tuple((i,) for i in range(8)))
Ways = dict[str, Callable[[], object]]


def picture(height: int, width: int) -> Tensor:
    """The target of the first street that shows all eight classes: ``[height, width]`` uint8."""
    for index in range(1000):
        _, target = scene(0, index, height, width)
        if np.isin(range(8), target).all():
            return torch.from_numpy(target)
    raise SystemExit(f"no street of {height}x{width} shows all classes")


def guess(target: Tensor) -> Tensor:
    """A prediction as a fair network makes it: borders waver by a few pixels. ``[H, W]`` int64."""
    rng, labels = np.random.default_rng(0), np.where(target == 255, 0, target)
    height, width = labels.shape
    down, right = (cv2.GaussianBlur(rng.normal(size=labels.shape), (0, 0), 8) * 60 for _ in range(2))
    row = np.clip(np.rint(np.arange(height)[:, None] + down), 0, height - 1).astype(int)
    column = np.clip(np.rint(np.arange(width) + right), 0, width - 1).astype(int)
    return torch.from_numpy(labels[row, column]).long()


def one_hot(labels: Tensor) -> Tensor:
    """``[H, W]`` -> ``[1, 8, H, W]`` float32; ignored pixels are in no plane."""
    return torch.stack([labels == c for c in range(8)])[None].float()


def counting() -> Ways:
    """Logits of eight pictures to counts."""
    import torchmetrics.classification as peers

    target = torch.stack([torch.from_numpy(scene(0, i, 256, 512)[1]) for i in range(8)])
    logits = torch.randn(8, 8, 256, 512, generator=torch.Generator().manual_seed(0))
    options: dict[str, Any] = {"num_classes": 8, "average": "macro", "ignore_index": 255}
    names = ("JaccardIndex", "F1Score", "Precision", "Recall", "Accuracy")
    from torchmetrics import MetricCollection

    collection = MetricCollection([getattr(peers, f"Multiclass{name}")(**options) for name in names])
    wide = target.long()
    collection.update(logits, wide)  # from here on its metrics share what they count

    def segkit() -> None:
        counts = OverlapCounts(LABELS)
        for i in range(8):
            counts.update(Scored(logits[i], target[i], i, LABELS))

    return {"segkit": segkit, "torchmetrics": lambda: collection.update(logits, wide)}


def borders_of(target: Tensor, prediction: Tensor) -> Callable[[], None]:
    """Our seven border numbers of every class of a picture."""

    def measure() -> None:
        scored: Any = SimpleNamespace(target=target, prediction=prediction, index=0)
        Boundary(LABELS).update(scored)

    return measure


def against_monai() -> Ways:
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    target = picture(256, 512)
    prediction = guess(target)
    real, claimed = one_hot(target), one_hot(torch.where(target == 255, 255, prediction))

    def two() -> None:
        compute_hausdorff_distance(claimed, real, include_background=True, percentile=95)
        compute_surface_dice(claimed, real, [2.0] * 8, include_background=True)

    def three() -> None:
        two()
        compute_hausdorff_distance(claimed, real, include_background=True)

    return {"segkit": borders_of(target, prediction), "HD95, NSD": two, "HD95, NSD, HD": three}


def against_torchmetrics() -> Ways:
    from torchmetrics.segmentation import HausdorffDistance

    target = picture(64, 64)
    target = torch.where(target == 255, 0, target)  # it knows no ignored pixels
    prediction = guess(target)
    metric = HausdorffDistance(num_classes=8, include_background=True, input_format="index")
    real, claimed = target.long()[None], prediction[None]
    return {"segkit": borders_of(target, prediction), "torchmetrics": lambda: metric.update(claimed, real)}


def seconds(way: Callable[[], object]) -> float:
    begun = time.perf_counter()
    way()
    return time.perf_counter() - begun


def compare(title: str, wanted: int, ways: Ways, rounds: int = ROUNDS) -> None:
    """Let the ways take turns; print their medians and by how much ours, the first, is faster."""
    for way in ways.values():
        way()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(seconds(way))
    ours, *peers = found
    print(f"\n{title}, median of {rounds}")
    for name, times in found.items():
        print(f"  {name:14} {1000 * statistics.median(times):8.1f} ms")
    for name in peers:
        ratio = statistics.median(b / a for a, b in zip(found[ours], found[name], strict=True))
        print(f"  {name + ' / ' + ours:24} {ratio:6.1f} by the clock   (wanted >= {wanted})")


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    warnings.simplefilter("ignore")
    compare("counting, logits [8, 8, 256, 512] to counts, five torchmetrics", 10, counting())
    if importlib.util.find_spec("monai"):
        compare("borders, 256x512, 8 classes: our seven numbers, MONAI's", 3, against_monai())
    else:
        print("\nborders against MONAI: left out, monai is not installed")
    # Wrong on pictures that are not square, and slow: a small square is all that it can be asked.
    compare(
        "borders, 64x64, 8 classes: our seven numbers, HausdorffDistance",
        10,
        against_torchmetrics(),
        rounds=5,
    )


if __name__ == "__main__":
    main()
