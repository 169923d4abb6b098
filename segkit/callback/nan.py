"""A loss that is no number ends the training, and never reaches a checkpoint."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor

from segkit.types import Batch, UserError


class _Step(NamedTuple):
    loss: Tensor
    step: int
    epoch: int
    names: tuple[str, ...]


class StopOnNan(Callback):
    """Stops when the training loss is nan or infinite, and refuses to save such weights.

    On a CPU every step is checked. Reading a number from a GPU makes the host wait until the
    device has caught up, so there the losses stay on the device and are read together every
    ``every`` steps, and in any case before a validation and before a checkpoint is written.
    A checkpoint is also refused when the weights themselves are no numbers: a gradient can
    overflow although the loss did not.

    Args:
        every: Micro-batches between two looks at the losses on a GPU.

    Raises:
        UserError: Says at which step and on which samples, which checkpoint is still good,
            and what to try.
    """

    def __init__(self, every: int = 20) -> None:
        if every < 1:
            raise UserError(f"callback.nan.every={every}: must be at least 1")
        self.every = every
        self._waiting: list[_Step] = []

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Remember the loss of this step; look at it now or a little later."""
        loss = outputs["loss"].detach()
        self._waiting.append(_Step(loss, trainer.global_step, trainer.current_epoch, batch.names))
        if loss.device.type == "cpu" or len(self._waiting) >= self.every:
            self._look(trainer)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look before time is spent on measuring."""
        self._look(trainer)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look before anything is written: the checkpoint on disk stays as it is."""
        self._look(trainer)
        floats = [t for t in checkpoint["state_dict"].values() if t.is_floating_point()]
        if floats and not bool(torch.stack([t.isfinite().all() for t in floats]).all()):
            _stop(
                trainer, f"weights are nan or infinite at step {trainer.global_step}", trainer.current_epoch
            )

    def _look(self, trainer: lightning.Trainer) -> None:
        """Read the losses that wait, all at once."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        for value, seen in zip(torch.stack([s.loss for s in waiting]).tolist(), waiting, strict=True):
            if not -float("inf") < value < float("inf"):
                names = ", ".join(seen.names[:8]) + (", ..." if len(seen.names) > 8 else "")
                _stop(trainer, f"loss is {value} at step {seen.step}", seen.epoch, f" on samples {names}")


def _stop(trainer: lightning.Trainer, what: str, epoch: int, where: str = "") -> NoReturn:
    rate = trainer.optimizers[0].param_groups[-1]["lr"] if trainer.optimizers else None
    now = "" if rate is None else f" (now {rate:.3g})"
    raise UserError(
        f"{what} (epoch {epoch}){where}; {_last_good(trainer)}; try a smaller optimizer.lr{now}, "
        "trainer.gradient_clip_val=1, or trainer.precision=32-true, and look at these samples"
    )


def _last_good(trainer: lightning.Trainer) -> str:
    """The newest checkpoint on disk: none is written without having been looked at."""
    kept = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
    paths = [p for c in reversed(kept) for p in (c.last_model_path, c.best_model_path) if p]
    return f"the last good checkpoint is {paths[0]}" if paths else "no checkpoint was saved yet"
