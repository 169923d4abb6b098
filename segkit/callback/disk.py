"""Checkpoint -> disk, whole and durable."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from segkit.files import write_bytes


class DurableIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, waits until the disk has it, and moves it there.

    Neither a killed process nor a power cut leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to the file ``path``."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_bytes(Path(path), content.getvalue(), durable=True)
