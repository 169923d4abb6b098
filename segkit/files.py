"""Files that are whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segkit.types import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from segkit.types import Array

Color = tuple[int, int, int]


def write_bytes(path: Path, content: bytes, durable: bool = False) -> None:
    """Write a file that a killed process can never leave half written.

    Missing folders are made. A symbolic link at ``path`` is replaced, not followed.

    Args:
        path: Where to.
        content: What.
        durable: Wait until the disk has it, so that a power cut cannot undo it either.

    Raises:
        UserError: The folder cannot be written to, or the disk is full.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
    finally:
        partial.unlink(missing_ok=True) if partial.parent.is_dir() else None


def _sync_folder(folder: Path) -> None:
    """Have the disk know the names in a folder (where the system can open one)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON: numpy values become plain ones, nan and infinity become null."""
    write_text(path, json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table; what a row does not have stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="raise", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_npz(path: Path, **arrays: Array) -> None:
    """Write named arrays, compressed."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # numpy's stub lacks **kwds
    write_bytes(path, content.getvalue())


def write_png(path: Path, image: Array, palette: Sequence[Color] | None = None) -> None:
    """Write a picture or a mask.

    Args:
        path: Where to.
        image: uint8 RGB ``[H, W, 3]``, or uint8 or uint16 ``[H, W]``.
        palette: Colours of the values 0, 1, ... of a uint8 ``[H, W]``: the file still holds
            these values, and viewers show them in colour.
    """
    from PIL import Image

    picture = Image.fromarray(image)
    if palette is not None:
        # All 256 entries: with fewer, Pillow packs pixels into fewer bits and cuts larger values.
        full = [channel for color in palette for channel in color] + [0] * (3 * (256 - len(palette)))
        picture.putpalette(full)
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=4)
    write_bytes(path, content.getvalue())


def write_figure(path: Path, figure: Figure) -> None:
    """Draw a matplotlib figure into a PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_bytes(path, content.getvalue())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
