"""Samples that could not be read: the same list in every process, in the run folder and in checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from segkit.callback.state import writes_files
from segkit.data.skip import Skips
from segkit.types import Batch


class LeftOut(Callback):
    """Counts what batches lack (``data.on_error=skip``), writes ``skipped.csv`` and stops at the limit.

    Processes exchange what they miss behind each micro-batch and each validation, so that all
    of them stop together. The list is part of a checkpoint: a resumed run counts nothing twice.

    Args:
        limit: How many samples may be left out.
    """

    def __init__(self, limit: int) -> None:
        self.skips = Skips(limit)
        self._new: list[tuple[str, str]] = []

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count."""
        self._new += batch.skipped
        self._exchange(trainer, "train")

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Remember; processes have different numbers of batches."""
        self._new += batch.skipped

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Count, before numbers are made of the rest."""
        self._exchange(trainer, "val")

    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Count, before numbers are made of the rest."""
        self._exchange(trainer, "test" if trainer.datamodule.part("test") else "val")  # type: ignore[attr-defined]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return self.skips.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the list of a checkpoint."""
        self.skips.load_state_dict(state_dict)

    def _exchange(self, trainer: lightning.Trainer, part: str) -> None:
        new, self._new = self._new, []
        if trainer.world_size > 1:
            if not trainer.strategy.reduce_boolean_decision(bool(new), all=False):
                return
            everywhere: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(everywhere, new)
            new = [found for one in everywhere for found in one]
        if not new:
            return
        self.skips.add(part, new)
        if writes_files(trainer):
            self.skips.write(Path(trainer.default_root_dir))
        self.skips.check(part, len(trainer.datamodule.part(part)))  # type: ignore[attr-defined]
