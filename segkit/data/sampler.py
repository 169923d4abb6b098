"""(seed, epoch) -> the order of samples, whatever the batch size, workers or processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Draw(NamedTuple):
    """What a training data set is asked for.

    Attributes:
        index: Position of the sample in its split.
        epoch: Decides, with the seed and the index, how the sample is augmented.
        counted: False for a sample that only fills up the last batch of a process: its
            target is ignored everywhere, so that it weighs nothing.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index
    epoch: int
    counted: bool = True


def order(seed: int, epoch: int, samples: int) -> list[int]:
    """Return a permutation of ``range(samples)``: a pure function of its arguments."""
    return np.random.default_rng([seed, epoch, samples]).permutation(samples).tolist()


class EpochSampler:
    """Batches of draws for one process.

    With W processes, process r takes every W-th draw of the epoch's order, beginning at r:
    the window of k micro-batches of all processes together then holds the same samples as
    the window of W * k micro-batches of one process. All processes get the same number of
    draws.

    Args:
        samples: How many samples the split has.
        batch_size: Draws per micro-batch; the last one may be shorter.
        seed: Seed of the order.
        rank: Number of this process.
        world_size: How many processes there are.
    """

    def __init__(self, samples: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.samples, self.batch_size, self.seed = samples, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self.start = 0  # micro-batches of this epoch to leave out, without reading them

    def __len__(self) -> int:
        """Micro-batches in a whole epoch."""
        return -(-self._draws_per_process // self.batch_size)

    def __iter__(self) -> Iterator[list[Draw]]:
        draws = [Draw(i, self.epoch) for i in order(self.seed, self.epoch, self.samples)]
        missing = self._draws_per_process * self.world_size - self.samples
        draws += [Draw(i, self.epoch, counted=False) for i, *_ in (draws * self.world_size)[:missing]]
        mine = draws[self.rank :: self.world_size]
        for first in range(self.start * self.batch_size, len(mine), self.batch_size):
            yield mine[first : first + self.batch_size]

    @property
    def _draws_per_process(self) -> int:
        return -(-self.samples // self.world_size)
