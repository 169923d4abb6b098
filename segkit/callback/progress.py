"""What a person sees while training runs: loss, mIoU and time left."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from torch import Tensor


class Progress(TQDMProgressBar):
    """One bar over the whole training, and one line for each finished epoch.

    Where the output is no terminal (a file, a batch system) there are only the lines.
    Epochs count from 0, as in every file of a run.

    Args:
        refresh_rate: Micro-batches between two updates of the bar. Each reads the loss, for
            which a GPU has to wait. 0 shows nothing at all.
    """

    BAR_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left{postfix}"

    def __init__(self, refresh_rate: int = 5) -> None:
        super().__init__(refresh_rate=refresh_rate)
        self._loss = math.nan
        self._first_epoch, self._started = 0, 0.0

    @property
    def is_enabled(self) -> bool:
        """Whether bars are drawn: not where nobody could see them move."""
        return super().is_enabled and sys.stdout.isatty()

    def init_train_tqdm(self) -> Tqdm:
        """Make the bar over all epochs; what a resumed run did before does not count as speed."""
        batches, epochs = self.total_train_batches, self.trainer.max_epochs
        finite = epochs not in (None, -1) and math.isfinite(batches)
        return Tqdm(
            desc="training",
            total=int(batches * epochs) if finite and epochs else None,
            initial=int(batches * self.trainer.current_epoch) if finite else 0,
            disable=self.is_disabled,
            leave=True,
            dynamic_ncols=True,
            file=sys.stdout,
            smoothing=0,
            bar_format=self.BAR_FORMAT,
        )

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Start the bar and the clock."""
        super().on_train_start(trainer, *_)
        self._first_epoch, self._started = trainer.current_epoch, time.perf_counter()

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Name the epoch; the bar goes on where it was."""
        self.train_progress_bar.set_description(_epoch(trainer))
        self._loss = math.nan

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move the bar."""
        if not self._should_update(batch_idx + 1, self.total_train_batches):  # type: ignore[arg-type]
            return
        # Lightning hands out the loss divided by the number of micro-batches in a window.
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        self._loss = loss if math.isnan(self._loss) else 0.8 * self._loss + 0.2 * loss
        bar = self.train_progress_bar
        bar.n = trainer.current_epoch * self.total_train_batches + batch_idx + 1
        bar.set_postfix(self.get_metrics(trainer, pl_module))

    def get_metrics(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What stands behind the bar: a running mean of the loss, and the last mIoU."""
        shown: dict[str, int | str | float | dict[str, float]] = {}
        if not math.isnan(self._loss):
            shown["loss"] = f"{self._loss:.4f}"
        if "val/miou" in trainer.callback_metrics:
            shown["mIoU"] = f"{float(trainer.callback_metrics['val/miou']):.4f}"
        return shown

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the line of this epoch."""
        if self._refresh_rate <= 0 or not self._enabled or not trainer.is_global_zero:
            return
        gone = time.perf_counter() - self._started
        line = epoch_line(trainer, gone, trainer.current_epoch + 1 - self._first_epoch)
        if self.is_enabled:
            self.train_progress_bar.write(line, file=sys.stdout)
        else:
            print(line, flush=True)


def epoch_line(trainer: lightning.Trainer, gone: float, epochs: int) -> str:
    """One line for an epoch: numbers and time.

    Args:
        trainer: At the end of an epoch.
        gone: Seconds since training started.
        epochs: Epochs since training started.

    Returns:
        Such as ``epoch 3/19  train loss 0.5120  val loss 0.6001  mIoU 0.6130  4 min gone  21 min left``.
    """
    numbers: dict[str, Tensor] = trainer.callback_metrics
    names = {"train/loss": "train loss", "val/loss": "val loss", "val/miou": "mIoU"}
    parts = [_epoch(trainer), *(f"{t} {float(numbers[k]):.4f}" for k, t in names.items() if k in numbers)]
    parts.append(f"{duration(gone)} gone")
    if trainer.max_epochs not in (None, -1):
        left = (trainer.max_epochs or 0) - trainer.current_epoch - 1
        parts.append(f"{duration(gone / max(1, epochs) * left)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Say a time as a person would: ``12 s``, ``4 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _epoch(trainer: lightning.Trainer) -> str:
    """Counted from 1 for people; files and TensorBoard count from 0, as Lightning does."""
    end = "" if trainer.max_epochs in (None, -1) else f" of {trainer.max_epochs}"
    return f"epoch {trainer.current_epoch + 1}{end}"
