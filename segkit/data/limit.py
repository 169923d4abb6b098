"""How many pixels a picture may have.

A file of a few kilobytes can unpack to more than any memory holds. What its header says is
compared with a limit before anything is decoded.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from PIL import Image

from segkit.types import UserError

VARIABLE = "SEGKIT_MAX_PIXELS"  # in the environment, so that worker processes of every kind know it
DEFAULT = 178_956_970  # where Pillow draws the line too; as RGB half a gigabyte
LARGEST = 2**30  # more is too much for OpenCV
LONGEST = 2**20  # the same for one side

# Pillow warns where it does not refuse yet; here everything above the limit is refused. And it warns of odd
# metadata, which is no news to who looks at pixels.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def max_pixels() -> int:
    """The limit of this process: what `allow_pixels` was given here or in the process that started this."""
    text = os.environ.get(VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() else DEFAULT


def allow_pixels(limit: int | None) -> None:
    """Set the limit of this process and of those that it starts from now on.

    Args:
        limit: Pixels of one picture, 1 up to `LARGEST`; ``None``: `DEFAULT`.

    Raises:
        UserError: It is out of range.
    """
    limit = DEFAULT if limit is None else limit
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LARGEST:
        raise UserError(f"data.max_pixels={limit}: give a whole number from 1 to {LARGEST}")
    os.environ[VARIABLE] = str(limit)


def make_room() -> None:
    """Have Pillow, whose guard is one for the whole process, let pass what the limit lets pass."""
    guard, limit = Image.MAX_IMAGE_PIXELS, max_pixels()
    if guard is not None and guard < limit:
        Image.MAX_IMAGE_PIXELS = limit


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a picture whose header says that it is too large, or has no pixels.

    Raises:
        UserError: Its sides are no sides, or it has too many pixels.
    """
    if width < 1 or height < 1:
        raise UserError(f"{path} cannot be read: it is {width}x{height}; replace or remove the file")
    if width > LONGEST or height > LONGEST:
        raise UserError(f"{path} is {width}x{height}: no side may exceed {LONGEST}; cut it into tiles")
    if width * height > max_pixels():
        raise too_large(path, f"is {width}x{height},")


def too_large(path: Path, found: str = "has") -> UserError:
    """Say how large a picture may be, and by which key."""
    return UserError(
        f"{path} {found} more pixels than data.max_pixels={max_pixels()} allows; raise that, "
        "or cut the picture into tiles"
    )
