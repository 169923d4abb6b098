"""One pass over images and masks: everything that `segkit analyze` and `segkit split` count.

The pass is bound by decoding; what it found is kept (see ``cache.py``), so that a second
call reads only what has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segkit.types import Array

GRID = 32  # cells per side of the position grid
NO_MASK = 65534  # in `Facts.grid`: the sample has no readable mask (no class index is that large here)
MAX_IDS = 1000  # distinct ids that are kept of one mask, the most frequent first


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
