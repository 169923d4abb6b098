"""best.ckpt, also in a run folder that was moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class Best(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, which knows its best score again after the folder was moved.

    Lightning forgets it when the folder has another name than in the checkpoint, and the next
    epoch, however poor, replaces the best.
    """

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
