"""A table of images and masks."""

from __future__ import annotations

import csv as tables
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segkit.data.fault import Fault
from segkit.data.inside import is_file
from segkit.data.labels import nearest, read_labels
from segkit.data.source import SPLIT_NAMES, FileSource, root_folder
from segkit.error import plural
from segkit.types import LabelSpace, Sample, UserError


def csv(
    root: str | Path | None,
    labels: str | Path | Mapping[str, Any] | LabelSpace | None,
    *,
    file: str | Path | None,
    image_column: str = "image",
    mask_column: str = "mask",
    split_column: str = "split",
    group_column: str = "group",
    delimiter: str = ",",
) -> FileSource:
    """List the rows of a CSV file with a header.

    Args:
        root: Folder that the paths in the table are relative to; ``None``: the table's own.
        labels: A label space (`read_labels`).
        file: The table, relative to ``root``.
        image_column: Column of image paths.
        mask_column: Column of mask paths.
        split_column: Column of ``train``, ``val`` or ``test``. Under its default name it may
            be missing or empty throughout: the samples then have no official split.
        group_column: Column of groups; it may be missing under its default name.
        delimiter: What separates the columns.

    Raises:
        UserError: The table or a column is missing, a row is wrong, or none of its files
            exists. Single rows whose files do not exist are left out and told in
            `FileSource.faults`.
    """
    space = read_labels(labels)
    if file is None or not str(file):
        raise UserError("data.file is not set: give the CSV file that lists images and masks")
    base = None if root is None else root_folder(root, "the images of the table")
    table = (Path() if base is None else base) / Path(file).expanduser()
    rows = _rows(table, delimiter)
    required = {"image_column": image_column, "mask_column": mask_column}
    required |= {} if split_column == "split" else {"split_column": split_column}
    required |= {} if group_column == "group" else {"group_column": group_column}
    _check_columns(table, list(rows[0]), required)
    base = table.parent if base is None else base
    samples: list[Sample] = []
    absent: dict[Path, int] = {}
    for number, row in enumerate(rows, start=2):  # the header is row 1
        where, group = f"{table} row {number}", row.get(group_column) or ""
        image, mask = (_path(base, row[c], c, where) for c in (image_column, mask_column))
        split = _split(row.get(split_column) or "", where)
        missing = [path for path in (image, mask) if not is_file(path)]
        absent |= {path: number for path in missing if path not in absent}
        if not missing:
            samples.append(Sample(_name(row[image_column]), image, mask, group, split))
    if not samples:
        first = next(iter(absent))
        raise UserError(f"{table} row {absent[first]}: {first} does not exist; paths are relative to {base}")
    return FileSource(samples, space, _absent(table, base, absent))


def _rows(table: Path, delimiter: str) -> list[dict[str, str]]:
    if len(delimiter) != 1:
        raise UserError(f"data.delimiter={delimiter!r} must be one character, such as ',' or ';'")
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = tables.DictReader(stream, delimiter=delimiter, restval="")
            rows = [{(k or "").strip(): v for k, v in row.items() if isinstance(v, str)} for row in reader]
    except FileNotFoundError as error:
        raise UserError(f"data.file={table} does not exist") from error
    except (OSError, UnicodeDecodeError, tables.Error) as error:
        raise UserError(f"data.file={table} cannot be read as CSV in UTF-8: {error}") from error
    if not rows:
        raise UserError(f"{table} has no rows; the first line must name the columns, such as image,mask")
    return rows


def _check_columns(table: Path, columns: list[str], required: Mapping[str, str]) -> None:
    for key, column in required.items():
        if column in columns:
            continue
        if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
            raise UserError(f"{table} has one column, '{columns[0]}': set data.delimiter")
        raise UserError(
            f"{table} has no column '{column}'{nearest(column, columns)} It has {', '.join(columns)}; "
            f"set data.{key}"
        )


def _path(base: Path, text: str, column: str, where: str) -> Path:
    if not text.strip():
        raise UserError(f"{where}: column '{column}' is empty; give a path or remove the row")
    return base / os.path.expanduser(text.strip())  # noqa: PTH111 - Path raises for an unknown user


def _absent(table: Path, base: Path, absent: Mapping[Path, int]) -> list[Fault]:
    """The fault of paths that do not exist (each with its row), in the order of the table."""
    if not absent:
        return []
    rows = sorted(set(absent.values()))
    shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
    word = "row" if len(rows) == 1 else "rows"
    message = (
        f"{plural(len(absent), 'file')} of {table} missing ({word} {shown}); paths are relative to {base}"
    )
    fix = f"correct or remove the {word}, or add the files"
    return [Fault("unpaired", message, fix, tuple(map(str, absent)))]


def _split(text: str, where: str) -> str:
    value = text.strip().lower()
    if value and value not in SPLIT_NAMES:
        raise UserError(f"{where}: split {text!r} is unknown; write train, val or test")
    return SPLIT_NAMES[value] if value else ""


def _name(text: str) -> str:
    """Turn the path of an image into a name that is safe as a relative path."""
    path = Path(os.path.expanduser(text.strip()))  # noqa: PTH111
    return "/".join(part for part in path.with_suffix("").parts if part not in (path.anchor, ".", ".."))
