"""One number that makes probabilities truer: the temperature of Guo et al. 2017, section 4.2."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from segkit.metric.calibration import binned, calibration_error
from segkit.metric.table import Column, ImageTable
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.metric.scored import Scored
    from segkit.types import Array

NUMBERS = 2**22  # logits that are kept of all images together: 16 MiB
MOST, FEWEST = 2000, 16  # pixels that are kept of an image
LOW, HIGH = 0.05, 20.0  # a temperature beyond means that there is nothing to fit
BINS = 15


class LogitSample(ImageTable):
    """Keeps logits and targets of some pixels of every image.

    Which pixels is drawn once, from the index of the image alone, among those that count. Each
    image gives the same number of pixels, or all it has.

    Rows of ``pixels``: index of the image, target (multilabel: K zeros and ones), C logits at the
    size of the target.

    Args:
        labels: What logits and target mean.
        images: How many there will be, so that all of them together stay small.
        **kwargs: As for every `torchmetrics.Metric`.
    """

    def __init__(self, labels: LabelSpace, images: int, **kwargs: Any) -> None:
        self.targets = labels.num_classes if labels.task == "multilabel" else 1
        row = 1 + self.targets + labels.num_logits
        super().__init__({"pixels": Column((row,), torch.float32, ragged=True)}, **kwargs)
        self.labels = labels
        self.most = min(MOST, max(FEWEST, NUMBERS // (row * max(1, images))))

    def update(self, scored: Scored) -> None:
        """Draw from a picture."""
        counted = scored.counted.any(0) if self.labels.task == "multilabel" else scored.counted
        where = counted.flatten().nonzero()[:, 0]
        if len(where) > self.most:
            chosen = np.random.default_rng(scored.index).choice(len(where), self.most, replace=False)
            where = where[torch.from_numpy(np.sort(chosen)).to(where.device)]
        target = scored.target.reshape(self.targets, -1)[:, where].float()
        logits = [part.flatten(1)[:, where].float() for _, part in scored.slices()]
        index = torch.full((1, len(where)), scored.index, device=target.device)
        self.add(scored.index, pixels=torch.cat([index, target, *logits]).T)


class Fitted(NamedTuple):
    """A temperature, and what it does to the pixels that it was fitted on.

    Attributes:
        temperature: What logits are to be divided by.
        images: Pictures that gave pixels.
        nll: Mean of -ln p(target) before and after.
        ece: Calibration error of the predicted class (15 bins) before and after.
    """

    temperature: float
    images: int
    nll: tuple[float, float]
    ece: tuple[float, float]


def fit_temperature(pixels: Array, labels: LabelSpace) -> Fitted | None:
    """Find the temperature with the smallest negative log-likelihood.

    That is convex in 1 / T, so there is one minimum. All classes share one temperature, in binary
    and multilabel tasks too.

    Args:
        pixels: ``[m, ...]`` rows as `LogitSample` keeps them.
        labels: What they mean.

    Returns:
        The temperature, 1 where no other is better; ``None`` where no pixel counts, a logit is not
        finite, or the best temperature is below 0.05 or above 20 (every answer is right, or the
        logits know nothing of the target).
    """
    logits, target = _answers(pixels, labels)
    if not len(target) or not np.isfinite(logits).all():
        return None
    low, high = math.log(LOW), math.log(HIGH)
    found = minimize_scalar(
        lambda t: _nll(logits, target, math.exp(t)), bounds=(low, high), options={"xatol": 1e-6}
    )
    before, after = _nll(logits, target, 1.0), float(found.fun)
    if min(found.x - low, high - found.x) < 1e-3:
        return None
    temperature = math.exp(found.x) if after < before else 1.0
    images = len(np.unique(pixels[:, 0]))
    ece = (_ece(logits, target, 1.0), _ece(logits, target, temperature))
    return Fitted(temperature, images, (before, min(before, after)), ece)


def _answers(pixels: Array, labels: LabelSpace) -> tuple[Array, Array]:
    """Logits ``[n, K]`` and targets ``[n]`` of a softmax; each sigmoid is one over 0 and its logit."""
    width = labels.num_classes if labels.task == "multilabel" else 1
    target, logits = pixels[:, 1 : 1 + width].astype(np.int64), pixels[:, 1 + width :].astype(np.float64)
    if labels.task == "multiclass":
        return logits, target[:, 0]
    known = target != labels.ignore_index
    logits, target = logits[known], target[known]
    return np.stack([np.zeros_like(logits), logits], 1), target


def _nll(logits: Array, target: Array, temperature: float) -> float:
    """Mean of -ln p(target)."""
    scaled = logits / temperature
    own = np.take_along_axis(scaled, target[:, None], 1)[:, 0]
    return float((logsumexp(scaled, axis=1) - own).mean())


def _ece(logits: Array, target: Array, temperature: float) -> float:
    """Calibration error of the answer with the largest probability."""
    scaled = logits / temperature
    sure = np.exp(scaled.max(1) - logsumexp(scaled, axis=1))
    hit, valid = torch.from_numpy(logits.argmax(1) == target), torch.ones(len(sure), dtype=torch.bool)
    return float(calibration_error(binned(torch.from_numpy(sure), hit, valid, BINS).numpy()))
