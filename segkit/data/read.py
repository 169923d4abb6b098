"""Files -> arrays: pictures as RGB bytes, masks as the numbers that are stored in them.

OpenCV decodes what is common (it is the fastest), Pillow tells what a file is and decodes
the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segkit.data.file import header_size, open_header, orientation, read_bytes, unreadable
from segkit.data.jpeg import ends_early, may_end_in_grey
from segkit.data.png import is_grey_png
from segkit.error import LOOK
from segkit.types import Masks, UserError

# What is wrong with a file is said by a `UserError`, in one line.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

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
    return open_image(path, read_bytes(path))[0]


def open_image(path: Path, data: bytes) -> tuple[NDArray[np.uint8], Image.Image | None]:
    """Decode what `read_image` has read.

    Args:
        path: The file, for messages.
        data: Its contents.

    Returns:
        The picture as `read_image` gives it, and Pillow's header (`open_header`).

    Raises:
        UserError: As in `read_image`.
    """
    header = open_header(path, data)
    if header is not None and header.format in ("JPEG", "MPO"):
        pixels = _jpeg_rgb(path, data)
    elif header is None or header.format == "PNG" or _deep_color(data, header):
        pixels = _opencv_rgb(path, data)
    else:
        pixels = _pillow_rgb(path, header)
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    if pixels.dtype != np.uint8:
        raise UserError(f"image {path} holds {pixels.dtype} values; save it with 8 or 16 bits per channel")
    return upright(pixels, orientation(header)), header


class Stored(NamedTuple):
    """A mask file as it is, whether or not its values can be class ids.

    Attributes:
        kind: What the file holds: a word from `segkit.data.scan.Facts.mask_kind`.
        values: ``[H, W]``, upright: the stored numbers, or packed colours (uint32) where channels
            differ or colours are asked for; empty for colours with more than 8 bits.
        orientation: EXIF orientation 1..8 of the file.
        fault: Why these are no file ids; empty where they are.
    """

    kind: str
    values: NDArray[Any]
    orientation: int
    fault: str


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
    stored = open_mask(path, read_bytes(path), masks)
    if stored.fault:
        raise UserError(stored.fault)
    return stored.values.astype(np.uint32) if stored.values.dtype.kind == "i" else stored.values


def open_mask(path: Path, data: bytes, masks: Masks = "index") -> Stored:
    """Decode a mask without refusing what it holds.

    Args:
        path: The file, for messages.
        data: Its contents.
        masks: As in `read_mask`.

    Raises:
        UserError: It is damaged or no picture.
    """
    if masks == "index" and is_grey_png(data):
        values = _decode(path, data, cv2.IMREAD_UNCHANGED)
        return Stored(_index_kind("L", values), values, 1, "")
    header = open_header(path, data)
    if header is None or (header.format == "TIFF" and _deep_color(data, header)):
        fault = f"mask {path} holds colours with 16 bits per channel; save class indices in one channel"
        return Stored("color", np.zeros((0, 0), np.uint32), orientation(header), fault)
    mode, jpeg = header.mode, header.format in ("JPEG", "MPO")
    deep = _deep_color(data, header) or mode.startswith(("I", "F"))
    if masks == "color" and not deep:
        values = pack_colors(_mask_colors(path, data, header))
        kind = "color" if mode.startswith("RGB") else _index_kind(mode, values.astype(np.uint8))
        kind = f"{kind};alpha" if mode == "RGBA" and varies(header.getchannel("A")) else kind
    else:
        kind, values = _one_channel(mode, _mask_values(path, data, header))
    kind = "jpeg" if jpeg else kind
    turn = orientation(header)
    return Stored(kind, upright(values, turn), turn, _mask_fault(path, kind, values, masks, deep))


def varies(alpha: Image.Image) -> bool:
    """Whether a channel has more than one value."""
    low, high = alpha.getextrema()
    return low != high


def pack_colors(pixels: NDArray[Any]) -> NDArray[np.uint32]:
    """``[..., 3]`` uint8 RGB -> ``65536 * red + 256 * green + blue``, the file ids of colours."""
    red, green, blue = (pixels[..., i].astype(np.uint32) for i in range(3))
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width as `read_image` and `read_mask` give them, from the header alone.

    Raises:
        UserError: The file is missing, too large, or no picture.
    """
    size = header_size(path)
    if size is None:  # 16-bit RGB TIFF, or broken: the full reading tells
        height, width = read_image(path).shape[:2]
        return height, width
    return size


