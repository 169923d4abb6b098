"""What training means, for any network: the LightningModule.

It takes finished objects and never sees a configuration. What differs between tasks lives
in the loss, the metric and the label space.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.optim import Optimizer

from segkit.data.window import recut
from segkit.loss.loss import Loss
from segkit.metric.counts import Counts, OverlapCounts
from segkit.metric.overlap import overlap
from segkit.metric.protocol import Protocol
from segkit.metric.scored import Scored
from segkit.metric.table import ImageTable
from segkit.metric.weighted import WeightedMeans
from segkit.model.whole import picture_logits
from segkit.types import Batch, LabelSpace, UserError

MakeOptimizer = Callable[[nn.Module], Optimizer]
Schedules = list[dict[str, Any]]
MakeSchedule = Callable[[Optimizer, int], Schedules]


class SegmentationModule(lightning.LightningModule):
    """Trains and measures a network.

    Args:
        net: uint8 images ``[N, 3, H, W]`` -> logits ``[N, C, H, W]`` (see ``segkit.model.wrapper``).
        loss: Logits and target -> scalar.
        labels: What class indices mean.
        optimizer: Network -> optimiser.
        scheduler: Optimiser and number of optimiser steps -> Lightning's list of schedules.
        passport: Plain containers that every checkpoint carries, so that it explains itself.
        channels_last: Run the network with channels-last memory (faster on GPUs).
        protocol: How overlap numbers are defined.
        meters: What else the test looks at; validation counts overlaps alone.
        threshold: Probability from which on a sigmoid output counts as present.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        labels: LabelSpace,
        optimizer: MakeOptimizer,
        scheduler: MakeSchedule,
        passport: Mapping[str, Any],
        channels_last: bool = False,
        protocol: Protocol | None = None,
        meters: Mapping[str, ImageTable] | None = None,
        threshold: float = 0.5,
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.net = net.to(memory_format=self.memory_format)
        self.loss, self.labels = loss, labels
        self.make_optimizer, self.make_schedule = optimizer, scheduler
        self.passport = dict(passport)
        self.protocol, self.threshold = protocol or Protocol(), threshold
        self.ignored = self.protocol.ignored(labels)
        self.overlap_counts = OverlapCounts(labels)
        self.meters = nn.ModuleDict(dict(meters or {}))
        self.loss_means = WeightedMeans(len(loss.names))
        self.measured: Counts | None = None  # of the last validation or test, for callbacks and reports
        self.numbers: dict[str, Any] = {}  # what `overlap` makes of it
        self.tables: dict[str, dict[str, Any]] = {}  # what the meters kept of the last test
        self.temperature = 1.0  # of the probabilities that the test looks at; a checkpoint may bring another
        self.shares: list[Tensor] = []  # losses of the micro-batches of the window at hand, in this process
        self.window: Tensor | None = None  # its weights, over all processes
        self.left_out = False  # a callback leaves its optimiser step out: it counts in no number
        self._epoch_loss = torch.zeros(())
        self._epoch_windows = 0
        self._random_state: Tensor | None = None
        self._plateaus: Schedules = []
        self._plateau_states: list[dict[str, Any]] = []
        self._validated = False

    def forward(self, image: Tensor) -> Tensor:
        """Images ``[N, 3, H, W]`` uint8 -> logits ``[N, C, H, W]``."""
        return self.net(image.contiguous(memory_format=self.memory_format))

    # ---- training -------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return this micro-batch's share of the window's loss.

        The shares of a window (over all processes) add up to the loss of the one big
        batch. Lightning divides by the number of micro-batches and DDP by the number of
        processes; both are undone here.
        """
        if self.window is None:
            assert batch.window is not None
            self.window = self._whole(batch.window)
        if batch.names:
            loss, _ = self.loss(self(batch.image), batch.target, self.window)
        else:  # none of its samples could be read; every process goes on with its window
            loss = self._nothing()
        self.shares.append(loss.detach())
        return loss * (self.trainer.accumulate_grad_batches * self.trainer.world_size)

    def _nothing(self) -> Tensor:
        """A loss of 0 whose gradient is 0 everywhere, of the type that losses have."""
        total = torch.stack([p.sum() * 0 for p in self.net.parameters() if p.requires_grad]).sum()
        return total.to(torch.promote_types(total.dtype, torch.float32))

    def on_train_start(self) -> None:
        """Go on with the random numbers of the run that is resumed; its temperature ends here."""
        self.temperature = 1.0
        if self._random_state is not None:
            torch.set_rng_state(self._random_state.cpu())
            self._random_state = None

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the loss of the window that is complete now."""
        share = sum(self.shares, torch.zeros((), device=self.device))
        self.window, self.shares = None, []
        if self.left_out:
            return
        loss = self._whole(share)
        step = self.trainer.global_step
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set outside the class
        if every and (step + 1) % every == 0:
            self._show({"train/loss_step": loss}, step)
        self._epoch_loss = self._epoch_loss + loss
        self._epoch_windows += 1

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """At the end of an epoch log the mean loss of its optimiser steps and the learning rate.

        Here and not in ``on_train_epoch_end``, which Lightning calls after the callbacks
        that want to see these numbers.
        """
        done = self.trainer.max_steps != -1 and self.trainer.global_step >= self.trainer.max_steps
        if not (self.trainer.is_last_batch or done):
            return
        rate = self.trainer.optimizers[0].param_groups[-1]["lr"]
        mean = self._epoch_loss / self._epoch_windows  # no number where every step was left out
        for name, value in (("train/loss", mean), ("lr", rate)):
            self.log(name, value, on_step=False, on_epoch=True, logger=False, batch_size=1)
        self._show({"train/loss": mean, "lr": rate}, self.trainer.global_step - 1)
        self._epoch_loss, self._epoch_windows = torch.zeros((), device=self.device), 0

    def _show(self, numbers: Mapping[str, Any], step: int) -> None:
        """Hand numbers to the loggers now: Lightning does it after the checkpoint that knows them as done."""
        for logger in self.loggers:
            logger.log_metrics({**numbers, "epoch": self.current_epoch}, step)

    def _whole(self, share: Tensor) -> Tensor:
        """Sum of the processes' shares."""
        if self.trainer.world_size == 1:
            return share
        return self.trainer.strategy.reduce(share.clone(), reduce_op="sum")  # it changes its argument

    def configure_optimizers(self) -> Any:
        """Optimiser and schedules; schedules count optimiser steps."""
        optimizer = self.make_optimizer(self.net)
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise UserError(
                "trainer.max_epochs=-1: a run needs an end; set trainer.max_epochs or trainer.max_steps"
            )
        schedules = self.make_schedule(optimizer, int(steps))
        self._plateaus = [s for s in schedules if s["interval"] == "epoch"]
        for schedule, state in zip(self._plateaus, self._plateau_states, strict=False):
            schedule["scheduler"].load_state_dict(state)
        return [optimizer], [s for s in schedules if s["interval"] == "step"]

    def on_train_epoch_end(self) -> None:
        """Let schedules that watch a number see it, if there was a validation.

        Here and not by Lightning, which does it after the checkpoint of the epoch is written, so
        that a resumed run would miss it.
        """
        if not self._validated:
            return
        self._validated = False
        for schedule in self._plateaus:
            number = self.trainer.callback_metrics.get(schedule["monitor"])
            if number is None:
                raise UserError(f"scheduler.monitor={schedule['monitor']}: no validation gave this number")
            schedule["scheduler"].step(float(number))

    # ---- measuring ------------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count, for the numbers at the end of the epoch."""
        self._measure(batch, [self.overlap_counts], 1.0)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count and measure, for the numbers at the end."""
        self._measure(batch, [self.overlap_counts, *(meter for _, meter in self._meters())], self.temperature)

    def on_validation_epoch_end(self) -> None:
        """Log what was measured."""
        self._validated = not self.trainer.sanity_checking
        self._conclude("val")

    def on_test_epoch_end(self) -> None:
        """Log what was measured."""
        self._conclude("test")
        for name, meter in self._meters():
            self.tables[name] = meter.compute()
            meter.reset()

    def _meters(self) -> list[tuple[str, ImageTable]]:
        return list(self.meters.items())  # type: ignore[arg-type]  # torch knows them as modules

    def _measure(self, batch: Batch, meters: Sequence[ImageTable], temperature: float) -> None:
        for index, (logits, target) in zip(batch.index.tolist(), picture_logits(self, batch), strict=True):
            scored = Scored(logits, target, index, self.labels, self.threshold, temperature, self.ignored)
            for meter in meters:
                meter.update(scored)
            self._weigh(logits[None], target[None])

    def _weigh(self, logits: Tensor, target: Tensor) -> None:
        """Add a picture to the mean loss, at the resolution of the network, as in training."""
        target = shrunk(target, (logits.shape[-2], logits.shape[-1]))
        weights = self.loss.weigh(target)
        _, terms = self.loss(logits, target, weights)
        self.loss_means.update(torch.stack([terms[n] for n in self.loss.names]), weights)

    def _conclude(self, part: str) -> None:
        self.measured = self.overlap_counts.count()
        means = self.loss_means.compute().reshape(-1)  # torchmetrics squeezes a single number
        self.overlap_counts.reset()
        self.loss_means.reset()
        self.numbers = overlap(self.measured, self.labels, self.protocol)
        total = sum(c * float(m) for c, m in zip(self.loss.coefficients, means, strict=True))
        mean = self.numbers["mean"]
        logged = {
            "loss": total,
            **{f"loss_{n}": float(m) for n, m in zip(self.loss.names, means, strict=True) if len(means) > 1},
            "miou": mean["miou"],
            "dice": mean["dice"],
            "accuracy": mean["pixel_accuracy"],
            **{f"iou/{name}": row["iou"] for name, row in self.numbers["per_class"].items()},
        }
        # A class that occurs nowhere has no number; it is left out rather than invented.
        numbers = {f"{part}/{k}": float(v) for k, v in logged.items() if v is not None}
        self.log_dict(numbers, logger=False, batch_size=1)
        if not self.trainer.sanity_checking:
            # A test comes behind the last checkpoint: a run that repeats it takes this step back.
            self._show(numbers, max(0, self.trainer.global_step - (part == "val")))

    # ---- checkpoints ----------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what makes a checkpoint explain itself and a resumed run go on."""
        if self._trainer is not None:
            _back_to_window_start(checkpoint, self.trainer.accumulate_grad_batches)
        checkpoint["segkit"] = {
            **self.passport,
            "random_state": torch.get_rng_state(),
            "epoch_loss": self._epoch_loss.detach().cpu(),
            "epoch_windows": self._epoch_windows,
            "plateaus": [s["scheduler"].state_dict() for s in self._plateaus],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what `on_save_checkpoint` kept."""
        kept = checkpoint["segkit"]
        if self._trainer is not None:
            _in_windows_of(checkpoint, self.trainer.accumulate_grad_batches)
        self._random_state = kept["random_state"]
        self._epoch_loss = kept["epoch_loss"].to(self.device)
        self._epoch_windows = kept["epoch_windows"]
        self.temperature = kept.get("temperature", 1.0)
        self._plateau_states = kept.get("plateaus", [])


def shrunk(target: Tensor, size: tuple[int, int]) -> Tensor:
    """Target ``[N, (K,) H, W]`` at another size, nearest (half-pixel centres), in its own type."""
    if target.shape[-2:] == size:
        return target
    planes = target.reshape(1, -1, *target.shape[-2:]).float()  # exact: class indices are below 2^24
    small = interpolate(planes, size=size, mode="nearest-exact")
    return small.to(target.dtype).reshape(*target.shape[:-2], *size)


def _in_windows_of(checkpoint: dict[str, Any], window_size: int) -> None:
    """Let Lightning count on within an epoch if a window is cut into another number of micro-batches."""
    position = checkpoint.get("SegmentationData", {}).get("position", {})
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    if progress["is_last_batch"] or "window" not in position:
        return
    for count in (progress["current"], progress["total"]):
        for name in count:
            count[name] = recut(count[name], position["window"], window_size)


def _back_to_window_start(checkpoint: dict[str, Any], window_size: int) -> None:
    """Make a run that was interrupted within a window repeat that window.

    Gradients are no part of a checkpoint: what the first micro-batches of the window gave is
    lost. The loader's own state begins at the same place (`segkit.data.window`).
    """
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    current, total = progress["current"], progress["total"]
    done = current["processed"]
    if done % window_size == 0 or progress["is_last_batch"]:
        return
    start = done - done % window_size
    for name in ("ready", "started", "processed", "completed"):
        total[name] -= current[name] - start
        current[name] = start
