"""Pictures that are wanted small are decoded small."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segkit.data.file import open_header, orientation, read_bytes
from segkit.data.read import image_size, read_image, upright
from segkit.data.source import FileSource, size_fault
from segkit.types import Sample, Source, UserError

if TYPE_CHECKING:
    from segkit.types import Array


def read_reduced(source: Source, sample: Sample, size: tuple[int, int]) -> tuple[Array, Array | None]:
    """Read a sample as ``source.read`` does; a JPEG no larger than it has to be.

    Args:
        source: Reads the sample.
        sample: The sample.
        size: (height, width) that is enough for the picture, in pixels.

    Returns:
        uint8 RGB ``[H, W, 3]``, both sides at least those of ``size``, or as they are stored,
        and the target at its own size; ``None`` without a mask.

    Raises:
        UserError: As ``source.read``.
    """
    if not isinstance(source, FileSource):
        return source.read(sample)
    target = source.read_target(sample)
    if target is not None and target.shape[:2] != (full := image_size(sample.image)):
        raise UserError(size_fault(sample, full, target.shape[:2]))
    return read_image_reduced(sample.image, size), target


def read_image_reduced(path: Path, size: tuple[int, int]) -> Array:
    """Read a picture: of a JPEG an eighth, a quarter or a half of its sides, where that is enough.

    A decoder of JPEG can leave out the high frequencies of each block, which saves most of
    the time.

    Args:
        path: The file.
        size: (height, width) that is enough, upright, in pixels.

    Raises:
        UserError: As `segkit.data.read.read_image`.
    """
    try:
        header = open_header(path, read_bytes(path))
        turn = orientation(header)
        enough = size if turn >= 5 else size[::-1]  # width and height as they are stored
        half = header is not None and min(s // n for s, n in zip(header.size, enough, strict=True)) >= 2
        if header is not None and header.format == "JPEG" and half:
            header.draft("RGB", enough)
            return upright(np.array(header.convert("RGB")), turn)
    except Exception:  # what is wrong is said by the usual way
        pass
    return read_image(path)
