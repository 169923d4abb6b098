"""What a network says of one picture, at the size of its target, in slices of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from segkit.types import LabelSpace

SLICE = 2**25  # floats that are enlarged at a time: 128 MiB


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

    Attributes:
        logits: As given, float32 (float64 where given so).
        size: As given.
        labels: As given.
    """

    def __init__(
        self, logits: Tensor, size: tuple[int, int], labels: LabelSpace, threshold: float = 0.5
    ) -> None:
        self.logits = logits if logits.dtype == torch.float64 else logits.float()
        self.size, self.labels, self.threshold = size, labels, threshold

    @cached_property
    def prediction(self) -> Tensor:
        """``[H, W]`` int64 class indices, or ``[K, H, W]`` zeros and ones in a multilabel task."""
        if self.labels.task == "multiclass":
            return self._best[1]
        parts = [self.labels.predict(part[None], self.threshold)[0] for _, part in self.slices()]
        return torch.cat(parts) if self.labels.task == "multilabel" else parts[0]

    @cached_property
    def confidence(self) -> Tensor:
        """Probability of what was predicted, ``[H, W]`` (multilabel: of each answer, ``[K, H, W]``)."""
        if self.labels.task == "multiclass":
            return (self._best[0] - self._normaliser(1.0)).exp()
        positive = torch.cat([part for _, part in self.slices()]).sigmoid()
        positive = positive if self.labels.task == "multilabel" else positive[0]
        return torch.where(self.prediction == 1, positive, 1 - positive)

    def probabilities(self, temperature: float = 1.0) -> Iterator[tuple[int, Tensor]]:
        """Class probabilities at the size of the target, a few classes at a time.

        Args:
            temperature: What logits are divided by first (Guo et al. 2017, "On Calibration of
                Modern Neural Networks").

        Yields:
            The first class of a slice, and ``[k, H, W]`` probabilities of its k classes. Over
            all classes they add up to 1, except in a multilabel task. A binary task has two.
        """
        if self.labels.task == "multiclass":
            normaliser = self._normaliser(temperature)
            for first, part in self.slices():
                yield first, (part / temperature - normaliser).exp_()
            return
        for first, part in self.slices():
            positive = (part / temperature).sigmoid()
            yield first, torch.cat([1 - positive, positive]) if self.labels.task == "binary" else positive

    def slices(self) -> Iterator[tuple[int, Tensor]]:
        """Logits at the size of the target: the first channel of a slice, and ``[c, H, W]``."""
        chunk = max(1, SLICE // max(1, self.size[0] * self.size[1]))
        for first in range(0, len(self.logits), chunk):
            yield first, enlarged(self.logits[first : first + chunk], self.size)

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
            best = torch.where(better, value, best)
            where = torch.where(better, index + first, where)
        return best, where

    def _normaliser(self, temperature: float) -> Tensor:
        """Log of the sum over classes of exp(logit / temperature): ``[H, W]``."""
        top = self._best[0] / temperature
        total = torch.zeros_like(top)
        for _, part in self.slices():
            total += (part / temperature - top).exp_().sum(0)
        return top + total.log()


class Scored(Answer):
    """What a network says of one sample, at the size of its target: all that a meter looks at.

    Args:
        logits: ``[C, h, w]`` as the network gives them.
        target: ``[H, W]`` class indices, or ``[K, H, W]`` zeros and ones in a multilabel task,
            with ignored pixels.
        index: Position of the sample in its split.
        labels: What both mean.
        threshold: Probability from which on a sigmoid output counts as present.

    Attributes:
        target: As given.
        index: As given.
    """

    def __init__(
        self, logits: Tensor, target: Tensor, index: int, labels: LabelSpace, threshold: float = 0.5
    ) -> None:
        super().__init__(logits, (int(target.shape[-2]), int(target.shape[-1])), labels, threshold)
        self.target, self.index = target, index

    @cached_property
    def counted(self) -> Tensor:
        """Where the target is not ignored: bool, in the shape of the target."""
        return self.target != self.labels.ignore_index


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


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits ``[c, h, w]`` at another size, bilinear with half-pixel centres: ``[c, H, W]``."""
    if tuple(logits.shape[-2:]) == size:
        return logits
    return interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0]
