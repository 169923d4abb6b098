"""Network and batches -> the temperature of its probabilities."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from torch import nn

from segkit.error import plural
from segkit.infer.measure import measure
from segkit.metric.temperature import HIGH, LOW, Fitted, LogitSample, fit_temperature
from segkit.types import Batch, LabelSpace

log = logging.getLogger(__name__)


def calibrate(net: nn.Module, labels: LabelSpace, batches: Iterable[Batch], images: int) -> Fitted | None:
    """Fit a temperature in one pass over some pictures.

    With several processes each looks at its own batches, and all get the same temperature.

    Args:
        net: uint8 images -> logits; its device is used.
        labels: What the logits mean.
        batches: Evaluation batches of pictures that were not trained on.
        images: How many pictures there are in all.

    Returns:
        See `segkit.metric.temperature.fit_temperature`.
    """
    sample = LogitSample(labels, images)
    measure(net, labels, batches, [sample])
    return fit_temperature(sample.compute()["pixels"], labels)


def say(fitted: Fitted | None) -> None:
    """Log what came of it, in one line."""
    if fitted is None:
        log.warning(
            "no temperature between %g and %g fits the validation part: probabilities stay as trained",
            LOW,
            HIGH,
        )
        return
    log.info(
        "temperature %.3g (fitted on %s): NLL %.3g -> %.3g, ECE %.3g -> %.3g",
        fitted.temperature,
        plural(fitted.images, "validation picture"),
        *fitted.nll,
        *fitted.ece,
    )
