"""Choose which part of a picture a training sample shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from segkit.augment.fit import Window
from segkit.types import UserError

if TYPE_CHECKING:
    from segkit.types import Array

Fit = Literal["stretch", "crop"]
TRIES = 10  # as cat_max_ratio is commonly used: after ten crops the last one is taken


@dataclass(frozen=True)
class RandomCrop:
    """Rule for a random window.

    Attributes:
        scale: smallest and largest magnification, drawn uniformly on a logarithmic axis:
            2 shows half as many source pixels per side at double size.
        class_prob: Probability, 0..1, that the window is placed around a random pixel of
            a class that is drawn uniformly among those that the picture shows.
        classes: Class indices to draw from; ``None``: all.
        max_ratio: Largest share, above 0 to 1, of the valid pixels that one class may fill;
            up to ten places are tried.
    """

    scale: Sequence[float] = (1.0, 1.0)
    class_prob: float = 0.0
    classes: Sequence[int] | None = None
    max_ratio: float = 1.0

    def __post_init__(self) -> None:
        _check_scale(self.scale)
        if not 0 <= self.class_prob <= 1:
            raise UserError(f"augment.crop_class_prob={self.class_prob}: give a probability from 0 to 1")
        if not 0 < self.max_ratio <= 1:
            raise UserError(f"augment.crop_max_ratio={self.max_ratio}: give a share above 0, at most 1")
        if self.classes is not None and (not self.classes or any(c < 0 for c in self.classes)):
            raise UserError(f"augment.crop_classes={self.classes}: give class indices from 0 on, or null")

    def window(
        self,
        target: Array,
        size: tuple[int, int],
        fit: Fit,
        ignore_index: int,
        rng: np.random.Generator,
        focus: int | None = None,
    ) -> Window:
        """Draw a window.

        Args:
            target: ``[H, W]`` class indices or ``[H, W, K]`` zeros and ones.
            size: (height, width) that the window will be stretched to, in pixels.
            fit: ``stretch``: the window has the proportions of the source, the whole of it at
                scale 1. ``crop``: it has the proportions of ``size``, that many source pixels
                at scale 1.
            ignore_index: Value of target pixels that belong to no class.
            rng: Where the randomness comes from.
            focus: The class index that the window is to be placed around, whatever
                ``class_prob`` and ``classes`` say; as ``None`` where no pixel shows it.
        """
        height, width = self._extent(target, size, fit, rng)
        classes = self._candidates(target, ignore_index, rng, focus)
        for _ in range(TRIES):
            row, column = _random_pixel(target, classes, rng) if len(classes) else (None, None)
            top = _place(height, target.shape[0], row, rng)
            left = _place(width, target.shape[1], column, rng)
            window = Window(top, left, height, width)
            if self.max_ratio == 1 or _largest_share(target, window, ignore_index) <= self.max_ratio:
                break
        return window

    def _extent(
        self, target: Array, size: tuple[int, int], fit: Fit, rng: np.random.Generator
    ) -> tuple[int, int]:
        smallest, largest = self.scale
        drawn = math.exp(rng.uniform(math.log(smallest), math.log(largest)))
        scale = drawn if smallest < largest else smallest  # exp(log(x)) is not quite x
        height, width = size if fit == "crop" else target.shape[:2]
        return max(1, round(height / scale)), max(1, round(width / scale))

    def _candidates(
        self, target: Array, ignore_index: int, rng: np.random.Generator, focus: int | None
    ) -> Array:
        """Classes, all of them in the picture, one of which the window is placed around; empty: anywhere."""
        if focus is not None and _shows(target, focus).any():
            return np.array([focus])
        if self.class_prob == 0 or rng.random() >= self.class_prob:
            return np.empty(0, int)
        present = np.flatnonzero(_class_pixels(target, ignore_index)[0])
        return present if self.classes is None else present[np.isin(present, self.classes)]


def check_classes(classes: Sequence[int] | None, num_classes: int) -> None:
    """Refuse class indices that the data does not have, which crops would look for in vain."""
    if beyond := [c for c in classes or () if c >= num_classes]:
        raise UserError(
            f"augment.crop_classes={list(classes or ())}: the classes are 0 to {num_classes - 1}; "
            f"leave out {', '.join(map(str, beyond))}"
        )


def _check_scale(scale: Sequence[float]) -> None:
    if len(scale) != 2 or not 0 < scale[0] <= scale[1] < math.inf:
        shown = list(scale)
        raise UserError(f"augment.scale={shown}: give [smallest, largest], both above 0, such as [0.5, 2.0]")


def _place(length: int, source: int, pixel: int | None, rng: np.random.Generator) -> int:
    """Draw where a window begins on one axis, so that it holds ``pixel`` if there is one.

    A window inside the picture stays inside; one that is larger has the picture inside.
    """
    low, high = min(0, source - length), max(0, source - length)
    if pixel is not None:
        low, high = max(low, pixel - length + 1), min(high, pixel)
    return int(rng.integers(low, high + 1))


def _class_pixels(target: Array, ignore_index: int) -> tuple[Array, float]:
    """Return the pixels of each class and the number of valid pixels (several labels may share one)."""
    if target.ndim == 3:
        counts = np.count_nonzero(target == 1, axis=(0, 1))
        return counts, float(np.count_nonzero((target != ignore_index).any(axis=2)))
    values = np.iinfo(target.dtype).max + 1
    counts = cv2.calcHist([target], [0], None, [values], [0, values]).ravel()  # ten times bincount's speed
    counts[ignore_index] = 0
    return counts, float(counts.sum())


def _random_pixel(target: Array, classes: Array, rng: np.random.Generator) -> tuple[int, int]:
    """Draw a class, then a pixel (row, column) of it."""
    pixels = np.flatnonzero(_shows(target, rng.choice(classes)))
    row, column = divmod(int(pixels[rng.integers(len(pixels))]), target.shape[1])
    return row, column


def _shows(target: Array, index: int) -> Array:
    return target == index if target.ndim == 2 else target[..., index] == 1


def _largest_share(target: Array, window: Window, ignore_index: int) -> float:
    """Return the share of the valid pixels in a window that its largest class fills; 1 without any."""
    rows = slice(max(window.top, 0), window.top + window.height)
    columns = slice(max(window.left, 0), window.left + window.width)
    counts, valid = _class_pixels(target[rows, columns], ignore_index)
    return float(counts.max()) / valid if valid else 1.0
