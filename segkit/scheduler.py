"""Optimiser -> learning-rate schedule, counted in optimiser steps (not in micro-batches).

Each function returns the list that Lightning takes from ``configure_optimizers``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, ReduceLROnPlateau

from segkit.error import UserError

Schedule = list[dict[str, Any]]


def cosine(
    optimizer: Optimizer,
    total_steps: int,
    *,
    warmup_steps: int = 0,
    warmup_start: float = 0.01,
    final_factor: float = 0.0,
) -> Schedule:
    """Half a cosine from 1 to ``final_factor`` (https://arxiv.org/abs/1608.03983, equation 5, one period)."""
    return _after_warmup(
        optimizer,
        total_steps,
        warmup_steps,
        warmup_start,
        lambda x: final_factor + (1 - final_factor) * (1 + math.cos(math.pi * x)) / 2,
    )


def poly(
    optimizer: Optimizer,
    total_steps: int,
    *,
    warmup_steps: int = 0,
    warmup_start: float = 0.01,
    final_factor: float = 0.0,
    power: float = 0.9,
) -> Schedule:
    """``(1 - step / steps) ** power`` (https://arxiv.org/abs/1506.04579), from 1 to ``final_factor``."""
    return _after_warmup(
        optimizer,
        total_steps,
        warmup_steps,
        warmup_start,
        lambda x: final_factor + (1 - final_factor) * (1 - x) ** power,
    )


def none(
    optimizer: Optimizer, total_steps: int, *, warmup_steps: int = 0, warmup_start: float = 0.01
) -> Schedule:
    """The optimiser's own rate, after a warm-up if there is one."""
    return _after_warmup(optimizer, total_steps, warmup_steps, warmup_start, lambda _: 1.0)


def onecycle(
    optimizer: Optimizer,
    total_steps: int,
    *,
    rise: float = 0.3,
    start_factor: float = 0.04,
    final_factor: float = 4e-6,
) -> Schedule:
    """One cosine up to the peak and one down (https://arxiv.org/abs/1708.07120)."""
    if not 0 < rise < 1:
        raise UserError(f"scheduler.rise={rise}: must lie between 0 and 1")

    def factor(x: float) -> float:
        low, y = (start_factor, 1 - x / rise) if x < rise else (final_factor, (x - rise) / (1 - rise))
        return low + (1 - low) * (1 + math.cos(math.pi * y)) / 2

    return _after_warmup(optimizer, total_steps, 0, 1.0, factor)


def plateau(
    optimizer: Optimizer,
    total_steps: int,
    *,
    warmup_steps: int = 0,
    warmup_start: float = 0.01,
    factor: float = 0.5,
    patience: int = 5,
    threshold: float = 1e-4,
    min_lr: float = 0.0,
    monitor: str = "val/miou",
    mode: str = "max",
) -> Schedule:
    """Multiply the rate by ``factor`` after ``patience`` validations without progress.

    The warm-up is a chainable `LinearLR`: it scales the rate that is there, so that it
    never undoes what the plateau has lowered.
    """
    if not 0 < factor < 1:
        raise UserError(f"scheduler.factor={factor}: must lie between 0 and 1")
    watching = ReduceLROnPlateau(
        optimizer, mode=_mode(mode), factor=factor, patience=patience, threshold=threshold, min_lr=min_lr
    )
    schedule: Schedule = [
        {"scheduler": watching, "interval": "epoch", "monitor": monitor, "strict": True, "name": "lr"}
    ]
    if warmup_steps > 0:
        rising = LinearLR(optimizer, _share(warmup_start), total_iters=_fitting(warmup_steps, total_steps))
        schedule.append({"scheduler": rising, "interval": "step", "name": "lr"})
    return schedule


def _after_warmup(
    optimizer: Optimizer,
    total_steps: int,
    warmup_steps: int,
    warmup_start: float,
    factor: Callable[[float], float],
) -> Schedule:
    """Rise in a straight line over ``warmup_steps``, then follow ``factor`` over 0..1."""
    start, rising = _share(warmup_start), _fitting(warmup_steps, total_steps)
    falling = max(1, total_steps - rising)

    def at(step: int) -> float:
        if step < rising:
            return start + (1 - start) * step / rising
        return factor(min(1.0, (step - rising) / falling))

    return [{"scheduler": LambdaLR(optimizer, at), "interval": "step", "name": "lr"}]


def _share(value: float) -> float:
    if not 0 < value <= 1:
        raise UserError(f"scheduler.warmup_start={value}: must be above 0 and at most 1")
    return value


def _fitting(warmup_steps: int, total_steps: int) -> int:
    if not 0 <= warmup_steps < max(total_steps, 1):
        raise UserError(
            f"scheduler.warmup_steps={warmup_steps}: must be 0 or more "
            f"and below the {total_steps} steps of this run"
        )
    return warmup_steps


def _mode(mode: str) -> Any:
    if mode not in ("min", "max"):
        raise UserError(f"monitor_mode={mode}: choose min or max")
    return mode
