"""Whole accumulation windows, so that the weight of a window is known before its first batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from segkit.data.sampler import EpochSampler
from segkit.types import Batch


class WindowLoader:
    """Hands out micro-batches that know the loss weights of their whole window.

    A window is the ``k`` micro-batches between two optimiser steps (the last one of an
    epoch may be shorter). They are read ahead, as bytes; the weight of each loss term is a
    function of the targets alone, so it can be summed before the first forward pass. That
    makes accumulation exact: see ``docs/architecture.md``.

    The position within an epoch is part of a checkpoint (`state_dict`): a resumed run goes
    on with the next window without reading what has been seen. A window that was interrupted
    is begun again, for its gradients are no part of a checkpoint.

    Attributes:
        window: The micro-batches of the window at hand, as they were handed out.

    Args:
        loader: Reads the batches that ``sampler`` draws.
        sampler: The batch sampler of ``loader``.
        window_size: k, micro-batches per optimiser step.
        weigh: Target -> ``[T]`` float64, weight of each loss term; called on the CPU.
        epoch: Tells the current epoch when an iteration starts.
        limit: How many micro-batches of an epoch will be asked for, so that the last window
            ends there; ``None``: all.
        processed: Tells how many micro-batches of this epoch were trained on: one that was
            handed out when the run was interrupted is not done.
    """

    def __init__(
        self,
        loader: DataLoader[Any],
        sampler: EpochSampler,
        window_size: int,
        weigh: Callable[[torch.Tensor], torch.Tensor],
        epoch: Callable[[], int],
        limit: int | None = None,
        processed: Callable[[], int] | None = None,
    ) -> None:
        self.loader, self.sampler = loader, sampler
        self.window_size, self.weigh, self.epoch = window_size, weigh, epoch
        self.limit, self.processed = limit, processed
        self.window: list[Batch] = []
        self._handed_out = 0
        self._resume_at: dict[str, int] | None = None

    def __len__(self) -> int:
        """Micro-batches in an epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        # A generator: nothing below runs before the first batch is asked for. Lightning makes
        # the iterator before it has restored the epoch, and may never exhaust it.
        self.sampler.epoch = self.epoch()
        self.sampler.start = self._handed_out = self._position()
        end = len(self) if self.limit is None else min(self.limit, len(self))
        batches = islice(self.loader, end - self.sampler.start)
        while window := list(islice(batches, self.window_size)):
            weights = torch.stack([self.weigh(b.target) for b in window]).sum(0)
            self.window = window
            for batch in window:
                self._handed_out += 1
                yield batch._replace(window=weights)

    def _position(self) -> int:
        """Where to begin: after a resume within this epoch, behind what was done."""
        resume, self._resume_at = self._resume_at, None
        if resume is None or resume["epoch"] != self.sampler.epoch or resume["batch"] >= len(self):
            return 0
        return resume["batch"]

    def state_dict(self) -> dict[str, int]:
        """Where this epoch stands: its number and the micro-batches done, in whole windows.

        ``window`` is k, and ``draws`` what a window of all processes holds: where only they are
        cut otherwise (fewer processes, larger micro-batches), the position is the same.
        """
        done = self._handed_out if self.processed is None else min(self.processed(), self._handed_out)
        if done < len(self):
            done -= done % self.window_size
        draws = self.window_size * self.sampler.batch_size * self.sampler.world_size
        return {"epoch": self.sampler.epoch, "batch": done, "window": self.window_size, "draws": draws}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next iteration where ``state`` says, if it is of the same epoch."""
        batch = recut(state["batch"], state.get("window", self.window_size), self.window_size)
        self._resume_at = {**state, "batch": batch}


def recut(batches: int, before: int, now: int) -> int:
    """Micro-batches of whole windows, where a window had ``before`` of them and has ``now``."""
    return batches if before == now else batches // before * now
