"""What an augmentation is tried on: pictures of blocks, larger and smaller than its results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segkit.augment.align import blocks
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

SHAPES = ((1.37, 1.29), (0.78, 0.74))  # height and width over those of the result: by no whole number

Pair = tuple["Array", "Array"]  # image and target
Transform = Callable[..., Pair]


class Trial(NamedTuple):
    """An augmentation and what it is tried on.

    Attributes:
        augment: An `Augment`, or anything that is called like one.
        size: (height, width) of its results, in pixels.
        fit: ``stretch`` or ``crop``.
        labels: Tells how many classes there are and how targets look.
        seed: Of the pictures and the draws.
        draws: How many pictures there are.
    """

    augment: Transform
    size: tuple[int, int]
    fit: str
    labels: LabelSpace
    seed: int
    draws: int

    def run(self, image: Array, target: Array, draw: int, size: tuple[int, int] | None = None) -> Pair:
        """Augment copies, so that nothing that is kept can change."""
        return self.augment(
            image.copy(),
            target.copy(),
            size=size or self.size,
            fit=self.fit,
            ignore_index=self.labels.ignore_index,
            seed=self.seed + draw,
        )

    def target(self, mask: Array) -> Array:
        """Class indices ``[H, W]`` as a target of this label space: ``[H, W]`` or ``[H, W, K]``."""
        mask = mask.astype(self.labels.dtype)
        if self.labels.task != "multilabel":
            return mask
        planes = (mask[..., None] == np.arange(self.labels.num_classes)).astype(self.labels.dtype)
        planes[mask == self.labels.ignore_index] = self.labels.ignore_index
        return planes

    def classes(self, count: int = 4) -> Array:
        """Some class indices, the first and the last among them."""
        number = self.labels.num_classes
        return np.unique(np.linspace(0, number - 1, min(number, count)).round().astype(int))

    def mask(self, target: Array) -> Array:
        """The inverse of `target`; where no label holds the value is that of ignored pixels."""
        if target.ndim == 2:
            return target
        present = target == 1
        return np.where(present.any(2), present.argmax(2), self.labels.ignore_index)

    def shape(self, draw: int, size: tuple[int, int] | None = None) -> tuple[int, int]:
        """Height and width of a picture, larger and smaller than the size in turn."""
        height, width = size or self.size
        by_height, by_width = SHAPES[draw % len(SHAPES)]
        return max(1, round(height * by_height)), max(1, round(width * by_width))

    def blocks(self, size: tuple[int, int]) -> Iterator[tuple[int, Array, Array]]:
        """Number of the draw, picture of blocks and mask."""
        for draw in range(self.draws):
            rng = np.random.default_rng([self.seed, draw])
            yield draw, *blocks(*self.shape(draw, size), self.classes(), rng)
