"""Are probabilities what they say? Calibration error, negative log-likelihood, Brier score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from segkit.metric.overlap import plain
from segkit.metric.table import Column, ImageTable
from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.metric.scored import Scored
    from segkit.types import Array

MOST_BINS = 1000
PIECE = 2**17  # pixels that are sorted at a time, within the processor's cache
KEPT = ("bins", "class_bins", "sums")
RAW = "raw_"  # columns of the probabilities as trained

PROTOCOL = {
    "temperature": (
        "what logits are divided by before they become probabilities (Guo et al. 2017); other than 1 it "
        "was fitted on the validation part of the run's data, which has chosen the checkpoint too"
    ),
    "ece": (
        "sum over bins of (pixels in the bin / all pixels) x |accuracy - mean confidence|, for the "
        "probability of the predicted class (Guo et al. 2017, eq. 3)"
    ),
    "classwise_ece": (
        "the same for the probability of each class against the share of pixels that are of the class; "
        "the mean over all classes of the label space (Kull et al. 2019, section 2)"
    ),
    "nll": "mean of -ln(probability of the target)",
    "as_trained": "the same numbers at temperature 1",
    "pixels": "all pixels of all images together; those with the ignore index are counted nowhere",
}
BRIER = {
    "multiclass": "mean of the sum over classes of (probability - truth)^2: 0 to 2 (Brier 1950)",
    "binary": "mean of (probability of the foreground - truth)^2: 0 to 1",
    "multilabel": "mean over all answers (a pixel and a class) of (probability - truth)^2: 0 to 1",
}


class Calibration(ImageTable):
    """Counts, for every image, how often probabilities come true.

    One row per image: ``bins [B, 3]`` (pixels, sum of confidence, pixels that were right) of what
    was predicted, ``class_bins [K, B, 3]`` the same of every class (pixels, sum of its
    probability, pixels that are of the class), ``sums [3]`` (pixels, sum of -ln p(target), sum of
    squared errors), ``temperature``; and all three at temperature 1 as ``raw_bins``,
    ``raw_class_bins``, ``raw_sums``. In a multilabel task every answer (a pixel and a class)
    stands for a pixel.

    Bin b holds probabilities in (b/B, (b+1)/B], the first one 0 as well.

    Args:
        labels: What prediction and target mean.
        bins: B, equally wide bins between 0 and 1.
        **kwargs: As for every `torchmetrics.Metric`.

    Raises:
        UserError: ``bins`` is not between 1 and 1000.
    """

    def __init__(self, labels: LabelSpace, bins: int = 15, **kwargs: Any) -> None:
        if not 1 <= bins <= MOST_BINS:
            raise UserError(
                f"metric.calibration.bins={bins}: give a number from 1 to {MOST_BINS}, such as 15"
            )
        shapes = {"bins": (bins, 3), "class_bins": (labels.num_classes, bins, 3), "sums": (3,)}
        columns = {"temperature": Column(())}
        columns |= {prefix + name: Column(shapes[name]) for prefix in ("", RAW) for name in KEPT}
        super().__init__(columns, **kwargs)
        self.labels, self.num_bins = labels, bins

    def update(self, scored: Scored) -> None:
        """Count a picture, with its temperature and without."""
        kept = self._count(scored)
        raw = kept if scored.temperature == 1 else self._count(scored.at(1.0))
        warm = torch.tensor(scored.temperature, dtype=torch.float64)
        self.add(scored.index, temperature=warm, **kept, **{RAW + n: v for n, v in raw.items()})

    def _count(self, scored: Scored) -> dict[str, Tensor]:
        many, size, device = self.labels.task == "multilabel", self.num_bins, scored.logits.device
        bins = torch.zeros(size, 3, dtype=torch.float64, device=device)
        class_bins = bins.repeat(self.labels.num_classes, 1, 1)
        squares, surprise = bins.sum(), bins.sum()
        for first, part in scored.probabilities():
            for k, probability in enumerate(part, first):
                real, valid = scored.real(k), scored.valid(k)
                class_bins[k] = binned(probability, real, valid, size)
                miss = (probability - real.to(probability.dtype)).masked_fill_(~valid, 0)
                squares += miss.square_().sum(dtype=torch.float64)
                if many:
                    said = scored.prediction[k] == 1
                    sure = torch.where(said, probability, 1 - probability)
                    bins += binned(sure, said == real, valid, size)
        if not many:
            hit = scored.prediction == scored.target
            bins = binned(scored.confidence, hit, scored.counted, size)
        if self.labels.task == "binary":
            squares /= 2  # both classes miss by the same
        for found in scored.log_probability_of_target():
            surprise -= found.sum(dtype=torch.float64)
        sums = torch.stack([bins[:, 0].sum(), surprise, squares])
        return {"bins": bins, "class_bins": class_bins, "sums": sums}

    def numbers(self, rows: Mapping[str, Array]) -> dict[str, Any]:
        """Derive calibration from what was kept.

        Args:
            rows: The columns.

        Returns:
            Plain containers: ``temperature``; ``ece``, ``classwise_ece`` (0..1), ``nll`` (>= 0,
            in nats), ``brier``; ``per_class``: name -> ece; ``reliability``: for each bin its
            borders, pixels, mean confidence and accuracy; ``as_trained``: the means at
            temperature 1, where that is another one; ``protocol``. What is not defined (no pixel
            counts) is ``None``.
        """
        numbers = self._derive({name: rows[name].sum(0) for name in KEPT})
        temperature = float(rows["temperature"][0]) if len(rows["temperature"]) else 1.0
        if temperature != 1:
            raw = self._derive({name: rows[RAW + name].sum(0) for name in KEPT})
            numbers["as_trained"] = {n: raw[n] for n in ("ece", "classwise_ece", "nll", "brier")}
            numbers["as_trained"]["reliability"] = raw["reliability"]
        words = {**PROTOCOL, "brier": BRIER[self.labels.task], "bins": f"{self.num_bins}, equally wide"}
        if self.labels.task == "multilabel":
            words["answers"] = "every pixel and class is an answer of its own, and counts as a pixel"
        return {"temperature": temperature, **numbers, "protocol": words}

    def _derive(self, total: Mapping[str, Array]) -> dict[str, Any]:
        pixels, surprise, squares = total["sums"].tolist()
        shown = ~np.isin(np.arange(self.labels.num_classes), list(self.ignored))
        per_class = calibration_error(total["class_bins"])
        per_class[list(self.ignored)] = np.nan
        return {
            "ece": plain(float(calibration_error(total["bins"]))),
            "classwise_ece": plain(float(per_class[shown].mean())) if shown.any() else None,
            "nll": surprise / pixels if pixels else None,
            "brier": squares / pixels if pixels else None,
            "per_class": {n: {"ece": plain(e)} for n, e in zip(self.labels.names, per_class, strict=True)},
            "reliability": _reliability(total["bins"]),
        }


def binned(probability: Tensor, hit: Tensor, valid: Tensor, bins: int) -> Tensor:
    """Sort probabilities into bins.

    Args:
        probability: ``[...]``, 0..1.
        hit: ``[...]`` bool, whether that came true.
        valid: ``[...]`` bool, what counts.
        bins: B.

    Returns:
        ``[B, 3]`` float64: values, their sum, and how many of them are hits.
    """
    counts = torch.zeros(2 * bins + 1, dtype=torch.int64, device=probability.device)
    sums = counts.double()
    parts = (values.flatten().split(PIECE) for values in (probability, hit, valid))
    for p, came, counted in zip(*parts, strict=True):
        code = (p * bins).ceil_().sub_(1).clamp_(0, bins - 1).to(torch.int16)
        code.add_(came, alpha=bins).masked_fill_(~counted, 2 * bins)
        counts += torch.bincount(code, minlength=2 * bins + 1)
        # Not `bincount` with weights, which is another number each time on a GPU.
        sums.index_add_(0, code.long(), p.double())
    number, mass = counts[:-1].view(2, bins).double(), sums[:-1].view(2, bins)
    return torch.stack([number.sum(0), mass.sum(0), number[1]], 1)


def calibration_error(bins: Array) -> Array:
    """Expected calibration error of ``[..., B, 3]`` bins: ``[...]``; nan where nothing was counted."""
    pixels = bins[..., 0].sum(-1)
    gap = np.abs(bins[..., 1] - bins[..., 2]).sum(-1)
    return np.where(pixels > 0, gap / np.where(pixels > 0, pixels, 1), np.nan)


def _reliability(bins: Array) -> list[dict[str, float | int | None]]:
    """What the reliability diagram shows, bin by bin."""
    count = len(bins)
    return [
        {
            "low": b / count,
            "high": (b + 1) / count,
            "pixels": int(pixels),
            "confidence": confidence / pixels if pixels else None,
            "accuracy": hits / pixels if pixels else None,
        }
        for b, (pixels, confidence, hits) in enumerate(bins.tolist())
    ]
