"""Faults that would otherwise appear in the middle of a run, and the pixels of each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.read import image_size, read_mask
from segkit.data.source import FileSource, size_fault
from segkit.types import LabelSpace, Sample, Source, UserError

EXACT = 2**24  # OpenCV returns counts as float32, whole up to here


def check(source: Source, limit: int | None = 200) -> None:
    """Look at all files' headers, and at some masks' contents.

    Args:
        source: The data.
        limit: How many masks are read, evenly spread over the samples; ``None``: all.

    Raises:
        UserError: The first fault in the order of the samples, and how many more there are.
    """
    files = [s for s in source.samples if s.image != Path()]  # generated samples have no files
    _report(_each(_header_fault, files))
    chosen = _spread([s for s in source.samples if s.mask is not None], limit)
    _report(_each(lambda sample: _target_fault(source, sample), chosen))
    if 255 in source.labels.ignore and isinstance(source, FileSource):
        _check_binary(source, chosen)


def count_pixels(source: Source, samples: Sequence[Sample]) -> NDArray[np.int64]:
    """Count the pixels of each class in each mask; ignored pixels count nowhere.

    Args:
        source: Reads the samples.
        samples: Those to count.

    Returns:
        ``[n, K]`` int64, in the order of ``samples``; zeros for a sample without a mask.

    Raises:
        UserError: A mask cannot be read.
    """
    counts = np.zeros((len(samples), source.labels.num_classes), np.int64)

    def count(index: int) -> None:
        target = _target(source, samples[index])
        if target is not None:
            counts[index] = class_counts(target, source.labels)

    _each(count, range(len(samples)))
    return counts


def class_counts(target: NDArray[Any], labels: LabelSpace) -> NDArray[np.int64]:
    """Pixels of each class in a target ``[H, W]`` or ``[H, W, K]``: int64 ``[K]``."""
    if labels.task == "multilabel":
        return (target == 1).sum((0, 1), dtype=np.int64)
    if target.dtype != np.uint8:
        return np.bincount(target.ravel(), minlength=labels.num_classes)[: labels.num_classes].astype(
            np.int64
        )
    flat = target.reshape(-1, 1)
    pieces = [flat[i : i + EXACT] for i in range(0, len(flat), EXACT)]
    total = sum(cv2.calcHist([p], [0], None, [256], [0, 256]).ravel().astype(np.int64) for p in pieces)
    return np.asarray(total)[: labels.num_classes]


def _target(source: Source, sample: Sample) -> NDArray[Any] | None:
    """Read the target without its image where the source can."""
    return source.read_target(sample) if isinstance(source, FileSource) else source.read(sample)[1]


def _each(task: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Do a task for every item on several threads (decoding releases the interpreter)."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(task, items))


def _header_fault(sample: Sample) -> str:
    try:
        size = image_size(sample.image)
        if sample.mask is not None and (other := image_size(sample.mask)) != size:
            return size_fault(sample, size, other)
    except UserError as error:
        return str(error)
    return ""


def _target_fault(source: Source, sample: Sample) -> str:
    try:
        _target(source, sample)
    except UserError as error:
        return str(error)
    return ""


def _report(faults: Sequence[str]) -> None:
    found = [f for f in faults if f]
    if found:
        more = f" (and {len(found) - 1} more samples have a fault)" if len(found) > 1 else ""
        raise UserError(f"{found[0]}{more}")


def _spread(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    if limit is None or limit >= len(samples):
        return list(samples)
    return [samples[i] for i in np.linspace(0, len(samples) - 1, max(limit, 0)).round().astype(int)]


def _check_binary(source: FileSource, samples: Sequence[Sample]) -> None:
    """Find 0/255 masks whose foreground is taken for void: no id is unknown, and nothing is learnt."""
    values: set[int] = set()
    for sample in samples:
        if sample.mask is not None:
            file_ids = read_mask(sample.mask)
            if int(file_ids.max(initial=0)) > 255:
                return
            values |= {int(i) for i in np.flatnonzero(np.bincount(file_ids.ravel()))}
        if not values <= {0, 255}:  # ends at the first mask of nearly all data
            return
    if 255 in values:
        raise UserError(
            f"the masks (such as {samples[0].mask}) hold only 0 and 255, and this label space ignores 255: "
            "for 0/255 binary masks use data.labels=binary"
        )
