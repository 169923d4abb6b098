"""One pass over images and masks: everything that `segkit analyze` and `segkit split` count.

The pass is bound by decoding; what it found is kept (see ``cache.py``), so that a second
call reads only what has changed. ``look.py`` says what one sample shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segkit.data.cache import UNKNOWN, Found, Item, collect
from segkit.data.look import GRID, MAX_IDS, NO_MASK, Row, look
from segkit.data.parallel import cpus, in_chunks, pixels
from segkit.data.table import Table, take
from segkit.types import Sample, Source

if TYPE_CHECKING:
    from segkit.types import Array

__all__ = ["GRID", "MAX_IDS", "NO_MASK", "Facts", "scan"]

MANY_PIXELS = 3 * 10**8  # from here on worker processes are worth the second that they take to start
COLUMNS: dict[str, Any] = {
    "image_size": np.int32,
    "mask_size": np.int32,
    "pixels": np.int64,
    "ignored": np.int64,
    "components": np.int32,
    "grid": np.uint16,
    "channel_mean": np.float64,
    "channel_std": np.float64,
    "image_hash": np.uint64,
    "image_digest": object,
    "image_mode": object,
    "image_orientation": np.uint8,
    "mask_orientation": np.uint8,
    "mask_kind": object,
    "image_error": object,
    "mask_error": object,
    "id_distinct": np.int64,
}
RAGGED = ("ids", "regions")


@dataclass(frozen=True)
class Facts:
    """What is known about n samples of K classes, in the order of the samples that were scanned.

    Attributes:
        names: ``[n]`` str, sample names.
        image_size: ``[n, 2]`` int32 height and width as read (EXIF applied); 0 where unreadable.
        mask_size: The same of the target; 0 where there is none or it is unreadable.
        pixels: ``[n, K]`` int64, pixels of each class; zeros where the mask cannot be encoded.
        ignored: ``[n]`` int64, pixels that count nowhere.
        components: ``[n, K]`` int32, 4-connected regions of each class (multilabel: per class plane).
        component_sizes: ``[m, 4]`` int64 rows (sample position, class, b, regions): how many regions
            have from ``2**b`` up to below ``2**(b + 1)`` pixels.
        grid: ``[n, GRID, GRID]`` uint16, class index at the centres of a regular grid of cells over
            the picture, the label space's ``ignore_index`` where ignored (multilabel: the last class
            that is present, ignore_index where none), `NO_MASK` everywhere without a readable mask.
        channel_mean: ``[n, 3]`` float64, mean of red, green and blue, 0..255.
        channel_std: ``[n, 3]`` float64, their standard deviations (over the pixels of one image).
        image_hash: ``[n]`` uint64 perceptual hash of the picture; 0 where unreadable.
        image_digest: ``[n]`` str, hexadecimal digest of the image file's bytes ("" for generated ones).
        image_mode: ``[n]`` str: Pillow's mode of the image file ("RGB", "L", "RGBA", "P", ...; with
            ";alpha" behind it where a transparency channel varies); "" for generated ones.
        image_orientation: ``[n]`` uint8, EXIF orientation 1..8 of the image file.
        mask_orientation: The same of the mask file; 1 where there is none.
        mask_kind: ``[n]`` str, what the mask file is: "index8", "index16", "index32", "palette",
            "bit" (1 bit), "color", "color;alpha", "index;alpha" (a transparency channel that varies),
            "jpeg", "fraction", or "" (no plain mask file, or unreadable).
        image_error: ``[n]`` str, why the image cannot be read; "" where it can.
        mask_error: ``[n]`` str, why there is no target: unreadable, or ids that are not in the
            label space (the text of the `UserError`); "" where there is one.
        ids: ``[t]`` int64, distinct values in the mask files, sample after sample, the most frequent
            first, at most `MAX_IDS` per sample. Raw: the index, or the packed colour
            (``65536 * red + 256 * green + blue``) where ``mask_kind`` begins with "color" or the label
            space has ``masks="color"``; of a JPEG its decoded values. Empty for targets that are not files.
        id_pixels: ``[t]`` int64, pixels of each of them.
        id_start: ``[n + 1]`` int64: the ids of sample i are ``ids[id_start[i]:id_start[i + 1]]``.
        id_distinct: ``[n]`` int64, how many distinct values there were (may exceed `MAX_IDS`).
    """

    names: Array
    image_size: Array
    mask_size: Array
    pixels: Array
    ignored: Array
    components: Array
    component_sizes: Array
    grid: Array
    channel_mean: Array
    channel_std: Array
    image_hash: Array
    image_digest: Array
    image_mode: Array
    image_orientation: Array
    mask_orientation: Array
    mask_kind: Array
    image_error: Array
    mask_error: Array
    ids: Array
    id_pixels: Array
    id_start: Array
    id_distinct: Array


def scan(
    source: Source,
    samples: Sequence[Sample],
    *,
    workers: int | None = None,
    progress: bool = False,
    cache: Path | None = None,
) -> Facts:
    """Look at every sample once.

    The facts do not depend on the number of workers. A sample that cannot be read is a row
    with its error, never an exception.

    Args:
        source: Reads the samples.
        samples: Those to look at.
        workers: How many work at once; ``None``: one per processor. Threads while there is
            little to do, processes from where that is faster.
        progress: Show a bar on standard error.
        cache: Folder where the facts are kept until files change (`segkit.data.cache.cache_folder`);
            ``None``: nothing is kept.
    """
    number = workers or cpus()

    def run(items: Sequence[Item]) -> Iterator[Found]:
        large = pixels(source, [sample for sample, _ in items]) >= MANY_PIXELS
        return in_chunks(look_at, source, items, number, large, "reading data" if progress else "")

    size = source.labels.num_classes
    return _facts(collect(run, "scan", source, samples, cache) if samples else _to_table([], [], size))


def look_at(source: Source, items: Sequence[Item]) -> Found:
    """Look at a chunk of samples."""
    rows = [look(source, sample, known) for sample, known in items]
    names = [sample.name for (sample, _), row in zip(items, rows, strict=True) if row]
    new = [row for row in rows if row]
    return Found([row is not None for row in rows], _to_table(names, new) if new else None)


def _to_table(names: list[str], rows: Sequence[Row], num_classes: int = 0) -> Table:
    if not rows:  # the shapes of no rows are those of one
        blank = Row(np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int32))
        return take(_to_table([""], [blank]), np.zeros(0, np.int64))
    content = b"".join(row.content or UNKNOWN for row in rows)
    return Table(
        names,
        np.zeros((len(rows), 16), np.uint8),
        np.frombuffer(content, np.uint8).reshape(-1, 16),
        {key: np.array([getattr(r, key) for r in rows], dtype) for key, dtype in COLUMNS.items()},
        {key: _flat([getattr(r, key) for r in rows]) for key in RAGGED},
    )


def _flat(parts: Sequence[Array]) -> tuple[Array, Array]:
    return np.array([len(part) for part in parts], np.int64), np.concatenate(parts)


def _facts(table: Table) -> Facts:
    counts, ids = table.ragged["ids"]
    regions, sizes = table.ragged["regions"]
    sample = np.repeat(np.arange(len(regions)), regions)
    columns = dict(table.columns)
    for key in ("image_digest", "image_mode", "mask_kind"):  # short; an error may be long
        columns[key] = columns[key].astype(str)
    return Facts(
        names=np.array(table.names, str),
        component_sizes=np.column_stack([sample, sizes]).astype(np.int64),
        ids=ids[:, 0],
        id_pixels=ids[:, 1],
        id_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        **columns,
    )
