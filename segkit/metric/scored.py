"""What a network says of one picture, at the size of its target, in slices of bounded memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from segkit.types import LabelSpace

SLICE = 2**22  # floats that are enlarged at a time: 16 MiB


class Answer:
    """Logits of one picture, to be read at another size.

    Bilinear enlargement treats each class by itself, so that classes can be enlarged a few at
    a time: the prediction is the same to the last bit, and 150 classes at 1024x2048 need a
    tenth of the memory.

    Args:
        logits: ``[C, h, w]`` as the network gives them.
        size: (H, W) at which it is read.
        labels: What the logits mean.
        threshold: Probability from which on a sigmoid output counts as present.
        temperature: What logits are divided by before they become probabilities (Guo et al. 2017,
            "On Calibration of Modern Neural Networks", section 4.2). The prediction of a
            multiclass task, and of any task at threshold 0.5, does not depend on it.

    Attributes:
        logits: As given, float32 (float64 where given so).
        size: As given.
        labels: As given.
        threshold: As given.
        temperature: As given.
    """

    def __init__(
        self,
        logits: Tensor,
        size: tuple[int, int],
        labels: LabelSpace,
        threshold: float = 0.5,
        temperature: float = 1.0,
    ) -> None:
        # Contiguous: with the channels last in memory, enlarging rounds in another way.
        self.logits = (logits if logits.dtype == torch.float64 else logits.float()).contiguous()
        self.size, self.labels = size, labels
        self.threshold, self.temperature = threshold, temperature

    def at(self, temperature: float) -> Self:
        """The same scores at another temperature; what does not depend on it is shared."""
        other = copy.copy(self)
        other.temperature = temperature
        for name in ("prediction", "confidence", "_level"):
            other.__dict__.pop(name, None)
        return other

    @cached_property
    def prediction(self) -> Tensor:
        """``[H, W]`` int64 class indices, or ``[K, H, W]`` zeros and ones in a multilabel task."""
        if self.labels.task == "multiclass":
            return self._best[1]
        # At 0.5 the sign of a logit decides: no division, no rounding.
        warm = 1.0 if self.threshold == 0.5 else self.temperature
        parts = [self.labels.predict(_over(part, warm)[None], self.threshold)[0] for _, part in self.slices()]
        return torch.cat(parts) if self.labels.task == "multilabel" else parts[0]

    @cached_property
    def confidence(self) -> Tensor:
        """Probability of what was predicted, ``[H, W]`` (multilabel: of each answer, ``[K, H, W]``)."""
        if self.labels.task == "multiclass":
            return _over(self._best[0] - self._level, self.temperature).exp()
        positive = torch.cat([_over(part, self.temperature).sigmoid() for _, part in self.slices()])
        positive = positive if self.labels.task == "multilabel" else positive[0]
        return torch.where(self.prediction == 1, positive, 1 - positive)

    def probabilities(self) -> Iterator[tuple[int, Tensor]]:
        """Class probabilities at the size of the target, a few classes at a time.

        Yields:
            The first class of a slice, and ``[k, H, W]`` probabilities of its k classes; the next
            slice takes their place. Over all classes they add up to 1, except in a multilabel
            task. A binary task has two.
        """
        level = (
            self._level if self.labels.task == "multiclass" else None
        )  # before the slices: it goes over them
        for first, part in self.slices():
            if level is not None:
                yield first, self._warm(part, level).exp_()
                continue
            positive = _over(part, self.temperature).sigmoid()
            yield first, torch.cat([1 - positive, positive]) if self.labels.task == "binary" else positive

    def slices(self) -> Iterator[tuple[int, Tensor]]:
        """Logits at the size of the target: the first channel of a slice, and ``[c, H, W]``.

        They are not to be changed in place, and each slice takes the place of the one before.
        """
        ends = self._ends
        if len(ends) == 1:
            yield 0, self._whole
            return
        for first, end in zip([0, *ends], ends, strict=False):
            yield first, enlarged(self.logits[first:end], self.size, self._rooms[0][: end - first])

    @property
    def _ends(self) -> list[int]:
        """Where slices end: they are of about one size."""
        classes, chunk = len(self.logits), max(1, SLICE // max(1, self.size[0] * self.size[1]))
        count = max(1, classes // chunk)
        return [classes * i // count for i in range(1, count + 1)]

    @cached_property
    def _rooms(self) -> tuple[Tensor, Tensor]:
        """Where slices and what is made of them are put.

        Memory that is given back and taken anew falls to pieces: a hundred slices would need
        several times as much.
        """
        ends = self._ends
        most = max(end - first for first, end in zip([0, *ends], ends, strict=False))
        one = self.logits.new_empty(most, *self.size)
        return one, torch.empty_like(one)

    def _warm(self, part: Tensor, level: Tensor) -> Tensor:
        """(logits - level) / T of a slice, in the second room."""
        excess = torch.sub(part, level, out=self._rooms[1][: len(part)])
        return excess if self.temperature == 1 else excess.div_(self.temperature)

    @cached_property
    def _whole(self) -> Tensor:
        """All logits at the size of the target; looked at only where they fit one slice."""
        return enlarged(self.logits, self.size)

    @cached_property
    def _best(self) -> tuple[Tensor, Tensor]:
        """Largest logit of each pixel and its class."""
        best, where = torch.empty(0), torch.empty(0)
        for first, part in self.slices():
            value, index = largest(part)
            if first == 0:
                best, where = value, index
                continue
            better = value > best
            torch.where(better, value, best, out=best)  # new memory would be slower
            torch.where(better, index.add_(first), where, out=where)
        return best, where

    @cached_property
    def _level(self) -> Tensor:
        """T x log of the sum over classes of exp(logit / T), ``[H, W]``: p = exp((logit - level) / T)."""
        top = self._best[0]
        total = torch.zeros_like(top)
        for _, part in self.slices():
            total += self._warm(part, top).exp_().sum(0)
        return top + total.log_() * self.temperature


class Scored(Answer):
    """What a network says of one sample, at the size of its target: all that a meter looks at.

    Args:
        logits: ``[C, h, w]`` as the network gives them.
        target: ``[H, W]`` class indices, or ``[K, H, W]`` zeros and ones in a multilabel task,
            with ignored pixels.
        index: Position of the sample in its split.
        labels: What both mean.
        threshold: Probability from which on a sigmoid output counts as present.
        temperature: What logits are divided by before they become probabilities.
        ignored: Classes whose pixels in the target count nowhere (not in a multilabel task).

    Attributes:
        target: As given, the pixels of ``ignored`` classes ignored.
        index: As given.
    """

    def __init__(
        self,
        logits: Tensor,
        target: Tensor,
        index: int,
        labels: LabelSpace,
        threshold: float = 0.5,
        temperature: float = 1.0,
        ignored: Sequence[int] = (),
    ) -> None:
        size = (int(target.shape[-2]), int(target.shape[-1]))
        super().__init__(logits, size, labels, threshold, temperature)
        self.target, self.index = target, index
        for k in ignored:
            self.target = self.target.masked_fill(target == k, labels.ignore_index)

    @cached_property
    def counted(self) -> Tensor:
        """Where the target is not ignored: bool, in the shape of the target."""
        return self.target != self.labels.ignore_index

    def real(self, k: int) -> Tensor:
        """Where the target shows class ``k``: bool ``[H, W]``."""
        return self.target[k] == 1 if self.labels.task == "multilabel" else self.target == k

    def valid(self, k: int) -> Tensor:
        """Where the target says whether class ``k`` is there: bool ``[H, W]``."""
        return self.counted[k] if self.labels.task == "multilabel" else self.counted

    def log_probability_of_target(self) -> Iterator[Tensor]:
        """Natural log of the probability that the target was given, from logits: it never underflows.

        Yields:
            ``[H, W]`` once (multilabel: ``[k, H, W]`` for the classes of a slice), at most 0, and
            0 where the target is ignored.
        """
        if self.labels.task == "multiclass":
            yield _over(self._logit_of_target() - self._level, self.temperature).masked_fill_(
                ~self.counted, 0
            )
            return
        for first, part in self.slices():
            many = self.labels.task == "multilabel"
            target = self.target[first : first + len(part)] if many else self.target[None]
            signed = torch.where(target == 1, part, -part)
            ignored = target == self.labels.ignore_index
            found = logsigmoid(_over(signed, self.temperature)).masked_fill_(ignored, 0)
            yield found if many else found[0]

    def _logit_of_target(self) -> Tensor:
        """``[H, W]``; any number where the target is ignored."""
        found = torch.zeros_like(self._best[0])
        for first, part in self.slices():
            for k, logit in enumerate(part, first):  # `gather` wants an index of 64 bits per pixel
                torch.where(self.target == k, logit, found, out=found)
        return found


def largest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Largest logit of each pixel, and the first class that has it.

    What ``logits.max(0)`` gives, from one class at a time: four times as fast on a CPU, whose
    vector instructions know no maximum that also tells where it was found.

    Args:
        logits: ``[C, H, W]``.

    Returns:
        ``[H, W]`` in the type of the logits, and ``[H, W]`` int64.
    """
    if logits.device.type != "cpu":
        return logits.max(0)
    best = logits[0].clone()
    where = torch.zeros_like(best, dtype=torch.uint8 if len(logits) <= 256 else torch.int32)
    for c in range(1, len(logits)):
        better = logits[c] > best
        torch.maximum(where, better.to(where.dtype).mul_(c), out=where)  # c exceeds every class so far
        torch.maximum(best, logits[c], out=best)
    return best, where.long()


def enlarged(logits: Tensor, size: tuple[int, int], room: Tensor | None = None) -> Tensor:
    """Logits ``[c, h, w]`` at another size, bilinear with half-pixel centres: ``[c, H, W]``, in ``room``.

    Class by class: how torch rounds depends on the number of channels. It is the operator behind
    `interpolate`, which does not let write into memory that is there.
    """
    if tuple(logits.shape[-2:]) == size:
        return logits
    room = logits.new_empty(len(logits), *size) if room is None else room
    for one, place in zip(logits, room, strict=True):
        torch.ops.aten.upsample_bilinear2d.out(
            one[None, None], size, False, None, None, out=place[None, None]
        )
    return room


def _over(logits: Tensor, temperature: float) -> Tensor:
    return logits if temperature == 1 else logits / temperature
