"""What a run keeps of a step whose loss or gradient was no number, run again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from segkit.build import first_line, loss
from segkit.checkpoint import load, read_checkpoint
from segkit.loss.loss import Loss
from segkit.trust import refuse_untrusted
from segkit.types import UserError

HALF = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


class Replayed(NamedTuple):
    """A micro-batch of the window, run again.

    Attributes:
        samples: Their names.
        loss: Its share in the loss of the window.
        gradient: Largest absolute value in its gradient; nan where one is.
        layer: The first layer whose output is no number; empty: all are.
    """

    samples: tuple[str, ...]
    loss: float
    gradient: float
    layer: str

    def __str__(self) -> str:
        where = f", first in {self.layer}" if self.layer else ""
        return f"loss {self.loss:.6g}, largest gradient {self.gradient:.6g}{where}: {', '.join(self.samples)}"


def replay(path: str | Path, device: str = "cpu") -> list[Replayed]:
    """Run a window again, with the weights and the random numbers that it had (see `segkit.replay`).

    Random numbers of dropout are the same on a device of the same kind only.

    Args:
        path: ``nan/step_N.ckpt``, as `segkit.callback.nan` writes it.
        device: Where the network runs.

    Returns:
        The micro-batches, those of the first process first.

    Raises:
        UserError: The file is no such dump, is damaged, or names what it may not call.
    """
    file = Path(path)
    content = read_checkpoint(file)
    if "nan" not in content:
        raise UserError(f"{file}: a checkpoint, but not of a step that failed (nan/step_N.ckpt of a run)")
    try:
        net, criterion = _rebuilt(content, file)
        half = HALF.get(content["segkit"]["config"]["trainer"]["precision"])
        rows = []
        for part in content["nan"]["processes"]:
            with torch.random.fork_rng(), torch.autocast(torch.device(device).type, half, half is not None):
                _restore_random(part, device)
                for batch in (b for b in part["batches"] if b["names"]):
                    window = content["nan"]["window"]
                    rows.append(_run(net.to(device), criterion, batch, window, device))
    except UserError:
        raise
    except Exception as error:  # values that somebody else has written can break anything
        raise UserError(f"{file}: a damaged dump ({first_line(error)})") from None
    return rows


def _rebuilt(content: dict[str, Any], file: Path) -> tuple[nn.Module, Loss]:
    """Network and loss as they were, in training mode."""
    loaded = load(file)
    refuse_untrusted({"loss": loaded.config["loss"]}, file)
    state = {k.removeprefix("net."): v for k, v in content["state_dict"].items() if k.startswith("net.")}
    net = loaded.net.to(next(v.dtype for v in state.values() if v.is_floating_point()))
    net.load_state_dict(state)  # once more, in the precision that it was trained in
    weights = content["segkit"]["class_weights"]
    return net.train(), loss(loaded.config["loss"], loaded.labels, weights)


def _restore_random(part: dict[str, Any], device: str) -> None:
    torch.set_rng_state(part["random"])
    if part["random_gpu"] is not None and torch.device(device).type == "cuda":
        torch.cuda.set_rng_state(part["random_gpu"], device)


def _run(net: nn.Module, criterion: Loss, batch: dict[str, Any], window: Tensor, device: str) -> Replayed:
    net.zero_grad()
    with _watched(net) as spoilt:
        logits = net(batch["image"].to(device))
    share, _ = criterion(logits, batch["target"].to(device), window)
    share.backward()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    largest = get_total_norm(gradients, float("inf"))
    return Replayed(tuple(batch["names"]), float(share.detach()), float(largest), spoilt[0] if spoilt else "")


@contextmanager
def _watched(net: nn.Module) -> Iterator[list[str]]:
    """Names of the layers whose output is no number, in the order in which they run."""
    spoilt: list[str] = []

    def watch(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not bool(output.isfinite().all()):
                spoilt.append(name)

        return hook

    leaves = [(n, m) for n, m in net.named_modules() if not any(m.children())]
    hooks = [module.register_forward_hook(watch(name)) for name, module in leaves]
    try:
        yield spoilt
    finally:
        for hook in hooks:
            hook.remove()
