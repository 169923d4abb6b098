"""Whether the epoch that ends is the best so far."""

from __future__ import annotations

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint


def is_best(trainer: lightning.Trainer) -> bool:
    """Ask at the end of a training epoch, before its checkpoint is written.

    Returns:
        True when the number that the first `ModelCheckpoint` watches is better than all
        before, as that callback decides it; also when no callback watches a number, so that
        the last epoch counts.
    """
    kept = trainer.checkpoint_callback
    if not isinstance(kept, ModelCheckpoint) or kept.monitor is None:
        return True
    now = trainer.callback_metrics.get(kept.monitor)
    best = kept.best_model_score
    if now is None or best is None:
        return now is not None
    return bool(now > best.to(now.device) if kept.mode == "max" else now < best.to(now.device))
