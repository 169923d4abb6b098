"""One look at a sample: everything that `segkit.data.scan.Facts` says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segkit.data.component import (
    count_regions,
    count_values,
    find_overlapping,
    find_regions,
    find_runs,
    relabel,
    translate,
)
from segkit.data.file import orientation, read_bytes
from segkit.data.phash import hash_image
from segkit.data.read import open_image, open_mask, varies
from segkit.data.source import FileSource
from segkit.types import LabelSpace, Sample, Source, UserError

GRID = 32  # cells per side of the position grid
NO_MASK = 65534  # in `Facts.grid`: the sample has no readable mask (no class index is that large here)
MAX_IDS = 1000  # distinct ids that are kept of one mask, the most frequent first

T = TypeVar("T")


@dataclass
class Row:
    """What `Facts` says of one sample, and a digest of its files.

    ``ids`` are rows (id, pixels), ``regions`` rows (class, b, regions); ``content`` is empty
    where the files' contents do not say all.
    """

    pixels: NDArray[np.int64]
    components: NDArray[np.int32]
    image_size: tuple[int, int] = (0, 0)
    mask_size: tuple[int, int] = (0, 0)
    ignored: int = 0
    grid: NDArray[np.uint16] = field(default_factory=lambda: np.full((GRID, GRID), NO_MASK, np.uint16))
    channel_mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    channel_std: tuple[float, ...] = (0.0, 0.0, 0.0)
    image_hash: int = 0
    image_digest: str = ""
    image_mode: str = ""
    image_orientation: int = 1
    mask_orientation: int = 1
    mask_kind: str = ""
    image_error: str = ""
    mask_error: str = ""
    id_distinct: int = 0
    ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    regions: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    content: bytes = b""


def look(source: Source, sample: Sample, known: bytes | None = None) -> Row | None:
    """Read a sample and measure it; a fault of the sample is noted, never raised.

    Args:
        source: Reads the sample.
        sample: The sample.
        known: ``content`` of an earlier look.

    Returns:
        The row; ``None`` where the files' contents are those that are known.
    """
    size = source.labels.num_classes
    row = Row(np.zeros(size, np.int64), np.zeros(size, np.int32))
    if not isinstance(source, FileSource):
        _look_at_generated(row, source, sample)
        return row
    image, row.image_error = _attempt(lambda: read_bytes(sample.image))
    mask = None
    if source.indexed and sample.mask is not None:
        path = sample.mask
        mask, row.mask_error = _attempt(lambda: read_bytes(path))
    digests = [digest_bytes(data) if data else b"" for data in (image, mask)]
    row.image_digest = digests[0].hex()
    if image and (mask or sample.mask is None):
        row.content = digest_bytes(b"".join(digests))
    if known and row.content == known:
        return None
    if image:
        _, row.image_error = _attempt(lambda: _look_at_image(row, sample, image))
    if mask:
        _, row.mask_error = _attempt(lambda: _look_at_mask(row, source, sample, mask))
    elif not source.indexed:
        _look_at_target(row, source, sample)
    if row.image_error or row.mask_error:
        row.content = b""  # an error names its file: equal bytes elsewhere have another one
    return row


def _look_at_generated(row: Row, source: Source, sample: Sample) -> None:
    read, row.image_error = _attempt(lambda: source.read(sample))
    if read is None:
        row.mask_error = row.image_error  # there is no telling which of both it was
        return
    _measure_image(row, read[0])
    if read[1] is not None:
        _measure_target(row, read[1], source.labels)


def _look_at_image(row: Row, sample: Sample, data: bytes) -> None:
    image, header = open_image(sample.image, data)
    row.image_mode, row.image_orientation = _mode(header), orientation(header)
    _measure_image(row, image)


def _look_at_mask(row: Row, source: FileSource, sample: Sample, data: bytes) -> None:
    assert sample.mask is not None
    labels = source.labels
    stored = open_mask(sample.mask, data, labels.masks)
    row.mask_kind, row.mask_orientation = stored.kind, stored.orientation
    row.mask_size = (stored.values.shape[0], stored.values.shape[1])
    if not stored.values.size:
        raise UserError(stored.fault)
    runs = find_runs(stored.values)
    values, pixels = count_values(runs)
    row.ids, row.id_distinct = _most_frequent(values, pixels), len(values)
    if stored.fault:
        raise UserError(stored.fault)
    encoded = encode_values(source, sample, values)
    row.pixels, ignored = class_pixels(encoded, pixels, labels)
    row.ignored = int(ignored)
    if encoded.ndim == 1:
        merged = len(set(encoded.tolist())) < len(encoded)
        classes = translate(runs.value, values, encoded)
        target = relabel(runs, classes) if merged else runs._replace(value=classes)
        regions = find_regions(target, labels.num_classes)
    else:
        absent = translate(runs.value, values, encoded) != 1
        regions = find_overlapping(relabel(runs, absent[:, k]) for k in range(labels.num_classes))
    row.components, row.regions = count_regions(regions, labels.num_classes)
    row.grid = _grid(translate(_centers(stored.values), values, encoded), labels)


def _look_at_target(row: Row, source: FileSource, sample: Sample) -> None:
    """Measure a target that is made of something else than one file of ids."""
    target, row.mask_error = _attempt(lambda: source.read_target(sample))
    if target is not None:
        _measure_target(row, target, source.labels)


def encode_values(source: FileSource, sample: Sample, values: NDArray[Any]) -> NDArray[Any]:
    """Encode the distinct values of a mask: ``[t]`` class indices, multilabel ``[t, K]``.

    Raises:
        UserError: As `FileSource.read_target` says it.
    """
    ids = values.astype(np.uint32) if values.dtype.kind == "i" else values
    try:
        return np.asarray(source.labels.encode(ids[None])[0])
    except UserError:
        source.read_target(sample)  # knows the likely cause
        raise


def class_pixels(
    encoded: NDArray[Any], pixels: NDArray[np.int64], labels: LabelSpace
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of each class and ignored ones from those of each value.

    Args:
        encoded: The values, as `encode_values` gives them.
        pixels: ``[..., t]``, of one mask or several.
        labels: The label space.

    Returns:
        ``[..., K]`` and ``[...]``.
    """
    if encoded.ndim == 2:
        return pixels @ (encoded == 1), pixels[..., encoded[:, 0] == labels.ignore_index].sum(-1)
    counts = np.zeros((*pixels.shape[:-1], labels.ignore_index + 1), np.int64)
    np.add.at(counts.T, encoded, pixels.T)
    return counts[..., : labels.num_classes], counts[..., labels.ignore_index]


