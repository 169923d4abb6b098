"""Where the numbers of a folder come from: the run, its checkpoint and its recipe.

A recipe is a composed configuration without what changes no number, and without the seed: runs of
one recipe are repeats.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from segkit.foreign import json_value, read_text, yaml_value

# What two repeats may differ in. `metric`, `threshold` and `eval_resolution` are the protocol's, which
# is compared by itself.
FREE = {
    "": {
        *("seed", "name", "resume", "hydra", "threads", "logger", "test", "metric", "threshold"),
        *("compile", "channels_last", "trust"),
    },
    "data": {"num_workers", "eval_batch_size", "eval_resolution", "cache", "check_masks", "max_pixels"},
    "callback": {"nan", "csv_log", "lr_monitor", "pictures", "plots", "progress", "last", "interrupt"},
    "trainer": {
        *("enable_progress_bar", "enable_model_summary", "log_every_n_steps", "profiler"),
        *("detect_anomaly", "limit_test_batches"),
    },
}


class Origin(NamedTuple):
    """What is known of a folder with numbers.

    Attributes:
        recipe: Dotted key -> value of the training configuration; ``None`` where it is not known.
        seed: Of the training; ``None`` where it is not known.
        checkpoint: The file that was measured; ``None`` where it was not kept.
        data: The ``data`` node of an evaluation: what it takes instead of the run's own data.
        card: ``run.json`` of the training run, or nothing.
    """

    recipe: dict[str, Any] | None
    seed: int | None
    checkpoint: Path | None
    data: dict[str, Any]
    card: dict[str, Any]


def origin(folder: Path, checkpoint: str) -> Origin:
    """Find out where the numbers of a folder come from.

    Args:
        folder: A run of ``segkit train``, or what ``segkit evaluate`` wrote.
        checkpoint: What its ``metrics.json`` says was measured.
    """
    config = _yaml(folder / ".hydra" / "config.yaml")
    if "model" in config:  # a training run
        file, run, data = folder / checkpoint, folder, {}
    else:
        here = _working_directory(folder)
        file = here / checkpoint
        run, data = file.parent.parent, _at(config.get("data") or {}, here)
        config = _yaml(run / ".hydra" / "config.yaml")
    card = _json(run / "run.json") if config else {}
    recipe = {**_recipe(config), "checkpoint": file.stem} if "model" in config else None
    return Origin(
        recipe,
        config.get("seed"),
        file if file.is_file() else None,
        data,
        card,
    )


def _recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in config.items() if k not in FREE[""]}
    if kept.get("ckpt_path") in (None, "last"):  # another start is another recipe, going on is not
        kept.pop("ckpt_path", None)
    for group, free in FREE.items():
        if isinstance(kept.get(group), dict):
            kept[group] = {k: v for k, v in kept[group].items() if k not in free}
    return dict(_flat(kept))


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differing(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """Key, value in A and value in B, for every key in which two recipes differ."""
    if a is None or b is None:
        return []
    keys = [*a, *(k for k in b if k not in a)]
    missing = object()
    return [
        (key, _shown(a, key), _shown(b, key)) for key in keys if a.get(key, missing) != b.get(key, missing)
    ]


def _shown(recipe: Mapping[str, Any], key: str) -> str:
    return json.dumps(recipe[key], ensure_ascii=False) if key in recipe else "not there"


def _working_directory(folder: Path) -> Path:
    """Where a command was typed: its relative paths begin there."""
    hydra = _yaml(folder / ".hydra" / "hydra.yaml").get("hydra") or {}
    return Path((hydra.get("runtime") or {}).get("cwd") or ".")


def _at(data: Mapping[str, Any], here: Path) -> dict[str, Any]:
    """The data node with an absolute root and without what is not set."""
    kept = {k: v for k, v in data.items() if v is not None}
    return {**kept, "root": str(here / kept["root"])} if "root" in kept else kept


def _yaml(path: Path) -> dict[str, Any]:
    """A file of Hydra's as it is; nothing where there is none, or none that can be read."""
    try:
        found = yaml_value(read_text(path))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json_value(read_text(path))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
