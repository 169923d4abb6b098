"""The pixels of each class in masks, as fast as they can be decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.cache import UNKNOWN, Found, Item, collect
from segkit.data.component import count_values, find_runs
from segkit.data.file import read_bytes
from segkit.data.look import class_pixels, digest_bytes, encode_values
from segkit.data.parallel import cpus, in_chunks, pixels
from segkit.data.png import stored_runs
from segkit.data.read import open_mask
from segkit.data.source import FileSource
from segkit.data.table import Table
from segkit.types import LabelSpace, Sample, Source, UserError

MANY_PIXELS = 10**9  # below, threads are as fast as processes: nearly all of it is decoding
MANY_BITS = 6  # of values; above, runs are faster than a histogram
SMALL = 2**19  # pixels; above, runs are faster than a histogram
EXACT = 2**24  # OpenCV returns counts as float32, whole up to here


def count_pixels(
    source: Source,
    samples: Sequence[Sample],
    *,
    workers: int | None = None,
    progress: bool = False,
    cache: Path | None = None,
) -> NDArray[np.int64]:
    """Count the pixels of each class in each mask; ignored pixels count nowhere.

    Args:
        source: Reads the samples.
        samples: Those to count.
        workers: How many count at once; ``None``: one per processor.
        progress: Show a bar on standard error.
        cache: Folder where counts are kept until files change (`segkit.data.cache.cache_folder`);
            ``None``: nothing is kept.

    Returns:
        ``[n, K]`` int64, in the order of ``samples``; zeros for a sample without a mask.

    Raises:
        UserError: A mask cannot be read or holds an unknown id: the first in the order of
            the samples.
    """
    if not samples:
        return np.zeros((0, source.labels.num_classes), np.int64)
    number = workers or cpus()

    def run(items: Sequence[Item]) -> Iterator[Found]:
        large = pixels(source, [sample for sample, _ in items]) >= MANY_PIXELS
        return in_chunks(count_chunk, source, items, number, large, "counting pixels" if progress else "")

    return np.asarray(collect(run, "count", source, samples, cache).columns["pixels"])


class Mask(NamedTuple):
    """What a mask file holds.

    Attributes:
        sample: Whose mask it is.
        values: ``[t]`` distinct values; all that are stored in it are among them.
        pixels: ``[t]`` how many pixels have each.
        content: Digest of the file; `UNKNOWN` where nobody asks for it.
    """

    sample: Sample
    values: NDArray[Any]
    pixels: NDArray[Any]
    content: bytes


def count_chunk(source: Source, items: Sequence[Item]) -> Found:
    """Count the pixels of a chunk of samples.

    Raises:
        UserError: As `count_pixels`.
    """
    if isinstance(source, FileSource) and source.indexed:
        return _count_files(source, items)
    samples = [sample for sample, _ in items]
    counts = [_count_target(source, sample) for sample in samples]
    return Found([True] * len(items), _table(samples, [UNKNOWN] * len(items), np.stack(counts)))


def class_counts(target: NDArray[Any], labels: LabelSpace) -> NDArray[np.int64]:
    """Pixels of each class in a target ``[H, W]`` or ``[H, W, K]``: int64 ``[K]``."""
    if labels.task == "multilabel":
        return (target == 1).sum((0, 1), dtype=np.int64)
    if target.dtype != np.uint8:
        counts = np.bincount(target.ravel(), minlength=labels.num_classes)
        return counts[: labels.num_classes].astype(np.int64)
    flat = target.reshape(1, -1)  # in one row: OpenCV counts short rows slowly
    pieces = [flat[:, i : i + EXACT] for i in range(0, flat.size, EXACT)]
    total = sum(cv2.calcHist([p], [0], None, [256], [0, 256]).ravel().astype(np.int64) for p in pieces)
    return np.asarray(total)[: labels.num_classes]


def _table(samples: Sequence[Sample], content: Sequence[bytes], counts: NDArray[np.int64]) -> Table:
    digests = np.frombuffer(b"".join(content), np.uint8).reshape(-1, 16)
    return Table([s.name for s in samples], np.zeros_like(digests), digests, {"pixels": counts}, {})


def _count_target(source: Source, sample: Sample) -> NDArray[np.int64]:
    target = source.read_target(sample) if isinstance(source, FileSource) else source.read(sample)[1]
    if target is None:
        return np.zeros(source.labels.num_classes, np.int64)
    return class_counts(target, source.labels)


def _count_files(source: FileSource, items: Sequence[Item]) -> Found:
    found: list[Mask | None] = []
    try:
        for sample, known in items:
            found.append(_count_file(source, sample, known))
    finally:  # also when one cannot be read: an unknown id in a mask before it is named first
        new = [mask for mask in found if mask]
        counts = _encode(source, new) if new else None
    fresh = [mask is not None for mask in found]
    if counts is None:
        return Found(fresh, None)
    return Found(fresh, _table([m.sample for m in new], [m.content for m in new], counts))


def _count_file(source: FileSource, sample: Sample, known: bytes | None) -> Mask | None:
    """Count the values of a mask; ``None`` where it is the known one."""
    if sample.mask is None:
        return Mask(sample, np.zeros(0, np.uint8), np.zeros(0, np.int64), UNKNOWN)
    data = read_bytes(sample.mask)
    content = UNKNOWN if known is None else digest_bytes(data)
    if content == known:
        return None
    if source.labels.masks == "index" and (runs := stored_runs(data)):
        return Mask(sample, *count_values(runs), content)
    stored = open_mask(sample.mask, data, source.labels.masks)
    if stored.fault:
        raise UserError(stored.fault)
    return Mask(sample, *_count_stored(stored.values), content)


def _encode(source: FileSource, masks: Sequence[Mask]) -> NDArray[np.int64]:
    """Pixels of each class ``[n, K]``, for all masks in one go: it takes long for the few values of one."""
    values, place = np.unique(np.concatenate([mask.values for mask in masks]), return_inverse=True)
    row = np.repeat(np.arange(len(masks)), [len(mask.values) for mask in masks])
    pixels = np.zeros((len(masks), len(values)), np.int64)
    pixels[row, place] = np.concatenate([mask.pixels for mask in masks])
    found = pixels.any(0)
    values, pixels = values[found], pixels[:, found]
    try:
        encoded = source.labels.encode(values[None].astype(np.uint32))[0]
    except UserError:
        for mask in masks:
            shown = mask.values[mask.pixels > 0]
            encode_values(source, mask.sample, shown)  # names the first mask and the likely cause
        raise
    return class_pixels(encoded, pixels, source.labels)[0]


def _count_stored(mask: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Distinct values, and how many pixels have each (of some, none); the mask may be written over.

    Small masks are counted by a histogram: threads wait for each other at every call, and it takes
    few. It is slow where neighbors are equal, since it adds to a number that it has only just
    written; values below 64 leave room in a byte for the column, which parts neighbors.
    """
    if mask.dtype != np.uint8 or mask.size > SMALL:
        return count_values(find_runs(mask))
    top = _largest(mask)
    shift = top == 255  # often means ignored: becomes 0, and all others one more
    if shift:
        mask = mask + np.uint8(1)
        top = _largest(mask)
    bits = top.bit_length()
    if bits > MANY_BITS:
        values, counts = count_values(find_runs(mask))
        return values - np.uint8(shift), counts
    mask = cv2.bitwise_or(mask, _columns(mask.shape, bits), mask)
    bins = cv2.calcHist([mask], [0], None, [256], [0, 256]).reshape(-1, 2**bits)
    return _values(bits, shift), np.add.reduce(bins)


def _largest(mask: NDArray[np.uint8]) -> int:
    return int(cv2.norm(mask, cv2.NORM_INF))  # half the time of `mask.max()`


@lru_cache
def _values(bits: int, shift: bool) -> NDArray[np.uint8]:
    return np.arange(2**bits).astype(np.uint8) - np.uint8(shift)


@lru_cache(4)  # the masks of a data set have few sizes
def _columns(shape: tuple[int, int], bits: int) -> NDArray[np.uint8]:
    """The column of each pixel, as far as it has room above ``bits``."""
    columns = np.arange(shape[1]).astype(np.uint8) << bits
    return np.tile(columns, (shape[0], 1))
