"""A few validation pictures, the same in every epoch: image, target, prediction, errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from segkit.callback.board import Board
from segkit.callback.state import is_best, writes_files
from segkit.files import write_png
from segkit.lost import spared
from segkit.metric.counts import OverlapCounts
from segkit.metric.overlap import overlap
from segkit.metric.scored import Scored
from segkit.model.whole import picture_logits
from segkit.report.panel import Picture, prediction_panel, prediction_sheet
from segkit.types import Batch, LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.types import Array


class Pictures(Callback):
    """Shows what the network makes of pictures spread evenly over the validation part.

    Each epoch they go to TensorBoard; those of the best epoch are in ``predictions/`` of the
    run folder, one file each and ``all.png`` with all of them. In the steps of a validation
    they are only collected; they are drawn when it has ended. With several processes the
    first one shows pictures of its share.

    Args:
        count: How many pictures; 0 = none.
        every: Epochs between two sets in TensorBoard.
        width: Width of the drawings in pixels.
    """

    def __init__(self, count: int = 4, every: int = 1, width: int = 1600) -> None:
        for key, value, low in (("count", count, 0), ("every", every, 1), ("width", width, 400)):
            if value < low:
                raise UserError(f"callback.pictures.{key}={value}: must be at least {low}")
        self.count, self.every, self.width = count, every, width
        self._wanted: frozenset[int] = frozenset()
        self._seen = 0
        self._pictures: list[Picture] = []
        self._panels: list[Array] = []

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Forget the pictures of the last validation."""
        self._seen, self._pictures, self._panels = 0, [], []

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collect the wanted samples of this batch, with the weights that are being measured."""
        if not self._shows(trainer):
            return
        if self._seen == 0:
            self._wanted = spread(self.count, _samples(trainer, len(batch.names)))
        for position in range(len(batch.names)):
            if self._seen + position in self._wanted:
                self._pictures.append(_picture(pl_module, pl_module.labels, _one(batch, position)))
        self._seen += len(batch.names)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Show the pictures in TensorBoard."""
        if not self._shows(trainer) or trainer.current_epoch % self.every:
            return
        boards = [logger for logger in trainer.loggers if isinstance(logger, Board)]
        for board in boards:
            for picture, panel in zip(self._pictures, self._drawn(pl_module.labels), strict=True):
                tag = f"validation/{picture.name}"
                # The step of the epoch's numbers: a resumed run repeats what is at global_step.
                board.show_image(tag, panel, trainer.global_step - 1)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Keep the pictures of the best epoch as files."""
        if not self._shows(trainer) or not self._pictures or not is_best(trainer):
            return
        folder, labels = Path(trainer.default_root_dir) / "predictions", pl_module.labels
        with spared("predictions/"):
            for number, (picture, panel) in enumerate(zip(self._pictures, self._drawn(labels), strict=True)):
                write_png(folder / f"{number}_{picture.name.replace('/', '_')}.png", panel)
            write_png(folder / "all.png", prediction_sheet(self._pictures, labels, self.width))

    def _drawn(self, labels: LabelSpace) -> list[Array]:
        """The panels of this epoch, drawn once for TensorBoard and files together."""
        if not self._panels:
            self._panels = [prediction_panel(*p[:3], labels, *p[3:], self.width) for p in self._pictures]
        return self._panels

    def _shows(self, trainer: lightning.Trainer) -> bool:
        fitting = trainer.state.fn == "fit" and not trainer.sanity_checking
        return bool(self.count) and fitting and writes_files(trainer)


def spread(count: int, total: int) -> frozenset[int]:
    """Positions of ``count`` samples in the middle of equal parts of ``total``: 1, 3, 5, 7 of 8."""
    count = min(count, total)
    return frozenset((2 * i + 1) * total // (2 * count) for i in range(count))


def _samples(trainer: lightning.Trainer, batch_size: int) -> int:
    """How many samples this process validates on."""
    loader: Any = trainer.val_dataloaders
    return min(len(loader.sampler), int(trainer.num_val_batches[0]) * batch_size)


def _one(batch: Batch, i: int) -> Batch:
    """Sample i alone, without padding."""
    (h, w), (target_h, target_w) = batch.image_size[i], batch.target_size[i]
    return Batch(
        image=batch.image[i : i + 1, :, :h, :w],
        target=batch.target[i : i + 1, ..., :target_h, :target_w],
        index=batch.index[i : i + 1],
        names=batch.names[i : i + 1],
        image_size=batch.image_size[i : i + 1],
        target_size=batch.target_size[i : i + 1],
    )


@torch.no_grad()
def _picture(net: Any, labels: LabelSpace, sample: Batch) -> Picture:
    logits, own = next(picture_logits(net, sample))
    scored = Scored(logits, own, int(sample.index[0]), labels, getattr(net, "threshold", 0.5))
    counts = OverlapCounts(labels, sync_on_compute=False).to(logits.device)  # one process asks
    counts.update(scored)
    miou = overlap(counts.count(), labels)["mean"]["miou"]
    image = sample.image[0].permute(1, 2, 0).cpu().numpy()
    target, hard = own.cpu().numpy(), scored.prediction.cpu().numpy()
    numbers = "" if miou is None else f"mIoU {miou:.3f}"
    return Picture(np.ascontiguousarray(image), target, hard, sample.names[0], numbers)
