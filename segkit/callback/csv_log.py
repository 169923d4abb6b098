"""metrics.csv: one row per epoch, complete at any moment."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback

from segkit.callback.state import writes_files
from segkit.files import write_csv
from segkit.lost import spared
from segkit.types import UserError

FIRST = (
    "epoch",
    "step",
    "lr",
    "train/loss",
    "train/",
    "val/loss",
    "val/miou",
    "val/dice",
    "val/accuracy",
    "val/",
)
LAST = "seconds"


class CsvLog(Callback):
    """Writes ``metrics.csv`` in the run folder after every epoch.

    Epochs count from 0, as in Lightning's checkpoints. A resumed run keeps the rows of the
    epochs that it does not repeat. The checkpoint of an epoch must be saved after its row
    (``save_on_train_epoch_end: true``): a kill between the two then repeats the epoch
    instead of losing its row.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, str]] = []
        self._started = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take over the rows before the epoch at which training starts."""
        path = _path(trainer)
        known = trainer.is_global_zero and path.is_file()
        self._rows = _read(path, trainer.current_epoch) if known else []

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add the row of this epoch and write the file anew."""
        metrics = {k: f"{float(v):.7g}" for k, v in trainer.callback_metrics.items() if _wanted(k)}
        row = {
            "epoch": str(trainer.current_epoch),
            "step": str(trainer.global_step),
            **metrics,
            LAST: f"{time.perf_counter() - self._started:.3f}",
        }
        self._rows.append(row)
        if writes_files(trainer):
            columns = sorted(dict.fromkeys(k for row in self._rows for k in row), key=_place)
            with spared("metrics.csv"):
                write_csv(_path(trainer), columns, self._rows, durable=True)


def _path(trainer: lightning.Trainer) -> Path:
    return Path(trainer.default_root_dir) / "metrics.csv"


def _read(path: Path, before: int) -> list[dict[str, str]]:
    """The rows of the epochs before one.

    Raises:
        UserError: It is not what training writes.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file, restval="") if int(row["epoch"]) < before]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: not the table that training writes; mend the file, or remove it") from error


def _wanted(key: str) -> bool:
    """Whether a logged number belongs to an epoch (and not to a single step)."""
    return key == "lr" or (key.startswith(("train/", "val/")) and not key.endswith(("_step", "_epoch")))


def _place(column: str) -> int:
    """Position of a column: named ones first, then the rest of its group; a stable sort keeps class order."""
    if column == LAST:
        return len(FIRST)
    if column in FIRST:
        return FIRST.index(column)
    return FIRST.index(column.split("/")[0] + "/")
