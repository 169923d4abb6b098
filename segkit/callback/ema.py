"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from segkit.types import UserError

RAW = "raw_state_dict"  # key of the weights that the optimiser works on, in a checkpoint


class Ema(Callback):
    """Validates, tests and keeps averaged weights, while the optimiser goes on with its own.

    After each optimiser step ``average += (1 - d) * (weights - average)``, for parameters and
    buffers (batch-norm statistics), where ``d = min(decay, (1 + t) / (10 + t))`` after t steps:
    early weights, which are poor, are soon forgotten (the rule of TensorFlow's
    ``ExponentialMovingAverage``). A checkpoint has the averaged weights in ``state_dict``, where
    every reader looks, and those of the optimiser in ``raw_state_dict``. Lightning's
    ``EMAWeightAveraging`` has no such warm-up, and measures the raw weights when
    ``trainer.test(ckpt_path=...)`` follows ``fit``.

    Args:
        decay: Share of the old average that is kept at each step, such as 0.999; 0 switches
            averaging off (a checkpoint that was averaged then goes on with the raw weights).

    Raises:
        UserError: ``decay`` is not in [0, 1).
    """

    def __init__(self, decay: float = 0.0) -> None:
        if not 0 <= decay < 1:
            raise UserError(
                f"callback.ema.decay={decay}: must be at least 0 (off) and below 1, such as 0.999"
            )
        self.decay = decay
        self._updates, self._step = 0, 0
        # The average; while `_swapped` (during validation) the module has it and this has the raw weights.
        self._other: dict[str, Tensor] | None = None
        self._swapped = False

    # ---- training -------------------------------------------------------------------

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start from the weights that are there, or go on with the average of a checkpoint."""
        if not self.decay:
            return
        now = pl_module.state_dict()
        if self._other is None:
            self._other = {k: v.detach().clone() for k, v in now.items()}
        else:
            self._other = {k: v.to(now[k].device) for k, v in self._other.items()}
        self._step = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Update, if this micro-batch ended a window whose step was taken."""
        if self._other is None or trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        if pl_module.left_out:
            return
        decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
        for name, value in pl_module.state_dict().items():
            if value.is_floating_point():
                self._other[name].lerp_(value, 1 - decay)
            else:  # a counter
                self._other[name].copy_(value)
        self._updates += 1

    # ---- measuring ------------------------------------------------------------------

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Measure the average."""
        if trainer.state.fn == "fit":
            self._swap(pl_module, True)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Give the optimiser its weights back."""
        self._swap(pl_module, False)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Leave no half of a validation behind."""
        self._swap(pl_module, False)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Leave the average in the module: what follows measures it."""
        self._swap(pl_module, True)
        self._other, self._swapped = None, False

    @torch.no_grad()
    def _swap(self, pl_module: lightning.LightningModule, wanted: bool) -> None:
        if self._other is None or wanted == self._swapped:
            return
        for name, value in pl_module.state_dict().items():
            kept = value.clone()
            value.copy_(self._other[name])
            self._other[name].copy_(kept)
        self._swapped = wanted

    # ---- checkpoints ----------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """How many updates the average has seen."""
        return {"updates": self._updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._updates = state_dict["updates"]

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the average where readers look, and the raw weights beside it."""
        if self._other is None:
            return
        module, other = checkpoint["state_dict"], {k: self._other[k] for k in checkpoint["state_dict"]}
        average, raw = (module, other) if self._swapped else (other, module)
        checkpoint["state_dict"], checkpoint[RAW] = average, raw

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Going on with training: separate the two again. Everyone else wants the average alone."""
        if trainer.state.fn != "fit" or RAW not in checkpoint:
            return
        if self.decay:
            self._other = {k: v.detach().clone() for k, v in checkpoint["state_dict"].items()}
        pl_module.load_state_dict(checkpoint[RAW])
