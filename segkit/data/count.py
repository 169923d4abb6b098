"""The pixels of each class in masks, as fast as they can be decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.cache import UNKNOWN, Found, Item, collect
from segkit.data.component import count_values, find_runs
from segkit.data.file import read_bytes
from segkit.data.look import class_pixels, digest_bytes, encode_values
from segkit.data.parallel import cpus, in_chunks, pixels
from segkit.data.read import open_mask
from segkit.data.source import FileSource
from segkit.data.table import Table
from segkit.types import LabelSpace, Sample, Source, UserError

MANY_PIXELS = 10**9  # below, threads are as fast as processes: nearly all of it is decoding
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


def count_chunk(source: Source, items: Sequence[Item]) -> Found:
    """Count the pixels of a chunk of samples.

    Raises:
        UserError: As `count_pixels`.
    """
    rows = [_count(source, sample, known) for sample, known in items]
    new = [row for row in rows if row is not None]
    if not new:
        return Found([False] * len(rows), None)
    names = [sample.name for (sample, _), row in zip(items, rows, strict=True) if row is not None]
    content = np.frombuffer(b"".join(c or UNKNOWN for _, c in new), np.uint8).reshape(-1, 16)
    columns = {"pixels": np.stack([counts for counts, _ in new])}
    return Found(
        [row is not None for row in rows], Table(names, np.zeros_like(content), content, columns, {})
    )


def class_counts(target: NDArray[Any], labels: LabelSpace) -> NDArray[np.int64]:
    """Pixels of each class in a target ``[H, W]`` or ``[H, W, K]``: int64 ``[K]``."""
    if labels.task == "multilabel":
        return (target == 1).sum((0, 1), dtype=np.int64)
    if target.dtype != np.uint8:
        counts = np.bincount(target.ravel(), minlength=labels.num_classes)
        return counts[: labels.num_classes].astype(np.int64)
    flat = target.reshape(-1, 1)
    pieces = [flat[i : i + EXACT] for i in range(0, len(flat), EXACT)]
    total = sum(cv2.calcHist([p], [0], None, [256], [0, 256]).ravel().astype(np.int64) for p in pieces)
    return np.asarray(total)[: labels.num_classes]


def _count(source: Source, sample: Sample, known: bytes) -> tuple[NDArray[np.int64], bytes] | None:
    """Counts of a sample, and the digest of its mask; ``None`` where the mask is the known one."""
    labels = source.labels
    if not isinstance(source, FileSource):
        target = source.read(sample)[1]
    elif source.indexed and sample.mask is not None:
        return _count_file(source, sample, sample.mask, known)
    else:
        target = source.read_target(sample)
    empty = np.zeros(labels.num_classes, np.int64)
    return (empty if target is None else class_counts(target, labels)), b""


def _count_file(
    source: FileSource, sample: Sample, path: Path, known: bytes
) -> tuple[NDArray[np.int64], bytes] | None:
    data = read_bytes(path)
    content = digest_bytes(data)
    if content == known:
        return None
    stored = open_mask(path, data, source.labels.masks)
    if stored.fault:
        raise UserError(stored.fault)
    values, pixels_of = count_values(find_runs(stored.values))
    return class_pixels(encode_values(source, sample, values), pixels_of, source.labels)[0], content
