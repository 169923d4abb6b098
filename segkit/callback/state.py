"""What several callbacks ask the trainer."""

from __future__ import annotations

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint


def writes_files(trainer: lightning.Trainer) -> bool:
    """Whether this process writes into the run folder: the first one, unless it is only a rehearsal."""
    return trainer.is_global_zero and not trainer.fast_dev_run  # type: ignore[attr-defined]  # set outside the class


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
