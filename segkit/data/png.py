"""What a PNG holds, told from its chunks; and the runs of a mask without decoding it.

Layout: W3C, "Portable Network Graphics (PNG) Specification", third edition.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from segkit.data.component import Runs, find_set, make_runs
from segkit.data.limit import max_pixels

PNG = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
NOT_PLAIN = (b"tRNS", b"eXIf", b"acTL")  # transparency, EXIF data, animation
TEXTS = (b"tEXt", b"zTXt", b"iTXt")  # in which some programs put EXIF data, as a "Raw profile"
LOWER_CASE = ord("a")
IHDR = b"\0\0\0\rIHDR"  # the first chunk: 13 bytes
GREY_8 = bytes([8, 0, 0, 0, 0])  # bits, kind of colour, packing, filtering, no interlacing
CHUNK, CHECKSUM = struct.Struct(">I4s"), struct.Struct(">I")
SIZE = struct.Struct(">II")
SUB = 1  # the filter of a row whose bytes are the differences to the left neighbor
LARGE = 2**19  # pixels; below, looking for such rows costs more than it spares
SOME = 8  # rows


def png_fault(data: bytes) -> str:
    """Say what is missing or damaged; nothing where all is there."""
    view = memoryview(data)
    for kind, begin, end in _chunks(data):
        needed = kind[0] < LOWER_CASE  # decoding depends on it
        if needed and zlib.crc32(view[begin - 4 : end]) != CHECKSUM.unpack_from(data, end)[0]:
            return "its contents are damaged (wrong checksum)"
        if kind == b"IEND":
            return ""
    return "it is truncated"


def is_grey_png(data: bytes) -> bool:
    """Whether it is a PNG of 8 or 16 bits in one channel and nothing else that Pillow would have to tell.

    No transparent value, no EXIF data, no more pixels than are allowed; opening such a file with Pillow
    costs a tenth of decoding it.
    """
    if not data.startswith(PNG) or data[12:16] != b"IHDR" or len(data) < 33:
        return False
    if data[24] not in (8, 16) or data[25] != 0:  # bits, colour type
        return False
    width, height = SIZE.unpack_from(data, 16)
    if not 0 < width * height <= max_pixels():
        return False
    kinds = {kind for kind, _, _ in _chunks(data)}
    return kinds.isdisjoint(NOT_PLAIN) and (kinds.isdisjoint(TEXTS) or b"Raw profile" not in data)


def stored_runs(data: bytes) -> Runs | None:
    """Find the runs of a large mask of 8 bits whose rows are stored as differences, as OpenCV writes them.

    A difference that is not zero begins a run, so that a sum over few bytes takes the place of
    decoding: half the time.

    Args:
        data: A file.

    Returns:
        What `find_runs` gives for the decoded pixels; ``None`` for any other kind of file, and
        for a damaged one.
    """
    if not data.startswith(PNG + IHDR) or data[24:29] != GREY_8 or not data.endswith(PNG_END):
        return None
    width, height = SIZE.unpack_from(data, 16)
    if not LARGE <= width * height <= max_pixels():
        return None
    chunks = _chunks(data)
    if [kind for kind, _, _ in chunks] != [b"IHDR", *[b"IDAT"] * (len(chunks) - 2), b"IEND"]:
        return None
    packed = b"".join(data[begin:end] for _, begin, end in chunks[1:-1])
    rows = _differences(packed, width + 1, height)
    return None if rows is None else _sum_up(np.frombuffer(rows, np.uint8), width, height)


def _differences(packed: bytes, size: int, height: int) -> bytes | None:
    """Rows, each a byte that tells its filter and the differences; ``None`` where that is another filter."""
    try:
        first = zlib.decompressobj().decompress(packed, SOME * size)
        if set(first[::size]) != {SUB}:
            return None
        stream = zlib.decompressobj()
        rows = stream.decompress(packed, size * height + 1)  # more than there is, to see the end
    except zlib.error:
        return None
    whole = stream.eof and len(rows) == size * height
    return rows if whole and set(rows[::size]) == {SUB} else None


def _sum_up(rows: NDArray[np.uint8], width: int, height: int) -> Runs:
    """Runs from rows of differences ``[height * (1 + width)]``, in front of each its filter."""
    place = find_set(rows)
    begin = np.searchsorted(place, np.arange(height) * (width + 1))  # the filters: none is zero
    count = np.diff(begin, append=len(place))
    step = rows.take(place)
    step[begin] = 0
    value = np.cumsum(step, dtype=np.uint8)  # modulo 256, as the differences are
    value -= value[begin].repeat(count)
    place -= np.arange(height).repeat(count) + 1  # among the pixels alone
    place[begin] += 1
    kept = np.diff(place, append=width * height) > 0  # what begins with a filter may be nothing but that
    return make_runs(value[kept], place[kept], width * height, width)


def _chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Kind of each whole chunk, and where what it holds begins and ends."""
    chunks = []
    place = len(PNG)
    while place + 12 <= len(data):
        length, kind = CHUNK.unpack_from(data, place)
        begin = place + 8
        place = begin + length + 4
        if place <= len(data):
            chunks.append((kind, begin, begin + length))
    return chunks
