"""(seed, epoch) -> the order of samples, whatever the batch size, workers or processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.types import UserError

SAMPLERS = ("uniform", "class_balanced", "rare_first")


class Draw(NamedTuple):
    """What a training data set is asked for.

    Attributes:
        index: Position of the sample in its split.
        epoch: Decides, with the seed, the index and ``repeat``, how the sample is augmented.
        counted: False for a sample that only fills up the last batch of a process: its
            target is ignored everywhere, so that it weighs nothing.
        repeat: How many times the sample was drawn before in this epoch.
        focus: The class that the sample was drawn for, and that a crop of it should show;
            -1 where it was drawn for no class.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index
    epoch: int
    counted: bool = True
    repeat: int = 0
    focus: int = -1


def order(seed: int, epoch: int, samples: int) -> list[int]:
    """Return a permutation of ``range(samples)``: a pure function of its arguments."""
    return np.random.default_rng([seed, epoch, samples]).permutation(samples).tolist()


class ClassPlan:
    """How often each sample is drawn in an epoch, and for which class.

    A draw is a class first, then a sample that shows it, uniformly:

    - ``class_balanced``: every class that a sample shows is equally likely (class-aware
      sampling; Shen et al. 2016, "Relay Backpropagation for Effective Learning of Deep
      Convolutional Neural Networks").
    - ``rare_first``: class c has the probability softmax((1 - f_c) / T), where f_c is its share
      of the labelled pixels (rare class sampling; Hoyer et al. 2022, "DAFormer"). A small T
      draws the rarest classes alone, a large one is ``class_balanced``.
    - ``uniform``: no class is drawn; every sample is drawn once.

    An epoch is as long as there are samples. Instead of independent draws, as in the papers,
    it takes a systematic sample of the expected draws (equal steps from a random start): the
    expectation is the same, but a sample that is expected e times comes floor(e) or ceil(e)
    times, and so does each of its classes.

    Classes that no sample shows are never drawn. A sample that shows no class is drawn once
    if it is labelled (multilabel: it teaches what is absent) and never if all of it is
    ignored.

    Args:
        counts: ``[n, K]`` pixels of each class in each sample.
        kind: One of `SAMPLERS`.
        temperature: T of ``rare_first``, above 0.
        empty_counts: Whether a sample without any class is labelled all the same.

    Raises:
        UserError: No sample shows a class.

    Attributes:
        expected: ``[n, K + 1]`` float64, expected draws per epoch of each sample for each class;
            the last column is for draws that are made for no class. Its sum is n.
    """

    def __init__(
        self,
        counts: NDArray[Any],
        kind: str,
        temperature: float = 0.1,
        empty_counts: bool = False,
    ) -> None:
        self.counts = np.asarray(counts)
        shown = self.counts > 0
        samples = len(shown)
        self.expected = np.zeros((samples, shown.shape[1] + 1))
        if kind == "uniform":
            self.expected[:, -1] = 1.0
            return
        empty = ~shown.any(1) & empty_counts
        self.expected[empty, -1] = 1.0
        if not shown.any() and not empty.all():
            raise UserError(
                f"data.sampler={kind}: no training mask shows a class; check data.labels, "
                "or use data.sampler=uniform"
            )
        draws = (samples - empty.sum()) * class_probabilities(self.counts, kind, temperature)
        self.expected[:, :-1] = shown * (draws / np.maximum(shown.sum(0), 1))

    def draw(self, seed: int, epoch: int) -> list[Draw]:
        """The draws of an epoch in their order: a pure function of arguments, counts and options."""
        samples = len(self.expected)
        rng = np.random.default_rng([seed, epoch, samples, 1])  # another stream than that of `order`
        row, column = self._line(rng)
        ends = np.cumsum(self.expected[row, column])
        picked = np.searchsorted(ends, rng.random() + np.arange(samples), side="right")
        picked = rng.permutation(np.minimum(picked, len(ends) - 1))  # the sum may round to below n
        index, focus = row[picked], column[picked]
        focus[focus == self.counts.shape[1]] = -1
        before: Counter[int] = Counter()
        draws = []
        for i, c in zip(index.tolist(), focus.tolist(), strict=True):
            draws.append(Draw(i, epoch, repeat=before[i], focus=c))
            before[i] += 1
        return draws

    def _line(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every (sample, class) that may be drawn, in the order in which equal steps go through them.

        Samples are in random order, those with the same rarest class together, so that it is
        drawn about as often as expected. Classes of a sample are in random order too: where
        each sample is expected about once, the steps would else draw the same class in all.
        """
        rarity = np.argsort(np.argsort((self.counts > 0).sum(0), kind="stable"))
        rarest = np.where(self.counts > 0, rarity, len(rarity)).min(1)
        place = np.argsort(np.lexsort((rng.random(len(rarest)), rarest)))
        row, column = np.nonzero(self.expected)
        line = np.lexsort((rng.random(len(row)), place[row]))
        return row[line], column[line]


def class_probabilities(counts: NDArray[Any], kind: str, temperature: float) -> NDArray[np.float64]:
    """How likely a draw is made for each class (see `ClassPlan`): float64 ``[K]``, sum 1.

    Classes without pixels have probability 0; so have all of them where there are no pixels.
    """
    pixels = np.asarray(counts).sum(0, dtype=np.float64)
    shown = pixels > 0
    if not shown.any():
        return np.zeros(len(pixels))
    weight = shown.astype(np.float64)
    if kind == "rare_first":
        share = pixels[shown] / pixels.sum()
        weight[shown] = np.exp((share.min() - share) / temperature)  # the softmax without its common factor
    return weight / weight.sum()


def frequency_table(plan: ClassPlan, names: tuple[str, ...]) -> str:
    """What the network will see of each class in an epoch, compared with uniform sampling.

    Returns:
        A line per class: samples that show it (which is also how many uniform sampling shows per
        epoch), expected draws that show it, draws made for it, and how often the sample of it
        that is drawn most often comes at most.
    """
    shown, draws = plan.counts > 0, plan.expected.sum(1)
    wide = max(len(name) for name in ("class", *names))
    lines = [f"{'class':{wide}}  {'uniform':>8}  {'expected':>9}  {'made for it':>11}  {'most repeats':>12}"]
    for k, name in enumerate(names):
        most = np.ceil(draws[shown[:, k]].max(initial=0) - 1e-9)
        lines.append(
            f"{name:{wide}}  {shown[:, k].sum():8d}  {draws[shown[:, k]].sum():9.1f}  "
            f"{plan.expected[:, k].sum():11.1f}  {int(most):12d}"
        )
    return "\n".join(lines)


class EpochSampler:
    """Batches of draws for one process.

    With W processes, process r takes every W-th draw of the epoch's order, beginning at r:
    the window of k micro-batches of all processes together then holds the same samples as
    the window of W * k micro-batches of one process. All processes get the same number of
    draws.

    Args:
        samples: How many samples the split has; as many are drawn per epoch.
        batch_size: Draws per micro-batch; the last one may be shorter.
        seed: Seed of the order.
        rank: Number of this process.
        world_size: How many processes there are.
        plan: How often each sample is drawn; ``None``: each of them once.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        plan: ClassPlan | None = None,
    ) -> None:
        self.samples, self.batch_size, self.seed = samples, batch_size, seed
        self.rank, self.world_size, self.plan = rank, world_size, plan
        self.epoch = 0
        self.start = 0  # micro-batches of this epoch to leave out, without reading them

    def __len__(self) -> int:
        """Micro-batches in a whole epoch."""
        return -(-self._draws_per_process // self.batch_size)

    def __iter__(self) -> Iterator[list[Draw]]:
        draws = self._draws()
        missing = self._draws_per_process * self.world_size - self.samples
        draws += [d._replace(counted=False) for d in (draws * self.world_size)[:missing]]
        mine = draws[self.rank :: self.world_size]
        for first in range(self.start * self.batch_size, len(mine), self.batch_size):
            yield mine[first : first + self.batch_size]

    def _draws(self) -> list[Draw]:
        if self.plan is not None:
            return self.plan.draw(self.seed, self.epoch)
        return [Draw(i, self.epoch) for i in order(self.seed, self.epoch, self.samples)]

    @property
    def _draws_per_process(self) -> int:
        return -(-self.samples // self.world_size)
