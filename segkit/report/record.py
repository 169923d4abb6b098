"""A run folder -> what it holds, each file looked at; what is missing is ``None`` or empty."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segkit.files import read_npz, refuse_links
from segkit.foreign import read_text, yaml_value
from segkit.report.arrays import check_counts
from segkit.report.node import Node, read_json
from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.types import Array


class Record(NamedTuple):
    """What a run folder or the folder of an evaluation holds.

    Attributes:
        folder: The folder.
        metrics: ``metrics.json``.
        card: ``run.json``.
        config: ``.hydra/config.yaml``, its values.
        config_text: The same as it is written.
        overrides: What was typed, ``KEY=VALUE`` each.
        history: ``metrics.csv``: column -> float64 ``[epochs]``, nan where a cell is empty.
        split: ``split.csv``: part -> group -> number of samples.
        counts: ``counts.npz``: name -> array.
    """

    folder: Path
    metrics: Node | None
    card: Node | None
    config: Node
    config_text: str
    overrides: list[str]
    history: Mapping[str, Array]
    split: Mapping[str, Mapping[str, int]]
    counts: Mapping[str, Array]

    @property
    def name(self) -> str:
        """Name of the run."""
        given = self.metrics.text("name") if self.metrics else ""
        return given or self.config.text("name") or self.folder.name

    @property
    def labels(self) -> LabelSpace:
        """Names and colours of what was counted; ids and task are not in the files."""
        names = tuple(self.classes)
        grey = np.full((len(names), 3), 128)
        colors = tuple((int(r), int(g), int(b)) for r, g, b in self.counts.get("colors", grey))
        return LabelSpace(names, colors, tuple((i,) for i in range(len(names))))

    @property
    def classes(self) -> list[str]:
        """Names of the classes in the order of the counts; none where nothing was counted."""
        return [str(n) for n in self.counts.get("classes", ())]


def read_record(folder: Path) -> Record:
    """Read what there is.

    Raises:
        UserError: There is no such folder, nothing of a run is in it, or a file is damaged (the
            message names it).
    """
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no such folder"
        raise UserError(f"run={folder}: {what}; give the folder of a training or an evaluation")
    refuse_links(folder)
    config, text = _config(folder / ".hydra" / "config.yaml")
    record = Record(
        folder,
        read_json(folder / "metrics.json"),
        read_json(folder / "run.json"),
        config,
        text,
        _overrides(folder / ".hydra" / "overrides.yaml"),
        _history(folder / "metrics.csv"),
        _split(folder / "split.csv"),
        _counts(folder / "counts.npz"),
    )
    if record.metrics is None and record.card is None and not len(record.history):
        raise UserError(
            f"run={folder}: nothing of a run is there (no metrics.json, run.json or metrics.csv); "
            "give the folder of a training or an evaluation"
        )
    return record


def _text(path: Path) -> str | None:
    """A text file; ``None`` where there is none."""
    if not path.is_file():
        return None
    try:
        return read_text(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text in UTF-8; mend the file, or remove it") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}; mend the file, or remove it") from error


def _yaml(path: Path, text: str) -> object:
    try:
        return yaml_value(text)
    except ValueError as error:
        raise UserError(f"{path}: not YAML ({error}); mend the file, or remove it") from error


def _config(path: Path) -> tuple[Node, str]:
    text = _text(path)
    value = _yaml(path, text) if text else {}
    if not isinstance(value, dict):
        raise UserError(f"{path}: no configuration; mend the file, or remove it")
    return Node(value, path), text or ""


def _overrides(path: Path) -> list[str]:
    text = _text(path)
    value = (_yaml(path, text) or []) if text else []
    if not isinstance(value, list):
        raise UserError(f"{path}: no list; mend the file, or remove it")
    return [str(v) for v in value]


def _history(path: Path) -> Mapping[str, Array]:
    if not path.is_file():
        return {}
    from segkit.report.curves import read_columns

    columns = read_columns(path)
    return columns if len(columns["epoch"]) else {}


def _split(path: Path) -> Mapping[str, Mapping[str, int]]:
    text = _text(path)
    if text is None:
        return {}
    found: dict[str, dict[str, int]] = {}
    try:
        for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
            groups = found.setdefault(str(row["split"]), {})
            group = str(row.get("group") or "")
            groups[group] = groups.get(group, 0) + 1
    except (KeyError, csv.Error) as error:
        raise UserError(f"{path}: no column split; mend the file, or remove it") from error
    return found


def _counts(path: Path) -> Mapping[str, Array]:
    """The arrays of ``counts.npz`` that belong together; a checkpoint's own are left out."""
    if not path.is_file():
        return {}
    wanted = ("counts", "names", "groups", "classes", "colors", "confusion", "index", "cells")
    try:
        found = read_npz(path, wanted)
        check_counts(found)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: damaged ({reason}); make it anew, or remove it") from error
    return found
