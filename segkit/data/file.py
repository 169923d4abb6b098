"""What a picture file is, and whether all of it is there, before anything is decoded.

Neither OpenCV nor Pillow is trusted with broken files: some versions return a half-grey
picture for a truncated one, so completeness is checked here. It costs 0.1 ms per file.
"""

from __future__ import annotations

import errno
import io
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from segkit.error import ShortOfResources
from segkit.exhausted import explain_exhausted
from segkit.types import UserError

PNG, JPEG, TIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", (b"II*\0", b"MM\0*")
ORIENTATION = 274  # EXIF tag

# What a network file system says while a server comes back, and how long to wait before asking again.
PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN)
PAUSES = (0.1, 1.0)  # seconds


def read_bytes(path: Path) -> bytes:
    """Return a whole picture file.

    Raises:
        UserError: It is missing, empty, truncated or damaged.
    """
    try:
        data = _patiently(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if fault := _incomplete(data):
        raise UserError(f"{path} cannot be read: {fault}; replace or remove the file")
    return data


def open_header(path: Path, data: bytes) -> Image.Image | None:
    """Read the header; ``None`` for a TIFF whose kind of pixel only OpenCV knows.

    Raises:
        UserError: It is no picture, has several pages, or more pixels than Pillow allows.
    """
    try:
        image = Image.open(io.BytesIO(data))
        pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    except UnidentifiedImageError as error:
        if data.startswith(TIFF):
            return None
        raise UserError(f"{path} cannot be read: it is no picture; replace or remove the file") from error
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise unreadable(path, error) from error
    if pages > 1:
        raise UserError(f"{path} holds {pages} pages; save each as a file of its own")
    return image


def is_grey_png(data: bytes) -> bool:
    """Whether it is a PNG of 8 or 16 bits in one channel and nothing else that Pillow would have to tell.

    No transparent value, no EXIF data, no more pixels than Pillow takes without a word; opening such a
    file with Pillow costs a tenth of decoding it.
    """
    if not data.startswith(PNG) or data[12:16] != b"IHDR" or len(data) < 33:
        return False
    if data[24] not in (8, 16) or data[25] != 0:  # bits, colour type
        return False
    width, height = struct.unpack_from(">II", data, 16)
    if width * height > (Image.MAX_IMAGE_PIXELS or 0):
        return False
    return not any(
        kind in (b"tRNS", b"eXIf", b"acTL") or data.startswith(b"Raw profile", begin)
        for kind, begin, _ in _png_chunks(data)
    )


def orientation(image: Image.Image | None) -> int:
    """EXIF orientation 1..8; 1 where there is none (Pillow applies a TIFF's own tag itself)."""
    raw = image.info.get("exif") if image is not None else None
    if not raw or not isinstance(raw, bytes):
        return 1
    exif = Image.Exif()
    try:
        exif.load(raw)
        value = exif.get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        return 1  # broken EXIF data in a good picture
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def unreadable(path: Path, error: Exception) -> UserError:
    """Put what a library said about a file into one line."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path} does not exist")
    if line := explain_exhausted(error):  # no fault of this file
        return ShortOfResources(line)
    cause = getattr(error, "strerror", None) or " ".join(str(error).split())
    return UserError(f"{path} cannot be read: {cause}; replace or remove the file")


def too_large(path: Path) -> UserError:
    """Say how large a picture may be."""
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6  # Pillow's own guard against decompression bombs
    return UserError(f"{path} has more than {limit} million pixels; cut it into tiles first")


def _patiently(path: Path) -> bytes:
    """Read a file; where a network file system stumbles, a second and a third time."""
    for pause in PAUSES:
        try:
            return _contents(path)
        except OSError as error:
            if error.errno not in PASSING:
                raise
            time.sleep(pause)
    return _contents(path)


def _contents(path: Path) -> bytes:
    """Read a file with half the system calls of `Path.read_bytes`: after each a thread waits its turn."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return os.read(file, os.fstat(file).st_size)
    finally:
        os.close(file)


def _incomplete(data: bytes) -> str | None:
    """Say what is missing at the end of a file, for the formats whose decoders may not tell."""
    if not data:
        return "it is empty"
    if data.startswith(PNG):
        return _png_fault(data)
    if data.startswith(JPEG):
        return None if data.rfind(b"\xff\xd9", _jpeg_scan(data)) >= 0 else "it is truncated"
    if data.startswith(TIFF) and len(data) >= 8:
        return _tiff_fault(data)
    return None


def _jpeg_scan(data: bytes) -> int:
    """Where the coded picture begins: a thumbnail in front of it has an end mark of its own."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        if data[position + 1] == 0xFF:  # fill byte
            position += 1
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position


def _tiff_fault(data: bytes) -> str | None:
    """Say whether the first directory, often at the end of the file, lies inside it."""
    order = "<" if data[0] == ord("I") else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    if start + 2 > len(data):
        return "it is truncated"
    (entries,) = struct.unpack_from(f"{order}H", data, start)
    return "it is truncated" if start + 2 + 12 * entries + 4 > len(data) else None


def _png_fault(data: bytes) -> str | None:
    view = memoryview(data)
    for kind, begin, end in _png_chunks(data):
        if kind[0] < ord("a"):  # upper case: a chunk that decoding depends on
            (checksum,) = struct.unpack_from(">I", data, end)
            if zlib.crc32(view[begin - 4 : end]) != checksum:
                return "its contents are damaged (wrong checksum)"
        if kind == b"IEND":
            return None
    return "it is truncated"


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each whole chunk, and where what it holds begins and ends."""
    begin = len(PNG) + 8  # behind the length and the kind
    while begin + 4 <= len(data):
        (length,) = struct.unpack_from(">I", data, begin - 8)
        end = begin + length
        if end + 4 > len(data):
            return
        yield data[begin - 4 : begin], begin, end
        begin = end + 12
