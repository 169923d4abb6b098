"""Does an augmentation do to labels what it does to pictures?

`audit` looks at what comes out; it knows nothing about how an augmentation works, so that it
finds the mistakes of any: a mask that is half a pixel off, classes that interpolation
invented, labels where there is no picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from segkit.augment.align import NEAR, borders
from segkit.augment.augment import Augment
from segkit.augment.trial import Pair, Transform, Trial
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

HALF = 0.5  # pixels
FEW = 0.02  # share of borders that may be far from the picture's (corners of blocks)
SEEN = 12  # grey levels by which a picture and its negative differ where they are shown
SMALLEST = 256  # pixels on the shorter side, below which a border is found too inexactly

Step = Callable[..., Pair]  # (image, target, number of the draw)


class Check(NamedTuple):
    """What one test of an augmentation found.

    Attributes:
        name: What was tested, a word.
        passed: Whether it is right; ``None`` where there is no right and wrong.
        measure: The figure that was measured.
        limit: The largest figure that passes, where that is what decides.
        unit: Of the figures.
        message: What the figure is, and what is wrong where the test failed; no full stop.
    """

    name: str
    passed: bool | None
    measure: float
    limit: float | None
    unit: str
    message: str


def audit(
    augment: Transform,
    *,
    size: tuple[int, int],
    fit: str,
    labels: LabelSpace,
    seed: int = 0,
    draws: int = 24,
    pictures: Sequence[Pair] = (),
) -> list[Check]:
    """Test an augmentation on pictures of blocks.

    Args:
        augment: An `Augment`, or anything that is called like one.
        size: (height, width) of its results, in pixels.
        fit: ``stretch`` or ``crop``.
        labels: Tells how many classes there are and how targets look.
        seed: Of the pictures and the draws.
        draws: How often each test draws, at least 2.
        pictures: Images and targets to take the time with; none: the pictures of blocks.

    Returns:
        The checks ``alignment``, ``borders``, ``classes``, ``fill``, ``types`` and ``speed``.
    """
    trial = Trial(augment, size, fit, labels, seed, draws)
    offsets, far, blank = _move(trial)
    return [
        _alignment(offsets),
        _borders(far),
        _classes(trial),
        _fill(trial, blank),
        _types(trial),
        _speed(trial, pictures),
    ]


class _Moved(NamedTuple):
    """What all draws of a picture of blocks showed.

    Attributes:
        offsets: ``[n, 2]``, mean displacement of the borders of each draw, in pixels; may be nan.
        far: Share of the mask's borders where the picture has none.
        blank: Largest share of the pixels that show nothing of the picture and have a label.
    """

    offsets: Array
    far: float
    blank: float


def _move(trial: Trial) -> _Moved:
    size = _enlarged(trial.size)
    ignore, offsets, far, blank = trial.labels.ignore_index, [], [], [0.0]
    for draw, image, mask in trial.blocks(size):
        shown, target = trial.run(image, trial.target(mask), draw, size)
        negative, _ = trial.run(255 - image, trial.target(mask), draw, size)
        signal = shown.astype(np.int16) - negative  # free of noise that is added to both
        # What does not depend on the picture is none of it: fill, or a hole.
        void = np.abs(signal).max(2) <= SEEN
        moved = trial.mask(target)
        found = borders(signal, np.where(void, ignore, moved), ignore)
        offsets.append(found.offset)
        far.append(found.far)
        inner = cv2.erode(void.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
        blank.append(float(((inner > 0) & (moved != ignore)).mean()))
    return _Moved(np.array(offsets), float(np.mean(far)), max(blank))


def _alignment(offsets: Array) -> Check:
    """The largest displacement over the draws: resizing to the corner is off by a half and more."""
    measured = np.abs(offsets[~np.isnan(offsets).any(1)])
    text = "largest mean displacement of image against mask over the draws"
    if len(measured) == 0:
        text = "no border could be measured: transforms leave too little of the picture to see"
        return Check("alignment", False, float("nan"), HALF, "pixels", text)
    largest = float(measured.max())
    if largest > HALF:
        text += ": the mask is shifted; resize masks with INTER_NEAREST_EXACT, not INTER_NEAREST"
    return Check("alignment", largest <= HALF, largest, HALF, "pixels", text)


def _borders(far: float) -> Check:
    text = f"share of mask borders without a border of the image within {NEAR} pixels"
    if far > FEW:
        text += ": a transform moves the image and not the mask, or the reverse"
    return Check("borders", far <= FEW, far, FEW, "of borders", text)


def _enlarged(size: tuple[int, int]) -> tuple[int, int]:
    times = max(1, -(-SMALLEST // min(size)))
    return size[0] * times, size[1] * times


def _classes(trial: Trial) -> Check:
    """Values in the targets that were not in them before."""
    ignore, invented = trial.labels.ignore_index, set[int]()
    values = np.array([0, trial.labels.num_classes - 1, ignore])  # whatever lies between is invented
    for draw in range(trial.draws):
        rng = np.random.default_rng([trial.seed, draw, 1])
        shape = trial.shape(draw)
        image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
        target = trial.target(rng.choice(values, shape))
        moved = trial.run(image, target, draw)[1]
        invented |= set(np.unique(moved).tolist()) - {*np.unique(target).tolist(), ignore}
    text = "class indices that the mask did not hold"
    if invented:
        text += (
            f" ({', '.join(map(str, sorted(invented)[:5]))}): masks must be resampled to the nearest pixel"
        )
    return Check("classes", not invented, len(invented), 0, "values", text)


def _fill(trial: Trial, blank: float) -> Check:
    """Labels of what is not in the picture: a class that it is not full of, or where it shows nothing.

    Args:
        trial: What is tested.
        blank: Share of pixels that show nothing of the picture and have a label.
    """
    wrong = 0.0
    for index in trial.classes(2):
        for draw in range(trial.draws // 2):
            image = np.full((*trial.shape(draw), 3), 255, np.uint8)
            target = trial.target(np.full(image.shape[:2], index))
            moved = trial.run(image, target, draw)[1]
            kept, ignored = moved == target[0, 0], moved == trial.labels.ignore_index
            right = kept | ignored if moved.ndim == 2 else kept.all(2) | ignored.all(2)
            wrong = max(wrong, float((~right).mean()))
    blank = 0.0 if _cuts_holes(trial.augment) else blank
    text = "share of pixels that have a label and show nothing of the picture"
    if wrong:
        text += f": fill masks with the ignore index ({trial.labels.ignore_index}), not with a class"
    elif blank:
        text += ": a transform fills or covers the image and leaves the labels"
    return Check("fill", not wrong and not blank, max(wrong, blank), 0, "of pixels", text)


def _cuts_holes(augment: Transform) -> bool:
    """Whether parts of the picture are hidden on purpose while their labels stay."""
    return isinstance(augment, Augment) and augment.cuts_holes


def _types(trial: Trial) -> Check:
    """Results of another type or size than the network expects."""
    wrong = ""
    for draw, image, mask in trial.blocks(trial.size):
        target = trial.target(mask)
        new, moved = trial.run(image, target, draw)
        for what, array, shape, dtype in (
            ("image", new, (*trial.size, 3), np.dtype(np.uint8)),
            ("target", moved, (*trial.size, *target.shape[2:]), target.dtype),
        ):
            if array.shape != shape or array.dtype != dtype:
                wrong = f"{what} {array.dtype} {list(array.shape)} instead of {dtype} {list(shape)}"
    text = "results of another type or size"
    return Check("types", not wrong, float(bool(wrong)), 0, "kinds", f"{text}: {wrong}" if wrong else text)


def _speed(trial: Trial, pictures: Sequence[Pair]) -> Check:
    """Time per sample, and how it is divided among resizing and the transforms."""
    made = pictures or [(image, trial.target(mask)) for _, image, mask in trial.blocks(trial.size)]
    draws, (height, width) = 2 * trial.draws, made[0][0].shape[:2]
    text = f"per sample of {width}x{height}"
    if not isinstance(trial.augment, Augment) or not trial.augment.transforms:
        return Check("speed", None, _milliseconds({"": trial.run}, made, draws)[""], None, "ms", text)
    plain = trial._replace(augment=trial.augment.only())
    sized = [plain.run(*pair, draw) for draw, pair in enumerate(made)]
    parts = _milliseconds({"crop and resize": plain.run}, made, draws)
    parts |= _milliseconds(_steps(trial), sized, draws)
    total = sum(parts.values())
    ordered = sorted(parts.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{name} {100 * part / total:.0f} %" for name, part in ordered)
    return Check("speed", None, total, None, "ms", f"{text}: {shares}")


def _steps(trial: Trial) -> dict[str, Step]:
    """Each transform of an augmentation by itself."""
    from segkit.augment.transform import Chain  # albumentations takes seconds to import

    assert isinstance(trial.augment, Augment)

    def step(chain: Chain) -> Step:
        return lambda image, target, draw: chain(image, target, np.random.default_rng(trial.seed + draw))

    given = trial.augment.transforms.items()
    return {name: step(Chain({name: arguments}, trial.labels.ignore_index)) for name, arguments in given}


def _milliseconds(steps: Mapping[str, Step], pictures: Sequence[Pair], draws: int) -> dict[str, float]:
    """Mean time of each step over some draws, each draw's best of three."""
    times = dict.fromkeys(steps, 0.0)
    for name, step in steps.items():
        for draw in range(draws):
            best = float("inf")
            for _ in range(3):
                image, target = (array.copy() for array in pictures[draw % len(pictures)])
                start = time.perf_counter()
                step(image, target, draw)
                best = min(best, time.perf_counter() - start)
            times[name] += 1000 * best / draws
    return times
