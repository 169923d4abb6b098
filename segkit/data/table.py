"""Rows of facts about samples, and the file that holds them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.files import read_npz, write_bytes


class Table(NamedTuple):
    """Rows of samples.

    Attributes:
        names: ``[n]`` sample names.
        stamp: ``[n, 16]`` uint8, digest of what the file system says of a sample's files; zeros
            where that does not tell whether they change.
        content: ``[n, 16]`` uint8, digest of the bytes of these files; zeros: not known.
        columns: Arrays ``[n, ...]`` by name.
        ragged: By name ``[n]`` how many a sample has, and ``[t, ...]`` those of all samples.
    """

    names: list[str]
    stamp: NDArray[np.uint8]
    content: NDArray[np.uint8]
    columns: dict[str, NDArray[Any]]
    ragged: dict[str, tuple[NDArray[np.int64], NDArray[Any]]]


def join(tables: Sequence[Table]) -> Table:
    """Put the rows of tables, at least one, behind each other."""
    if len(tables) == 1:
        return tables[0]
    first = tables[0]
    return Table(
        [name for t in tables for name in t.names],
        np.concatenate([t.stamp for t in tables]),
        np.concatenate([t.content for t in tables]),
        {key: np.concatenate([t.columns[key] for t in tables]) for key in first.columns},
        {
            key: (
                np.concatenate([t.ragged[key][0] for t in tables]),
                np.concatenate([t.ragged[key][1] for t in tables]),
            )
            for key in first.ragged
        },
    )


def take(table: Table, rows: NDArray[np.int64]) -> Table:
    """Rows of a table by their positions."""
    if np.array_equal(rows, np.arange(len(table.names))):
        return table
    ragged = {}
    for key, (counts, values) in table.ragged.items():
        starts, some = np.cumsum(counts) - counts, counts[rows]
        shift = np.repeat(starts[rows] - (np.cumsum(some) - some), some)
        ragged[key] = some, values[np.arange(len(shift)) + shift]
    columns = {key: values[rows] for key, values in table.columns.items()}
    names = [table.names[i] for i in rows.tolist()]
    return Table(names, table.stamp[rows], table.content[rows], columns, ragged)


def save(path: Path, table: Table) -> None:
    """Write a table.

    Raises:
        UserError: The folder cannot be written to.
    """
    arrays: dict[str, NDArray[Any]] = {
        "names": _pack(table.names),
        "stamp": table.stamp,
        "content": table.content,
    }
    for key, values in table.columns.items():
        is_text = values.dtype.kind in "UO"
        arrays[f"{'text' if is_text else 'column'} {key}"] = _pack(values.tolist()) if is_text else values
    for key, (counts, values) in table.ragged.items():
        arrays[f"count {key}"], arrays[f"values {key}"] = counts, values
    arrays["digest"] = _digest(arrays)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key, values in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)
    write_bytes(path, content.getvalue())


def load(path: Path) -> Table | None:
    """Read a table; nothing where there is none, or something else."""
    try:
        arrays = read_npz(path)
        if not np.array_equal(arrays.pop("digest"), _digest(arrays)):
            return None
        return _table(arrays)
    except Exception:  # a damaged file can make any of the libraries raise anything
        return None


def _table(arrays: Mapping[str, NDArray[Any]]) -> Table:
    names = _unpack(arrays["names"])
    columns: dict[str, NDArray[Any]] = {}
    ragged: dict[str, tuple[NDArray[np.int64], NDArray[Any]]] = {}
    for title, values in arrays.items():
        word, _, key = title.partition(" ")
        if word == "column":
            columns[key] = values
        elif word == "text":
            columns[key] = np.array(_unpack(values), object)
        elif word == "count":
            ragged[key] = values, arrays[f"values {key}"]
    table = Table(names, arrays["stamp"], arrays["content"], columns, ragged)
    lengths = {
        len(v) for v in (table.stamp, table.content, *columns.values(), *(r[0] for r in ragged.values()))
    }
    if lengths != {len(names)} or any(c.sum() != len(v) for c, v in ragged.values()):
        raise ValueError("the arrays do not fit each other")
    return table


def _digest(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Digest of all arrays, so that a file that is damaged in whatever way is not taken for the truth."""
    found = hashlib.blake2b(digest_size=16)
    for key in sorted(arrays):
        values = np.ascontiguousarray(arrays[key])
        found.update(f"{key}\0{values.dtype.str}\0{values.shape}\0".encode("utf-8", "surrogateescape"))
        found.update(values.tobytes())
    return np.frombuffer(found.digest(), np.uint8)


def _pack(texts: Sequence[str]) -> NDArray[Any]:
    return np.frombuffer("\0".join(texts).encode("utf-8", "surrogateescape"), np.uint8)


def _unpack(packed: NDArray[np.uint8]) -> list[str]:
    return packed.tobytes().decode("utf-8", "surrogateescape").split("\0")
