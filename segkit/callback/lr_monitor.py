"""The learning rate of every optimiser step, for TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import LearningRateMonitor


class LrMonitor(LearningRateMonitor):
    """Lightning's monitor, which would end a run that has no logger (``logger=none``)."""

    def on_train_start(self, trainer: lightning.Trainer, *args: Any, **kwargs: Any) -> None:
        """Find the names of the rates, if there is anywhere to log them."""
        if trainer.loggers:
            super().on_train_start(trainer, *args, **kwargs)
