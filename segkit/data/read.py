"""Files -> arrays: pictures as RGB bytes, masks as the numbers that are stored in them.

OpenCV decodes what is common (it is the fastest), Pillow tells what a file is and decodes
the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segkit.data.file import open_header, orientation, read_bytes, too_large, unreadable
from segkit.types import Masks, UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
MASK_SUFFIXES = (*IMAGE_SUFFIXES, ".gif")

BITS_PER_SAMPLE = 258  # TIFF tag


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture.

    Grey and palette pictures become RGB; an alpha channel is dropped; 16-bit values are
    divided by 257, so that 65535 becomes 255 (a 12-bit picture in a 16-bit file stays dark).
    EXIF orientation is applied, as viewers, browsers and drawing tools do.

    Returns:
        ``[H, W, 3]`` uint8 RGB.

    Raises:
        UserError: The file is missing, broken, too large, or no 8- or 16-bit picture.
    """
    data = read_bytes(path)
    header = open_header(path, data)
    if header is None or header.format in ("PNG", "JPEG", "MPO") or _deep_color(data, header):
        pixels = _opencv_rgb(path, data)
    else:
        pixels = _pillow_rgb(path, header)
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    if pixels.dtype != np.uint8:
        raise UserError(f"image {path} holds {pixels.dtype} values; save it with 8 or 16 bits per channel")
    return _upright(pixels, orientation(header))


def read_mask(path: Path, masks: Masks = "index") -> NDArray[Any]:
    """Read what is stored in a mask.

    EXIF orientation is applied as it is in `read_image`.

    Args:
        path: The file.
        masks: ``index``: the numbers, never the colours that a palette gives them; 1-bit
            masks hold 0 and 1, and three equal colour channels count as one. ``color``: the
            colours, those of the palette where there is one; an alpha channel is dropped.

    Returns:
        ``[H, W]`` uint8, uint16 or uint32; a colour is ``65536 * red + 256 * green + blue``.

    Raises:
        UserError: The file is missing, broken, a JPEG, or holds colours, fractions or
            negative numbers.
    """
    data = read_bytes(path)
    header = open_header(path, data)
    if header is None or (header.format == "TIFF" and _deep_color(data, header)):
        raise UserError(
            f"mask {path} holds colours with 16 bits per channel; save class indices in one channel"
        )
    if header.format in ("JPEG", "MPO"):
        raise UserError(f"mask {path} is a JPEG, which invents values along every edge; save masks as PNG")
    if masks == "color":
        return _upright(pack_colors(_pillow_rgb(path, header)), orientation(header))
    array = _one_channel(path, _mask_values(path, data, header))
    if array.dtype.kind == "f":
        raise UserError(f"mask {path} holds fractions ({array.dtype}); save class indices as whole numbers")
    if array.dtype.kind == "i":
        if array.min(initial=0) < 0:
            raise UserError(
                f"mask {path} holds negative numbers (down to {array.min()}); class ids start at 0"
            )
        array = array.astype(np.uint32)
    return _upright(array, orientation(header))


def pack_colors(pixels: NDArray[Any]) -> NDArray[np.uint32]:
    """``[..., 3]`` uint8 RGB -> ``65536 * red + 256 * green + blue``, the file ids of colours."""
    red, green, blue = (pixels[..., i].astype(np.uint32) for i in range(3))
    return red << 16 | green << 8 | blue


def image_size(path: Path) -> tuple[int, int]:
    """Height and width as `read_image` and `read_mask` give them, from the header alone.

    Raises:
        UserError: The file is missing, too large, or no picture.
    """
    try:
        with Image.open(path) as header:
            width, height = header.size
            turned = orientation(header) >= 5
    except UnidentifiedImageError:  # 16-bit RGB TIFF, or broken: the full reading tells
        height, width = read_image(path).shape[:2]
        return height, width
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise unreadable(path, error) from error
    return (width, height) if turned else (height, width)


def _decode(path: Path, data: bytes, flags: int) -> NDArray[Any]:
    try:
        pixels: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise unreadable(path, error) from error
    if pixels is None:
        raise UserError(f"{path} cannot be read: its contents are damaged; replace or remove the file")
    return pixels


def _opencv_rgb(path: Path, data: bytes) -> NDArray[Any]:
    # Not IMREAD_COLOR_RGB: OpenCV 5.0 mixes up the channels of 16-bit TIFF files with it.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.cvtColor(_decode(path, data, flags), cv2.COLOR_BGR2RGB)


def _pillow_rgb(path: Path, image: Image.Image) -> NDArray[Any]:
    if image.mode.startswith("I;16"):
        return np.repeat(_load(path, image)[..., None], 3, axis=2).astype(np.uint16)
    if image.mode in ("I", "F"):
        raise UserError(f"image {path} holds 32-bit values; save it with 8 or 16 bits per channel")
    return _load(path, image, "RGB")


def _load(path: Path, image: Image.Image, mode: str = "") -> NDArray[Any]:
    try:
        return np.array(image.convert(mode) if mode else image)  # a copy: Pillow's own memory is read-only
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise unreadable(path, error) from error


def _mask_values(path: Path, data: bytes, image: Image.Image) -> NDArray[Any]:
    """Stored values, ``[H, W]`` or ``[H, W, channels]``."""
    by_index = image.mode in ("P", "PA", "1") or "transparency" in image.info
    if image.format == "PNG" and not by_index:  # OpenCV paints palettes, Pillow is slower with the rest
        array = _decode(path, data, cv2.IMREAD_UNCHANGED)
        if array.ndim == 3:
            array = cv2.cvtColor(array, cv2.COLOR_BGR2RGB if array.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    else:
        array = _load(path, image)
    if array.dtype == bool:
        return array.astype(np.uint8)
    # Decoders stretch grey values of 2 and 4 bits to 0..255.
    bits = _bits(data, image) if image.mode == "L" else 8
    return array // (255 // (2**bits - 1)) if bits in (2, 4) else array


def _bits(data: bytes, image: Image.Image) -> int:
    """Bits per stored value, of which Pillow's mode tells less."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        return int(image.tag_v2.get(BITS_PER_SAMPLE, (8,))[0])  # type: ignore[attr-defined]
    return 8


def _deep_color(data: bytes, image: Image.Image) -> bool:
    """Whether it has several channels of 16 bits, of which Pillow keeps the upper 8."""
    return image.mode in ("RGB", "RGBA", "LA") and _bits(data, image) > 8


def _one_channel(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 2:
        return array
    color, alpha = (array, array[:0]) if array.shape[2] == 3 else (array[..., :-1], array[..., -1])
    if (color != color[..., :1]).any():
        found = np.unique(color.reshape(-1, color.shape[2]), axis=0)
        shown = ", ".join(str(tuple(int(v) for v in c)) for c in found[:3])
        raise UserError(
            f"mask {path} holds colours (RGB), not class indices; {len(found)} colours: {shown}"
            f"{', ...' if len(found) > 3 else ''}; convert it to indices or give index masks"
        )
    if alpha.size and alpha.min() != alpha.max():
        raise UserError(
            f"mask {path} has a transparency channel that varies; save class indices in one channel"
        )
    return np.ascontiguousarray(color[..., 0])


def _upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror stored pixels as EXIF orientation says (EXIF 2.3, tag 0x0112)."""
    if orientation == 1:
        return array
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)
