"""Files that are whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segkit.types import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from segkit.types import Array

Color = tuple[int, int, int]
RUN_FOLDERS = (".hydra", "plots", "predictions", "tensorboard", "nan")  # of a run, apart from its checkpoints
NPZ_BYTES = 2 * 2**30  # of all arrays that are read from one file


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
    partial = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        with partial.open("xb") as file:  # never through a link that somebody has put there
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


def sync(folder: Path) -> None:
    """Wait until the disk has every file below a folder, and its names and those of its parents.

    Raises:
        OSError: The disk refuses, or is full.
    """
    for here, _, names in os.walk(folder):
        for path in (Path(here) / name for name in names):
            if path.is_file() and not path.is_symlink():  # a pipe would wait for a writer
                with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                    os.fsync(file.fileno())
        _sync_folder(Path(here))
    for parent in folder.absolute().parents:
        _sync_folder(parent)


def _beside(path: Path) -> Path:
    """Where a file grows; a short name, since the path's own may be as long as the file system allows."""
    short = f"{path.name[:40]}.{zlib.crc32(os.fsencode(path.name)):x}"
    return path.with_name(f".{short}.{os.getpid()}.partial")


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


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Write UTF-8 text with Unix line ends; half a character, which UTF-8 has not, becomes an escape."""
    write_bytes(path, text.encode(errors="backslashreplace"), durable)


def write_json(path: Path, value: Any, durable: bool = False) -> None:
    """Write strict JSON: numpy values become plain ones, nan and infinity become null."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n", durable)


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], durable: bool = False
) -> None:
    """Write a table; what a row does not have stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="raise", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue(), durable)


def write_npz(path: Path, **arrays: Array) -> None:
    """Write named arrays, compressed."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # numpy's stub lacks **kwds
    write_bytes(path, content.getvalue())


def read_npz(path: Path, wanted: Sequence[str] | None = None) -> dict[str, Array]:
    """Read named arrays; a small file that stands for a huge array is refused before it is unpacked.

    Args:
        path: The file.
        wanted: Names, of which some may be missing; ``None``: all there are.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no such file, damaged, or holds more than `NPZ_BYTES` or objects.
    """
    try:
        # NumPy would tell of the Python that has written a header.
        with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path) as archive:
            names = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
            chosen = [n for n in names if wanted is None or n in wanted]
            if (size := sum(names[n].file_size for n in chosen)) > NPZ_BYTES:
                raise ValueError(f"its arrays take {size} bytes, more than {NPZ_BYTES}")
            found = {}
            for name in chosen:
                # What is written down as the size is not passed, whatever more the file unpacks to.
                with archive.open(names[name]) as member:
                    content = io.BytesIO(member.read(names[name].file_size))
                _check_shape(content, names[name].file_size)
                found[name] = np.lib.format.read_array(content, allow_pickle=False)
            return found
    except OSError:
        raise
    except Exception as error:  # a damaged file can make any of the libraries raise anything
        raise ValueError(" ".join(str(error).split())[:120] or type(error).__name__) from error


def _check_shape(content: io.BytesIO, size: int) -> None:
    """Raise `ValueError` where an array is said to be larger than its bytes."""
    version = np.lib.format.read_magic(content)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(content)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"an array of the shape {list(shape)[:8]} in {size} bytes")
    content.seek(0)


def refuse_links(folder: Path, own: Sequence[str] = RUN_FOLDERS) -> None:
    """Refuse a run folder in which a link leads out of it.

    The folder may be a stranger's: reading through such a link would show a file that is not
    theirs, writing would change one.

    Args:
        folder: The folder.
        own: Folders in it that are looked into as well.

    Raises:
        UserError: There is such a link.
    """
    root = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118
    for where in (folder, *(folder / name for name in own)):
        with os.scandir(where) if where.is_dir() else contextlib.nullcontext(()) as entries:
            found = list(entries)
        for entry in found:
            if where == folder and entry.is_dir() and entry.name not in own:
                continue
            if entry.is_symlink() and not os.path.realpath(entry.path).startswith(root):
                raise UserError(f"{entry.path} is a link that leads out of {folder}; remove it")


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
