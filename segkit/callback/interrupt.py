"""Ctrl-C keeps what was learned."""

from __future__ import annotations

from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException


class SaveOnInterrupt(Callback):
    """Saves ``last.ckpt`` beside the other checkpoints on Ctrl-C and on SIGTERM.

    Not on other errors: after those nobody knows what state the training is in.
    """

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Save, if a step was taken that can be saved."""
        kept = trainer.checkpoint_callback
        asked = isinstance(exception, KeyboardInterrupt | SIGTERMException)
        if not asked or trainer.global_step == 0 or trainer.state.fn != "fit":
            return  # in a test the weights are those of the best checkpoint
        if isinstance(kept, ModelCheckpoint) and kept.dirpath is not None:
            trainer.save_checkpoint(Path(kept.dirpath) / "last.ckpt")
