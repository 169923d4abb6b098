"""What a picture file is, and whether all of it is there, before anything is decoded.

Neither OpenCV nor Pillow is trusted with broken files: some versions return a half-grey
picture for a truncated one, so completeness is checked here. It costs 0.1 ms per file.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from segkit.data.jpeg import JPEG, follow
from segkit.data.limit import check_size, make_room, too_large
from segkit.data.png import PNG, PNG_END, png_fault
from segkit.data.tiff import ORIENTATION, TIFF, read_directory
from segkit.error import ShortOfResources
from segkit.exhausted import explain_exhausted
from segkit.types import UserError

FEW = 2**16  # bytes
OPEN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
# Nothing else: Pillow would start other programs for some kinds of files, whatever they are called.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
MANY_VIEWS = ("MPO",)  # a JPEG with further ones behind it, as phones write: the first is the picture
NO_PICTURE = "it is no picture (PNG, JPEG, TIFF, WebP, BMP or GIF)"

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
        UserError: It is no picture, has several pages, or more pixels than `max_pixels`.
    """
    tiff = data.startswith(TIFF)
    if tiff:
        directory = read_directory(data)
        if directory.pages > 1:
            raise UserError(f"{path} holds {directory.pages} pages; save each as a file of its own")
        check_size(path, directory.width, directory.height)
    try:
        image = _open(path, io.BytesIO(data))
        moving = not tiff and image.format not in MANY_VIEWS and getattr(image, "is_animated", False)
    except UnidentifiedImageError as error:
        if tiff:
            return None
        raise UserError(f"{path} cannot be read: {NO_PICTURE}; replace or remove the file") from error
    except UserError:
        raise
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise unreadable(path, error) from error
    if moving:
        raise UserError(f"{path} is animated; save the frame that is meant as a file of its own")
    return image


def header_size(path: Path) -> tuple[int, int] | None:
    """Height and width, upright, from the header alone; ``None`` where it does not tell.

    Raises:
        UserError: It is missing, or has more pixels than `max_pixels`.
    """
    try:
        with _regular(path).open("rb") as file, _open(path, file) as image:
            width, height = image.size
            return (width, height) if orientation(image) >= 5 else (height, width)
    except UserError:
        raise
    except OSError as error:
        if isinstance(error, UnidentifiedImageError):
            return None
        raise unreadable(path, error) from error
    except Exception:  # a damaged file can make a decoder raise anything
        return None


def _open(path: Path, file: BinaryIO) -> Image.Image:
    """Have Pillow read the header of a file; nothing is decoded."""
    make_room()
    try:
        image = Image.open(file, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(path) from error
    check_size(path, *image.size)
    return image


def orientation(image: Image.Image | None) -> int:
    """EXIF orientation 1..8; 1 where there is none (Pillow applies a TIFF's own tag itself)."""
    raw = image.info.get("exif") if image is not None else None
    if not raw or not isinstance(raw, bytes):
        return 1
    exif = Image.Exif()
    try:
        exif.load(raw)
        value = exif.get(ORIENTATION, 1)
    except Exception:  # broken EXIF data in a good picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def unreadable(path: Path, error: Exception) -> UserError:
    """Put what a library said about a file into one line."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path} does not exist")
    if line := explain_exhausted(error):  # no fault of this file
        return ShortOfResources(f"{path} cannot be read: {line}")
    cause = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
    return UserError(f"{path} cannot be read: {cause}; replace or remove the file")


def _regular(path: Path) -> Path:
    """Refuse what would be waited for (a pipe, a terminal)."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise UserError(f"{path} is no file; replace or remove it")
    return path


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
    """Read a file with few system calls: after each a thread waits its turn."""
    file = os.open(path, OPEN)
    try:
        try:
            data = os.read(file, FEW)
        except OSError:  # told below
            data = b""
        if len(data) < FEW and data.endswith(PNG_END):
            return data  # most masks
        state = os.fstat(file)
        if not stat.S_ISREG(state.st_mode):
            raise UserError(f"{path} is no file; replace or remove it")
        while len(data) < state.st_size and (more := os.read(file, state.st_size - len(data))):
            data += more  # the system hands over 2 GB at once
        return data
    finally:
        os.close(file)


def _incomplete(data: bytes) -> str:
    """Say what is missing or damaged, for the formats whose decoders may not tell."""
    if not data:
        return "it is empty"
    if data.startswith(PNG):
        return png_fault(data)
    if data.startswith(JPEG):
        return follow(data)[0]
    if data.startswith(TIFF):
        return read_directory(data).fault
    return ""
