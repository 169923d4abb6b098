"""Whether all of a JPEG is there: decoders fill what is missing with grey and say nothing.

Layout: ITU-T T.81, annex B.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

JPEG = b"\xff\xd8"
END, SCAN = 0xD9, 0xDA
BARE = {0x01, *range(0xD0, 0xD8)}  # markers that nothing follows
# Segments that may stand in a file: frames, tables, scans, restart intervals, line counts, APPn, COM.
KNOWN = {*range(0xC0, 0xD0), *range(0xDA, 0xF0), 0xFE} - {0xC8}
# Whether a byte behind 255 makes a marker that ends coded data: no stuffing, no fill, no restart.
ENDS_CODED = np.array([value not in (0, 0xFF, *range(0xD0, 0xD8)) for value in range(256)])
FEW, MANY = 2**10, 2**20  # bytes that are searched at once: first, and at most
GREYS = {63, 64, 65, 127, 128, 129}  # what no data decodes to, in CMYK and in all other kinds of colour
NOISE = bytes(i * 37 % 251 for i in range(4096))  # holds no 255, with which a marker would begin


def follow(data: bytes) -> tuple[str, int]:
    """Go from segment to segment of a JPEG.

    A thumbnail in front of the picture, and what follows its end mark, are passed by.

    Returns:
        What is wrong with it, or nothing; and where its end mark stands.
    """
    position, coded = 2, False
    while True:
        if coded:
            position = _next_marker(data, position)
        while data[position : position + 2] == b"\xff\xff":  # fill bytes
            position += 1
        if position + 2 > len(data):
            return "it is truncated", position
        kind = data[position + 1]
        if kind == END and coded:
            return "", position
        if data[position] != 0xFF or kind not in KNOWN | BARE:
            return "its contents are damaged", position
        position += 2
        if kind not in BARE:
            position += int.from_bytes(data[position : position + 2], "big")
            coded = coded or kind == SCAN


def _next_marker(data: bytes, begin: int) -> int:
    """Where the marker behind coded data stands; the length of the data where there is none."""
    size = FEW
    while begin + 1 < len(data):
        piece = np.frombuffer(data, np.uint8, min(size, len(data) - begin), begin)
        (at,) = (piece[:-1] == 0xFF).nonzero()
        (found,) = ENDS_CODED[piece[at + 1]].nonzero()
        if len(found):
            return begin + int(at[found[0]])
        begin += len(piece) - 1  # its last byte may begin a marker
        size = min(2 * size, MANY)
    return len(data)


def may_end_in_grey(pixels: NDArray[Any]) -> bool:
    """Whether the last pixel of ``[H, W, 3]`` has the grey of data that is not there."""
    last = {int(v) for v in pixels[-1, -1]}
    return len(last) == 1 and last <= GREYS


def _with_more(data: bytes) -> bytes:
    """The same file with more coded data before its end mark.

    A picture that is whole decodes to the same pixels, since decoders pass by what is left over.
    Where data was missing, something else than grey appears.
    """
    end = follow(data)[1]
    return data[:end] + NOISE + data[end:]


def ends_early(data: bytes) -> bool:
    """Whether the coded data ends before the picture does. Twice as slow as decoding it.

    Raises:
        Exception: Pillow, which decodes it (OpenCV would print that something is left over), may raise any.
    """
    one, other = (np.asarray(Image.open(io.BytesIO(d), formats=["JPEG"])) for d in (data, _with_more(data)))
    return not np.array_equal(one, other)
