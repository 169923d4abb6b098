"""The file that freezes a split: one line per sample under a line with the hash of the rest."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from segkit.files import write_text
from segkit.types import SPLITS, Sample, Split, UserError

HEADER = ("name", "split", "group")
HASH_MARK = "# sha256 of the lines below: "


def write_split(path: Path, samples: Sequence[Sample], parts: Sequence[str]) -> str:
    """Freeze a split: one line per sample under a line with the hash of the rest.

    Returns:
        The hash (sha256, hexadecimal).

    Raises:
        UserError: The file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(sorted((s.name, part, s.group) for s, part in zip(samples, parts, strict=True)))
    digest = _digest(text.getvalue())
    write_text(path, f"{HASH_MARK}{digest}\n{text.getvalue()}", durable=True)
    return digest


def read_split(path: Path, samples: Sequence[Sample]) -> list[Split]:
    """Return the part of each sample as a file froze it.

    A file without the line of the hash, made by hand, is taken as it is.

    Raises:
        UserError: The file is missing, was changed since it was frozen, is no split, or
            names other samples than these.
    """
    parts = frozen_parts(path)
    if differences := differing(parts, [s.name for s in samples]):
        raise UserError(
            f"split {path} {differences}; give this data's split, or data.split=null for a new one"
        )
    return [parts[s.name] for s in samples]


def frozen_parts(path: Path) -> dict[str, Split]:
    """Return what a file froze, by sample name, whatever data there is.

    Raises:
        UserError: The file is missing, was changed since it was frozen, or is no split.
    """
    rows = _rows(path)
    names = Counter(row["name"] for row in rows)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UserError(f"split {path} lists '{twice[0]}' {names[twice[0]]} times; keep one line")
    return {row["name"]: _part(path, row["split"], row["name"]) for row in rows}


def differing(frozen: Collection[str], names: Collection[str]) -> str:
    """Say which samples only the file or only the data has; empty where both have the same."""
    here, there = set(names), set(frozen)
    return " and ".join(
        f"{text}: {len(others)} (first: {', '.join(sorted(others)[:3])})"
        for text, others in (
            ("lists samples that the data does not have", there - here),
            ("does not list samples that the data has", here - there),
        )
        if others
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"data.split={path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"data.split={path} cannot be read: {error}") from error
    first, _, rest = text.partition("\n")
    if first.startswith(HASH_MARK):
        if first.removeprefix(HASH_MARK).strip() != _digest(rest):
            raise UserError(
                f"split {path} was changed after it was frozen; restore it, or delete its first line "
                "to use it as it is now"
            )
        text = rest
    reader = csv.DictReader(io.StringIO(text), restval="")
    try:
        rows, columns = list(reader), set(reader.fieldnames or ())
    except csv.Error as error:  # a field longer than Python's limit
        raise UserError(f"{path} is no split: {error}") from error
    if not {"name", "split"} <= columns:
        raise UserError(f"{path} is no split: its first line must be {','.join(HEADER)}")
    return rows


def _part(path: Path, text: str, name: str) -> Split:
    for part in SPLITS:
        if text.strip() == part:
            return part
    raise UserError(f"split {path}: '{name}' has the split '{text}'; choose train, val or test")
