"""Network and batches -> counts."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from segkit.metric.counts import Counts, OverlapCounts
from segkit.model.whole import logits_at_target
from segkit.types import Batch, LabelSpace


@torch.inference_mode()
def measure(
    net: nn.Module,
    labels: LabelSpace,
    batches: Iterable[Batch],
    threshold: float = 0.5,
) -> Counts:
    """Count over every pixel of every picture.

    Args:
        net: uint8 images -> logits (see ``segkit.model.wrapper``); its device is used.
        labels: What the logits mean.
        batches: Evaluation batches, each sample once.
        threshold: Probability from which on a sigmoid output counts as present.

    Returns:
        Counts per image, in the order of the split: the same for any batch size.
    """
    device = next(net.parameters()).device
    counts = OverlapCounts(labels).to(device)
    net.eval()
    for batch in batches:
        target, index = batch.target.to(device, non_blocking=True), batch.index.to(device)
        moved = batch._replace(image=batch.image.to(device, non_blocking=True), target=target, index=index)
        counts.update(labels.predict(logits_at_target(net, moved), threshold), target, index)
    return counts.compute()