def _measure_image(row: Row, image: NDArray[np.uint8]) -> None:
    row.image_size = (image.shape[0], image.shape[1])
    row.channel_mean, row.channel_std = _mean_and_std(image)
    row.image_hash = hash_image(image)


def _mean_and_std(image: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel, from sums of whole numbers: exact, and faster than cv2.meanStdDev."""
    number = image.shape[0] * image.shape[1]
    sums = [int(total) for total in cv2.sumElems(image)[:3]]
    squares = [round(cv2.norm(channel, cv2.NORM_L2SQR)) for channel in cv2.split(image)]  # a root, squared
    spread = ((number * q - s * s) / number**2 for s, q in zip(sums, squares, strict=True))
    return tuple(s / number for s in sums), tuple(v**0.5 for v in spread)


def _measure_target(row: Row, target: NDArray[Any], labels: LabelSpace) -> None:
    row.mask_size = (target.shape[0], target.shape[1])
    if target.ndim == 2:
        runs = find_runs(target)
        values, pixels = count_values(runs)
        row.pixels, ignored = class_pixels(values, pixels, labels)
        row.ignored = int(ignored)
        regions = find_regions(runs, labels.num_classes)
    else:
        row.pixels = (target == 1).sum((0, 1), dtype=np.int64)
        row.ignored = int((target == labels.ignore_index).all(-1).sum())  # some classes may ignore alone
        regions = find_overlapping(find_runs(target[..., k] != 1) for k in range(labels.num_classes))
    row.components, row.regions = count_regions(regions, labels.num_classes)
    row.grid = _grid(_centers(target), labels)


def _centers(array: NDArray[Any]) -> NDArray[Any]:
    """Values at the centers of a regular grid of cells."""
    rows, columns = ((np.arange(GRID) * 2 + 1) * size // (2 * GRID) for size in array.shape[:2])
    return array[rows[:, None], columns]


def _grid(cells: NDArray[Any], labels: LabelSpace) -> NDArray[np.uint16]:
    """Class index per cell ``[GRID, GRID]`` of encoded cells; of several classes the last."""
    if cells.ndim == 2:
        return cells.astype(np.uint16)
    present = cells == 1
    last = labels.num_classes - 1 - present[..., ::-1].argmax(-1)
    return np.where(present.any(-1), last, labels.ignore_index).astype(np.uint16)


def _most_frequent(values: NDArray[Any], pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows (id, pixels), the most frequent first; fractions are rounded."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(np.rint(values), posinf=2**31, neginf=-(2**31)).clip(-(2**31), 2**32)
    first = np.argsort(-pixels, kind="stable")[:MAX_IDS]
    return np.stack([values[first].astype(np.int64), pixels[first]], axis=1)


def _mode(header: Image.Image | None) -> str:
    """Pillow's mode of a picture, and whether a transparency channel says something."""
    if header is None:
        return "RGB"  # a TIFF of 16 bits per channel, of which Pillow knows nothing
    mode = header.mode
    if mode in ("RGBA", "LA", "PA") and varies(header.getchannel("A")):
        return f"{mode};alpha"
    if "transparency" in header.info and varies(header.convert("RGBA").getchannel("A")):
        return f"{mode};alpha"
    return mode


def _attempt(work: Callable[[], T]) -> tuple[T | None, str]:
    """Result, or nothing and the fault in one line: one bad file must not end a long pass."""
    try:
        return work(), ""
    except UserError as error:
        return None, str(error)
    except Exception as error:  # libraries raise anything for damaged files
        return None, f"{type(error).__name__}: {' '.join(str(error).split())}"


def digest_bytes(data: bytes) -> bytes:
    """16 bytes that tell the contents of a file from others."""
    return hashlib.sha256(data, usedforsecurity=False).digest()[:16]
