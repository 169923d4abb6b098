"""Source -> examples -> batches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from segkit.data.sampler import Draw
from segkit.error import ShortOfResources
from segkit.exhausted import LOADERS
from segkit.types import Batch, LabelSpace, Sample, Source, UserError

if TYPE_CHECKING:
    from segkit.types import Array

# OpenCV's threads do not come along into a loader process, which is a fork and may then wait for them without
# end (https://github.com/opencv/opencv/issues/5150). Without threads nothing is waited for, and loader
# processes do not fight each other for the processors.
cv2.setNumThreads(1)


class Fit(Protocol):
    """Image and target -> the same at another size (see ``segkit.augment.fit.stretch``)."""

    def __call__(self, image: Array, target: Array, size: tuple[int, int]) -> tuple[Array, Array]:
        """Return image and target of (height, width) ``size``."""
        ...


class Transform(Protocol):
    """Augmentation as a pure function of its arguments (see ``segkit.augment``)."""

    def __call__(
        self,
        image: Array,
        target: Array,
        *,
        size: tuple[int, int],
        fit: str,
        ignore_index: int,
        seed: int,
        focus: int | None = None,
    ) -> tuple[Array, Array]:
        """Return image and target of ``size``, which show the class ``focus`` where they can."""
        ...


class Example(NamedTuple):
    """One sample as arrays: image ``[H, W, 3]`` uint8, target ``[H', W']`` or ``[H', W', K]``."""

    image: Array
    target: Array
    index: int  # type: ignore[assignment]  # hides tuple.index
    name: str


class Missing(NamedTuple):
    """A sample that could not be read, in the place of its example.

    Attributes:
        name: Its name.
        reason: Why, in one line.
        counted: False where it would only have filled up a batch (`segkit.data.sampler.Draw`).
    """

    name: str
    reason: str
    counted: bool = True


class Reader:
    """Reads samples of one split, at most once if they are to be kept in memory.

    Args:
        source: Where the samples come from.
        samples: Those of one split, in a fixed order.
        cache: Keep what was read.
        skip: Whether `get` tells of a sample that cannot be read, or raises.
    """

    def __init__(self, source: Source, samples: Sequence[Sample], cache: bool, skip: bool = False) -> None:
        self.source, self.samples, self.cache, self.skip = source, list(samples), cache, skip
        self._kept: dict[int, tuple[Array, Array]] = {}

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        if index in self._kept:
            return self._kept[index]
        image, target = self.source.read(self.samples[index])
        if target is None:
            raise UserError(f"{self.samples[index].image} has no mask")
        if self.cache:
            self._kept[index] = image, target
        return image, target

    def get(self, index: int) -> tuple[Array, Array] | Missing:
        """Return image and target, or why there is neither.

        Raises:
            UserError: It cannot be read, and is not to be left out.
        """
        try:
            return self[index]
        except ShortOfResources:
            raise
        except UserError as error:
            if not self.skip:
                raise UserError(f"{error} (data.on_error=skip leaves it out)") from error
            return Missing(self.samples[index].name, str(error))

    def fill(self, threads: int) -> None:
        """Read everything now, so that worker processes share one copy."""
        if self.cache:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(self.get, range(len(self.samples))))


class TrainDataset(Dataset[Example | Missing]):
    """Augmented samples: a pure function of the seed and the draw, in any worker.

    Args:
        reader: Reads the training part.
        augment: Turns what was read into an example of ``size``.
        size: Height and width of every example.
        fit: ``stretch`` or ``crop``.
        seed: Seed of the augmentation.
    """

    def __init__(
        self, reader: Reader, augment: Transform, size: tuple[int, int], fit: str, seed: int
    ) -> None:
        self.reader, self.augment, self.size, self.fit, self.seed = reader, augment, size, fit, seed

    def __getitem__(self, draw: Draw) -> Example | Missing:
        found = self.reader.get(draw.index)
        if isinstance(found, Missing):
            return found._replace(counted=draw.counted)
        return self.augmented(draw, *found)

    def augmented(self, draw: Draw, image: Array, target: Array) -> Example:
        """What a draw makes of its sample as it was read."""
        again = [draw.repeat] if draw.repeat else []  # the first draw is augmented as in uniform sampling
        entropy = [self.seed, draw.epoch, draw.index, *again]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        ignore = self.reader.source.labels.ignore_index
        focus = draw.focus if draw.focus >= 0 else None
        image, target = self.augment(
            image, target, size=self.size, fit=self.fit, ignore_index=ignore, seed=seed, focus=focus
        )
        if not draw.counted:
            target = np.full_like(target, ignore)
        return Example(image, target, draw.index, self.reader.samples[draw.index].name)


class EvalDataset(Dataset[Example | Missing]):
    """Whole samples, never augmented.

    Args:
        reader: Reads the part that is measured.
        size: Image size for the network; ``None`` leaves every picture at its own.
        resize: Makes an image (and a target) of another size.
        native: Leave the target at the mask's own size.
    """

    def __init__(self, reader: Reader, size: tuple[int, int] | None, resize: Fit, native: bool) -> None:
        self.reader, self.size, self.resize, self.native = reader, size, resize, native

    def __len__(self) -> int:
        return len(self.reader.samples)

    def __getitem__(self, index: int) -> Example | Missing:
        found = self.reader.get(index)
        if isinstance(found, Missing):
            return found
        image, target = found
        if self.size is not None and image.shape[:2] != self.size:
            image, small = self.resize(image, target, self.size)
            target = target if self.native else small
        return Example(image, target, index, self.reader.samples[index].name)


class Loader(DataLoader[Any]):
    """A loader whose processes are known by the part that they read, should one of them die.

    Args:
        part: Name of the part.
        *args: As for `DataLoader`.
        **options: As for `DataLoader`.
    """

    def __init__(self, part: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.part = part

    def __iter__(self) -> Any:
        iterator = super().__iter__()
        LOADERS.update({process.pid: self.part for process in getattr(iterator, "_workers", ())})
        return iterator


class Collate:
    """Examples -> `Batch`; pictures of several sizes are padded at the bottom and the right.

    A sample that could not be read is left out: the batch has as many fewer.

    Args:
        labels: Tells the value of ignored pixels and whether targets have channels.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self.ignore_index, self.planes = labels.ignore_index, labels.task == "multilabel"
        shape = (1, 1, labels.num_classes) if self.planes else (1, 1)
        self.nothing = Example(np.zeros((1, 1, 3), np.uint8), np.zeros(shape, labels.dtype), 0, "")

    def __call__(self, found: Sequence[Example | Missing]) -> Batch:
        """Stack examples of a data set."""
        examples = [e for e in found if isinstance(e, Example)]
        count, shown = len(examples), examples or [self.nothing]
        targets = [e.target.astype(np.int32) if e.target.dtype == np.uint16 else e.target for e in shown]
        image = _stack([e.image for e in shown], 0)[:count].permute(0, 3, 1, 2)  # channels-last in memory
        target = _stack(targets, self.ignore_index)[:count]
        target = target.permute(0, 3, 1, 2).contiguous() if self.planes else target
        if get_worker_info() is not None:
            # Here, and not in the thread that sends it: what goes wrong there is never heard of, and the
            # run would wait for ever.
            for tensor in (image, target):
                tensor.share_memory_()
        return Batch(
            image=image,
            target=target,
            index=torch.tensor([e.index for e in examples], dtype=torch.int64),
            names=tuple(e.name for e in examples),
            image_size=tuple(e.image.shape[:2] for e in examples),
            target_size=tuple(e.target.shape[:2] for e in examples),
            skipped=tuple((m.name, m.reason) for m in found if isinstance(m, Missing) and m.counted),
        )


def _stack(arrays: Sequence[Array], fill: int) -> torch.Tensor:
    """``[N, H, W, ...]`` of the largest height and width, ``fill`` behind smaller ones."""
    height, width = (max(a.shape[i] for a in arrays) for i in (0, 1))
    stacked = np.full((len(arrays), height, width, *arrays[0].shape[2:]), fill, arrays[0].dtype)
    for row, array in zip(stacked, arrays, strict=True):
        row[: array.shape[0], : array.shape[1]] = array
    return torch.from_numpy(stacked)