def _decode(path: Path, data: bytes, flags: int) -> NDArray[Any]:
    try:
        pixels: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise unreadable(path, error) from error
    if pixels is None or not pixels.size:
        raise UserError(f"{path} cannot be read: its contents are damaged; replace or remove the file")
    return pixels


def _opencv_rgb(path: Path, data: bytes) -> NDArray[Any]:
    # Not IMREAD_COLOR_RGB: OpenCV 5.0 mixes up the channels of 16-bit TIFF files with it.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.cvtColor(_decode(path, data, flags), cv2.COLOR_BGR2RGB)


def _jpeg_rgb(path: Path, data: bytes) -> NDArray[Any]:
    pixels = _opencv_rgb(path, data)
    try:
        cut = may_end_in_grey(pixels) and ends_early(data)
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise unreadable(path, error) from error
    if cut:
        raise UserError(f"{path} cannot be read: it is truncated; replace or remove the file")
    return pixels


def _pillow_rgb(path: Path, image: Image.Image) -> NDArray[Any]:
    if image.mode.startswith("I;16"):
        return np.repeat(_load(path, image)[..., None], 3, axis=2).astype(np.uint16)
    if image.mode in ("I", "F"):
        raise UserError(f"image {path} holds 32-bit values; save it with 8 or 16 bits per channel")
    return _load(path, image, "RGB")


def _load(path: Path, image: Image.Image, mode: str = "") -> NDArray[Any]:
    try:
        return np.array(image.convert(mode) if mode else image)  # a copy: Pillow's own memory is read-only
    except Exception as error:  # a damaged file can make a decoder raise anything
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


def _mask_colors(path: Path, data: bytes, image: Image.Image) -> NDArray[Any]:
    """Stored colours ``[H, W, 3]`` uint8, those of the palette where there is one."""
    if image.format == "PNG" and image.mode in ("RGB", "RGBA"):
        return _opencv_rgb(path, data)  # twice as fast
    image.info.pop("transparency", None)  # about which Pillow would warn
    return _pillow_rgb(path, image)


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


def _one_channel(mode: str, array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """Kind of a mask, and its values ``[H, W]``: equal channels count as one, others are packed."""
    alpha = array[:0]
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array, alpha = array[..., :-1], array[..., -1]
    veiled = ";alpha" if alpha.size and alpha.min() != alpha.max() else ""
    if array.ndim == 3 and (array != array[..., :1]).any():
        return f"color{veiled}", pack_colors(array >> 8 if array.dtype == np.uint16 else array)
    values = array if array.ndim == 2 else np.ascontiguousarray(array[..., 0])
    return "index;alpha" if veiled else _index_kind(mode, values), values


def _index_kind(mode: str, values: NDArray[Any]) -> str:
    if mode in ("1", "P", "PA"):
        return "bit" if mode == "1" else "palette"
    return "fraction" if values.dtype.kind == "f" else f"index{8 * values.dtype.itemsize}"


def _mask_fault(path: Path, kind: str, values: NDArray[Any], masks: Masks, deep: bool) -> str:
    """Say why values cannot be file ids; nothing where they can."""
    if kind == "jpeg":
        return f"mask {path} is a JPEG, which invents values along every edge; save masks as PNG"
    if masks == "color":
        fault = f"mask {path} holds more than 8 bits per channel; save colours with 8 bits each"
        return fault if deep else ""
    if kind.startswith("color"):
        return _color_fault(path, values)
    if kind == "index;alpha":
        return f"mask {path} has a transparency channel that varies; save class indices in one channel"
    if kind == "fraction":
        return f"mask {path} holds fractions ({values.dtype}); save class indices as whole numbers"
    if values.dtype.kind == "i" and values.min(initial=0) < 0:
        return f"mask {path} holds negative numbers (down to {values.min()}); class ids start at 0"
    return ""


def _color_fault(path: Path, packed: NDArray[Any]) -> str:
    found = np.unique(packed)
    shown = ", ".join(f"({c >> 16}, {c >> 8 & 255}, {c & 255})" for c in found[:3].tolist())
    return (
        f"mask {path} holds colours (RGB), not class indices; {len(found)} colours: {shown}"
        f"{', ...' if len(found) > 3 else ''}; set `masks: color` in a label space that gives each class "
        f"its colour: `{LOOK}` writes one"
    )


def upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
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
