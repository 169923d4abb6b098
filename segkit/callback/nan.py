"""A loss or a gradient that is no number never reaches the weights."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path
from typing import Any, Literal, NamedTuple

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from segkit.callback.state import writes_files
from segkit.files import write_bytes, write_csv
from segkit.lost import spared
from segkit.types import Batch, UserError

log = logging.getLogger(__name__)

COLUMNS = ("step", "epoch", "what", "samples")
INF = float("inf")


class _Before(NamedTuple):
    """What the forward passes of a window change, as it was before them."""

    buffers: list[Tensor]
    random: Tensor
    random_gpu: Tensor | None


class NanGuard(Callback):
    """Looks at every optimiser step before it is taken: are its losses and its gradient finite?

    If not, ``stop`` ends the training with the weights of the step before, and ``skip_step``
    leaves the step out: weights, momentum, averages and batch-norm statistics stay as they
    are, while steps and schedules count on, so that training ends when it would have. Left
    out steps are rows of ``skipped_steps.csv`` with their samples. The first of them, and the
    step that stops the training, are kept in ``nan/step_N.ckpt`` (`segkit.replay` runs it again).

    The processor waits for a GPU once per optimiser step. With the loss scaling of
    ``trainer.precision=16-mixed`` infinite gradients are normal: there the scaler leaves steps
    out, and the losses alone are looked at here. A checkpoint is refused when the weights
    themselves are no numbers.

    Args:
        on_nan: ``stop`` or ``skip_step``.
        max_skipped: Steps in a row that may be left out before training stops all the same.

    Raises:
        UserError: Says at which step and on which samples, which checkpoint is still good,
            and what to try.
    """

    def __init__(self, on_nan: Literal["stop", "skip_step"] = "stop", max_skipped: int = 10) -> None:
        if max_skipped < 1:
            raise UserError(f"training.max_skipped={max_skipped}: must be at least 1")
        self.on_nan, self.max_skipped = on_nan, max_skipped
        self._in_a_row, self._dumped = 0, False
        self._rows: list[dict[str, str]] = []
        self._before: _Before | None = None

    # ---- what was before ----------------------------------------------------------------

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Take over the rows of the steps that a resumed run does not repeat."""
        path, self._before = _table(trainer), None
        if not writes_files(trainer) or not path.is_file():
            return
        try:
            with path.open(newline="", encoding="utf-8") as file:
                known = list(csv.DictReader(file))
            self._rows = [row for row in known if int(row["step"]) < trainer.global_step]
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise UserError(f"{path}: a damaged table ({error}); move it away to go on") from None
        if len(self._rows) < len(known):
            self._write(trainer)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Keep what the forward passes of a window will change."""
        if self._before is None:
            buffers = [b.detach().clone() for b in pl_module.net.buffers()]
            on_gpu = pl_module.device.type == "cuda"
            random_gpu = torch.cuda.get_rng_state(pl_module.device) if on_gpu else None
            self._before = _Before(buffers, torch.get_rng_state(), random_gpu)

    # ---- before a step ------------------------------------------------------------------

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: Any, optimizer: Optimizer
    ) -> None:
        """Look, and leave the step out or stop if it would spoil the weights."""
        before, self._before = self._before, None
        assert before is not None
        pl_module.left_out = _is_spoilt(trainer, torch.stack(pl_module.shares), optimizer)
        if not pl_module.left_out:
            self._in_a_row = 0
            return
        for buffer, kept in zip(pl_module.net.buffers(), before.buffers, strict=True):
            buffer.copy_(kept)
        what, names, parts = _fault(trainer, pl_module, before)
        self._in_a_row += 1
        ends = self.on_nan == "stop" or self._in_a_row > self.max_skipped
        if ends or not self._dumped:
            file = self._dump(trainer, pl_module, what, names, parts)
        if ends:
            _stop(trainer, self._in_words(what, trainer.global_step), names, file)
        _leave_out(trainer, optimizer)
        log.warning("step %d left out: %s on samples %s", trainer.global_step, what, _shown(names))
        row = {"step": str(trainer.global_step), "epoch": str(trainer.current_epoch), "what": what}
        self._rows.append({**row, "samples": "; ".join(names)})
        if writes_files(trainer):
            self._write(trainer)

    def _in_words(self, what: str, step: int) -> str:
        if self.on_nan == "stop":
            return f"{what} at step {step}"
        return f"{what} at step {step}, after {self.max_skipped} steps in a row that were left out"

    def _write(self, trainer: lightning.Trainer) -> None:
        with spared("skipped_steps.csv"):
            write_csv(_table(trainer), COLUMNS, self._rows, durable=True)

    def _dump(
        self, trainer: lightning.Trainer, pl_module: Any, what: str, names: list[str], parts: list[Any]
    ) -> Path | None:
        """Keep all that is needed to see it again: the weights before the step, and the batches."""
        self._dumped = True
        weights = trainer.strategy.lightning_module_state_dict()  # all processes take part
        if not writes_files(trainer):
            return None
        found = {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            "what": what,
            "samples": names,
            "window": pl_module.window,
            "processes": parts,
        }
        content, path = io.BytesIO(), _table(trainer).with_name("nan") / f"step_{trainer.global_step}.ckpt"
        torch.save({"state_dict": weights, "segkit": dict(pl_module.passport), "nan": found}, content)
        with spared(f"nan/{path.name}"):
            write_bytes(path, content.getvalue())
        return path if path.is_file() else None

    # ---- checkpoints --------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """How many steps in a row were left out, and whether one of them was kept."""
        return {"in_a_row": self._in_a_row, "dumped": self._dumped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._in_a_row, self._dumped = state_dict["in_a_row"], state_dict["dumped"]

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look before anything is written: a step can overflow although its gradient did not."""
        floats = [t for t in checkpoint["state_dict"].values() if t.is_floating_point()]
        if floats and not bool(torch.stack([t.isfinite().all() for t in floats]).all()):
            _stop(trainer, f"weights are nan or infinite at step {trainer.global_step}", [], None)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Say how many there were."""
        if self._rows and trainer.is_global_zero:
            log.warning("%d of %d steps left out: skipped_steps.csv", len(self._rows), trainer.global_step)


def _is_spoilt(trainer: lightning.Trainer, shares: Tensor, optimizer: Optimizer) -> bool:
    """Whether any process has a loss or a gradient that is no number; the processor waits for it."""
    finite = shares.isfinite().all()
    if _scaler(trainer) is None:
        gradients = [
            p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        finite = finite & get_total_norm(gradients, INF).to(finite.device).isfinite()
    if trainer.world_size == 1:
        return not bool(finite)
    return bool(trainer.strategy.reduce((~finite).float(), reduce_op="sum") > 0)


def _fault(trainer: lightning.Trainer, pl_module: Any, before: _Before) -> tuple[str, list[str], list[Any]]:
    """What is wrong, the samples that it happened on, and the window of every process."""
    loader: Any = trainer.train_dataloader
    part = {
        "losses": [float(share) for share in pl_module.shares],
        "batches": [dict(batch._asdict(), window=None) for batch in loader.window],
        "random": before.random,
        "random_gpu": before.random_gpu,
    }
    parts: list[Any] = [part]
    if trainer.world_size > 1:
        parts = [None] * trainer.world_size
        torch.distributed.all_gather_object(parts, part)
    pairs = [(x, b["names"]) for p in parts for x, b in zip(p["losses"], p["batches"], strict=True)]
    bad = [(loss, names) for loss, names in pairs if not -INF < loss < INF]
    what = f"loss is {bad[0][0]}" if bad else "gradient is nan or infinite"
    return what, [name for _, names in (bad or pairs) for name in names], parts


def _leave_out(trainer: lightning.Trainer, optimizer: Optimizer) -> None:
    """Make the step that follows change nothing, not even by weight decay or momentum."""
    by_scaler = _scaler(trainer) is not None and getattr(optimizer, "_step_supports_amp_scaling", False)
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        if parameter.grad is not None and by_scaler:
            parameter.grad.fill_(INF)  # a fused optimiser has yet to look: it leaves the step out for it
        else:
            parameter.grad = None  # which every optimiser passes over


def _scaler(trainer: lightning.Trainer) -> Any:
    """What scales the loss against underflow, if anything does."""
    return getattr(trainer.precision_plugin, "scaler", None)


def _table(trainer: lightning.Trainer) -> Path:
    return Path(trainer.default_root_dir) / "skipped_steps.csv"


def _shown(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")


def _stop(trainer: lightning.Trainer, what: str, names: list[str], dump: Path | None) -> None:
    rate = trainer.optimizers[0].param_groups[-1]["lr"] if trainer.optimizers else None
    now = "" if rate is None else f" (now {rate:.3g})"
    where = f" on samples {_shown(names)}" if names else ""
    again = f"; python -c \"import segkit; segkit.replay('{dump}')\" shows it again" if dump else ""
    raise UserError(
        f"{what} (epoch {trainer.current_epoch}){where}; {_last_good(trainer)}{again}; try a smaller "
        f"optimizer.lr{now}, trainer.gradient_clip_val=1, trainer.precision=32-true or "
        "training.on_nan=skip_step, and look at these samples"
    )


def _last_good(trainer: lightning.Trainer) -> str:
    """The newest checkpoint on disk: none is written without having been looked at."""
    last = Path(trainer.default_root_dir) / "checkpoints" / "last.ckpt"
    if last.is_file():
        return f"the last good checkpoint is {last}"
    kept = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
    paths = [p for c in reversed(kept) for p in (c.last_model_path, c.best_model_path) if p]
    return f"the last good checkpoint is {paths[0]}" if paths else "no checkpoint was saved yet"
