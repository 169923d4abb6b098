"""Network and batches -> what the meters keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from segkit.metric.scored import Scored
from segkit.metric.table import ImageTable
from segkit.model.whole import picture_logits
from segkit.types import Batch, LabelSpace


@torch.inference_mode()
def measure(
    net: nn.Module,
    labels: LabelSpace,
    batches: Iterable[Batch],
    meters: Sequence[ImageTable],
    threshold: float = 0.5,
    temperature: float = 1.0,
    ignored: Sequence[int] = (),
) -> None:
    """Show every picture to every meter.

    What they keep is the same for any batch size.

    Args:
        net: uint8 images -> logits (see ``segkit.model.wrapper``); its device is used.
        labels: What the logits mean.
        batches: Evaluation batches, each sample once.
        meters: What looks at the pictures; moved to the network's device.
        threshold: Probability from which on a sigmoid output counts as present.
        temperature: What logits are divided by before they become probabilities.
        ignored: Classes whose pixels in the targets count nowhere.
    """
    device = next(net.parameters()).device
    meters = [meter.to(device) for meter in meters]
    net.eval()
    for batch in batches:
        image, target = (t.to(device, non_blocking=True) for t in (batch.image, batch.target))
        moved = batch._replace(image=image, target=target)
        for index, (logits, own) in zip(batch.index.tolist(), picture_logits(net, moved), strict=True):
            scored = Scored(logits, own, index, labels, threshold, temperature, ignored)
            for meter in meters:
                meter.update(scored)
