"""best.ckpt, also in a run folder that was moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint

from segkit.lost import lost

SCORES = ("best_model_path", "best_model_score", "kth_best_model_path", "kth_value", "current_score")


class Best(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, which knows what its file really holds.

    Lightning forgets the best score when the folder has another name than in the checkpoint,
    and the next epoch, however poor, replaces the best. And it takes a checkpoint for written
    that the disk had no room for: here the best score remains that of the file, so that the
    next epoch that is better than the file is written.
    """

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save if it is the best."""
        with self._honest(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save if it is the best and ``save_on_train_epoch_end`` is off."""
        with self._honest(trainer):
            super().on_validation_end(trainer, pl_module)

    @contextmanager
    def _honest(self, trainer: lightning.Trainer) -> Iterator[None]:
        before = {key: getattr(self, key) for key in SCORES} | {"best_k_models": dict(self.best_k_models)}
        yield
        failed = f"{self.filename}.ckpt" in lost()
        if trainer.strategy.broadcast(failed) if trainer.world_size > 1 else failed:
            vars(self).update(before)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what was kept, with paths in the folder of today."""
        self.current_score = state_dict["current_score"]  # Lightning keeps it and does not take it back
        if state_dict.get("dirpath") is None or self.dirpath is None:
            return super().load_state_dict(state_dict)

        def here(path: str) -> str:
            # Lightning deletes what it takes for an old best: no other file, whatever stands there.
            return str(Path(self.dirpath or "") / Path(path).name) if path.endswith(".ckpt") else ""

        moved = {**state_dict, "dirpath": self.dirpath}
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            moved[key] = here(state_dict[key])
        moved["best_k_models"] = {here(k): v for k, v in state_dict["best_k_models"].items()}
        return super().load_state_dict(moved)
