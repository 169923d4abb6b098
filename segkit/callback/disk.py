"""Checkpoint -> disk, whole and durable."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from segkit.files import write_bytes
from segkit.lost import spared


class DurableIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, waits until the disk has it, and moves it there.

    Neither a killed process nor a power cut leaves half a checkpoint. Where the disk is full the
    one before stays, and the run goes on to the next (`segkit.lost`).
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to the file ``path``."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with spared(Path(path).name):
            write_bytes(Path(path), content.getvalue(), durable=True)
