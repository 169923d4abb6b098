"""last.ckpt: what a run that was stopped or killed goes on from."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from segkit.callback.board import Board
from segkit.files import sync
from segkit.lost import spared
from segkit.stop import asked
from segkit.types import Batch, UserError

log = logging.getLogger(__name__)

NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")
SIGNALS = tuple(getattr(signal, n) for n in NAMES if hasattr(signal, n))


class Last(Checkpoint):
    """Writes ``checkpoints/last.ckpt`` after epochs, and within them every so many steps or minutes.

    Always between two optimiser steps, so that weights, optimiser, random numbers and the
    loader's position belong together; a run that goes on from it ends as if it had never been
    stopped. The one before is kept as ``previous.ckpt``, in case a disk damages the last.

    Ctrl-C, SIGTERM, SIGUSR1 (which SLURM sends before it takes a machine away) and SIGUSR2
    (submitit's) are noted, the step at hand is finished, the checkpoint written, and whoever
    listened to the signal before training decides what comes next: Python and the command stop,
    submitit queues the job again. During a validation that is when it ends. The same signal once
    more stops at once, and saves nothing. With several processes it is enough that one gets it.

    Args:
        every_n_epochs: Epochs between two.
        every_n_steps: Optimiser steps between two within an epoch; ``None``: none.
        every_minutes: Minutes between two within an epoch; ``None``: none.

    Raises:
        UserError: A value is not above 0.
    """

    def __init__(
        self, every_n_epochs: int = 1, every_n_steps: int | None = None, every_minutes: float | None = None
    ) -> None:
        given = {"every_n_epochs": every_n_epochs, "every_n_steps": every_n_steps}
        for key, value in {**given, "every_minutes": every_minutes}.items():
            if value is not None and not value > 0:
                raise UserError(f"callback.last.{key}={value}: must be above 0, or null")
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self.every_minutes = every_minutes
        self.stopped_by: int | None = None
        self._saved_at, self._step = 0.0, 0
        self._before: dict[int, Any] = {}

    # ---- when ---------------------------------------------------------------------------

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Remember who listens to signals, before Lightning does."""
        if threading.current_thread() is threading.main_thread():
            found = {number: signal.getsignal(number) for number in SIGNALS}
            self._before = {k: v for k, v in found.items() if v is not None}  # None: not Python's to change

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock, listen for signals, and see whether early stopping has ended this run before."""
        if any(_has_ended(c) for c in trainer.callbacks if isinstance(c, EarlyStopping)):  # type: ignore[attr-defined]
            log.warning(
                "early stopping has ended this run; callback.early_stopping=null goes on all the same"
            )
            trainer.should_stop = True  # which is no part of a checkpoint
        self._saved_at, self._step = time.monotonic(), trainer.global_step
        self.stopped_by = self.stopped_by or asked()  # what a library has swallowed since training was begun
        for number in self._before:
            signal.signal(number, self._note)

    def on_test_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Nothing is lost by stopping a test at once; Lightning would go on with it."""
        self._restore()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Save if it is time to, behind an optimiser step that does not end an epoch."""
        if trainer.global_step == self._step:
            return  # within a window
        self._step = trainer.global_step
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return  # the end of the epoch comes next
        stop = self._asked(trainer)
        if stop or self._due(trainer):
            self._save(trainer)
        if stop:
            self._hand_on()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save."""
        stop = self._asked(trainer)
        if stop or (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._save(trainer)
        if stop:
            self._hand_on()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Heed a signal that came behind the last step."""
        if self._asked(trainer):
            self._hand_on()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Leave signals as they were."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        again = self.stopped_by == number
        self.stopped_by = number
        if again:
            self._hand_on()
        log.warning("stopping after this step; once more to stop at once")

    def _asked(self, trainer: lightning.Trainer) -> bool:
        """Whether any process was asked to stop; then all know by which signal."""
        if trainer.world_size == 1:
            return self.stopped_by is not None
        mine = torch.tensor(self.stopped_by or 0, device=trainer.strategy.root_device)
        agreed = int(trainer.strategy.reduce(mine, reduce_op="max"))
        if agreed:  # else a signal that came just now waits for the next time
            self.stopped_by = agreed
        return agreed > 0

    def _hand_on(self) -> None:
        """Let who listened to the signal before decide; training goes on if he does nothing."""
        number, self.stopped_by = self.stopped_by, None
        handler = self._before.get(number or 0)
        if not callable(handler):
            raise KeyboardInterrupt
        handler(number, None)

    def _due(self, trainer: lightning.Trainer) -> bool:
        if self.every_n_steps and trainer.global_step % self.every_n_steps == 0:
            return True
        if self.every_minutes is None:
            return False
        due = time.monotonic() - self._saved_at >= 60 * self.every_minutes
        return trainer.strategy.broadcast(due) if trainer.world_size > 1 else due

    # ---- how ----------------------------------------------------------------------------

    def _save(self, trainer: lightning.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # set outside the class
            return
        folder = Path(trainer.default_root_dir) / "checkpoints"
        for logger in trainer.loggers:
            if isinstance(logger, Board):
                logger.save()
        if trainer.is_global_zero:
            with spared("what the run folder holds beside checkpoints"):
                sync(folder.parent)  # what the checkpoint counts as done is on disk before it
            keep_previous(folder / "last.ckpt")
        trainer.save_checkpoint(folder / "last.ckpt")
        self._saved_at = time.monotonic()


def _has_ended(early_stopping: EarlyStopping) -> bool:
    """Whether it has asked for the end, also in the life before the last resume."""
    waited = early_stopping.wait_count >= max(1, early_stopping.patience)
    return waited or early_stopping.stopped_epoch > 0


def keep_previous(last: Path) -> None:
    """Keep what is called ``last.ckpt`` now under the name ``previous.ckpt`` too."""
    if not last.is_file():
        return
    spare = last.with_name(".previous.partial")
    spare.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a file system without hard links keeps one checkpoint only
        os.link(last, spare)
        spare.replace(last.with_name("previous.ckpt"))
    spare.unlink(missing_ok=True)  # it stays where both are one file: nothing came behind `previous`
