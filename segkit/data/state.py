"""What the files of a frozen split were, by size and time: tells of data that changed since."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from segkit.data.fault import Fault
from segkit.data.source import FileSource
from segkit.error import plural
from segkit.files import write_csv
from segkit.types import Sample, Source, UserError

COLUMNS = ("name", "image_bytes", "image_time", "mask_bytes", "mask_time")
State = tuple[int, int]  # bytes, time of the last change in nanoseconds


def state_file(split: Path) -> Path:
    """Where the state of the files of a frozen split is kept: ``split.files.csv`` beside ``split.csv``."""
    return split.with_suffix(".files.csv")


def write_state(split: Path, source: Source, samples: Sequence[Sample]) -> None:
    """Note sizes and times of all files; nothing for samples that are no files.

    Raises:
        UserError: The folder cannot be written to.
    """
    rows = [
        dict(zip(COLUMNS, (sample.name, *image, *mask), strict=True))
        for sample in sorted(samples)
        for image, mask in _states(source, sample)
    ]
    if rows:
        write_csv(state_file(split), COLUMNS, rows)


def changed_files(split: Path, source: Source, samples: Sequence[Sample]) -> list[Fault]:
    """Files that are not what they were when a split was frozen: at most one warning.

    A file has changed when its size has, or its time alone; not where every file has another
    time and its old size: that is a copy of the data. No content is read.

    Raises:
        UserError: The file of states is damaged.
    """
    known = _known(state_file(split))
    resized, touched, seen = [], [], 0
    for sample in samples if known else ():
        for states in _states(source, sample):
            before, paths = known.get(sample.name, states), (sample.image, sample.mask or sample.image)
            for path, old, new in zip(paths, before, states, strict=True):
                seen += 1
                if old[0] != new[0]:
                    resized.append((sample.name, str(path)))
                elif old[1] != new[1]:
                    touched.append((sample.name, str(path)))
    changed = sorted(resized + (touched if len(touched) + len(resized) < seen else []))
    if not changed:
        return []
    return [
        Fault(
            "changed",
            f"{plural(len(changed), 'file')} changed (size or time) since {split} was frozen; numbers cannot "
            "be compared with earlier ones, nor does a resumed run end as it would have",
            f"restore them, or delete {state_file(split)} to take them as they are",
            tuple(path for _, path in changed),
            tuple(dict.fromkeys(name for name, _ in changed)),
            "warning",
        )
    ]


def _states(source: Source, sample: Sample) -> Iterator[tuple[State, State]]:
    """State of the image and of its mask (all files of it together), if they are files and there."""
    if not isinstance(source, FileSource):
        return
    try:
        yield _state([sample.image]), _state(source.mask_files(sample))
    except OSError:
        return  # gone: told by whoever reads it


def _state(paths: Sequence[Path]) -> State:
    found = [os.stat(path) for path in paths]  # noqa: PTH116 - twice as fast as Path.stat
    return sum(f.st_size for f in found), max((f.st_mtime_ns for f in found), default=0)


def _known(path: Path) -> dict[str, tuple[State, State]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        if tuple(header) != COLUMNS:
            raise ValueError("another header")
        return {r[0]: ((int(r[1]), int(r[2])), (int(r[3]), int(r[4]))) for r in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}); delete it to take the files as they are") from error
