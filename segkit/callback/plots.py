"""The plots of a training, drawn when it ends."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from segkit.callback.state import is_best, writes_files
from segkit.lost import spared
from segkit.report.bars import class_iou_bars
from segkit.report.confusion import confusion
from segkit.report.curves import curves

log = logging.getLogger(__name__)


class Plots(Callback):
    """Draws ``plots/``: curves over the epochs, and per-class IoU and confusion of the best epoch.

    Also after Ctrl-C. What the best epoch looked like is kept in the checkpoints, so that a
    resumed run can still draw it.

    Args:
        name: Name of the run, for the titles.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._epoch = -1
        self._iou: list[float] = []
        self._confusion: Tensor | None = None

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Keep the numbers of the best epoch so far."""
        if pl_module.measured is None or not is_best(trainer):
            return
        per_class = pl_module.numbers["per_class"]  # without the classes that the protocol ignores
        found = [per_class.get(name, {}).get("iou") for name in pl_module.labels.names]
        self._iou = [math.nan if iou is None else float(iou) for iou in found]
        matrix = pl_module.measured.confusion
        self._confusion = None if matrix is None else torch.from_numpy(matrix.copy())
        self._epoch = trainer.current_epoch

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Draw."""
        if writes_files(trainer):
            with spared("plots/"):
                self._draw(Path(trainer.default_root_dir), pl_module)

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Draw what there is when the user has seen enough."""
        if isinstance(exception, KeyboardInterrupt) and writes_files(trainer) and self._epoch >= 0:
            with spared("plots/"):
                self._draw(Path(trainer.default_root_dir), pl_module)

    def _draw(self, run: Path, pl_module: Any) -> None:
        labels = pl_module.labels
        if (run / "metrics.csv").is_file():
            curves(run / "metrics.csv", run / "plots", self.name, "_".join(pl_module.loss.names))
        else:
            log.warning("%s has no metrics.csv, so there are no curves (callback.csv_log is off)", run)
        if self._iou:
            protocol = f"validation, best epoch ({self._epoch}), classes that occur nowhere left out"
            class_iou_bars(self._iou, labels, run / "plots", self.name, protocol, "val_class_iou")
        if self._confusion is not None:
            confusion(self._confusion.numpy(), labels, run / "plots", self.name, "val_confusion")

    def state_dict(self) -> dict[str, Any]:
        """What the best epoch looked like."""
        return {"epoch": self._epoch, "iou": self._iou, "confusion": self._confusion}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._epoch, self._iou = state_dict["epoch"], state_dict["iou"]
        self._confusion = state_dict["confusion"]
