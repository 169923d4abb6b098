"""Divide data and freeze that: ``python -m segkit.split data=folder data.root=... split.folds=5``."""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.cli import launch
from segkit.error import UserError

if TYPE_CHECKING:
    from segkit.report.split import Division
    from segkit.types import Array, Sample, Source, Split

    Parts = list[list[Split]]

log = logging.getLogger(__name__)

RANDOM = 20  # random splits that the report compares with
SETTINGS = ("ratios", "folds", "official")


def split(cfg: Any) -> float:
    """Divide as configured; return the mean divergence."""
    from omegaconf import OmegaConf

    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    _check(config)
    from hydra.core.hydra_config import HydraConfig

    from segkit.data.frozen import write_split
    from segkit.data.make import make_source
    from segkit.data.state import changed_files, write_state

    folder = Path(HydraConfig.get().runtime.output_dir)
    files, record = _files(config["split"], folder)
    source = make_source(config["data"])
    for fault in getattr(source, "faults", ()):
        log.warning("%s", fault.line())
    samples = sorted(source.samples)
    if not config["split"]["official"]:
        samples = [s._replace(split="") for s in samples]
    counts = functools.cache(lambda: _count(config, source, samples))
    before = _frozen(config, files, record, [s.name for s in samples])
    parts, status = _divide(config, samples, before, counts)
    ratios = config["split"]["ratios"]
    if ratios[1] == 0 and not config["split"]["folds"] and "val" not in parts[0]:
        raise UserError(
            f"split.ratios={ratios}: no sample is left for validation, which training needs; "
            "give val more than 0, such as [0.8,0.2,0]"
        )
    about = _about(config, source.labels.names, samples, parts, counts())
    overrides = [o for o in HydraConfig.get().overrides.task if o.startswith("data")]
    about |= {"files": [f.name for f in files], "use": _use(overrides, files)}
    if status != "unchanged":
        _remove_old(record, files)
    _report(folder, record, about, config["name"])
    if status != "unchanged":  # last: what is frozen always has its report
        for file, one in zip(files, parts, strict=True):
            write_split(file, samples, one)
            write_state(file, source, samples)
    else:
        for fault in changed_files(files[0], source, samples):
            log.warning("%s", fault.line())
    print(f"{status}: {', '.join(map(_shown, files))}")
    return float(about["divergence"]["mean"])


def _check(config: dict[str, Any]) -> None:
    """Refuse what makes no sense, before anything is read."""
    from segkit.schema import check_whole, fits

    options = config["split"]
    ratios, k = options["ratios"], options["folds"]
    fine = fits(ratios, list[float]) and len(ratios) == 3 and math.isclose(sum(ratios), 1, abs_tol=1e-6)
    if not fine or min(ratios) < 0 or ratios[0] == 0:
        raise UserError(
            f"split.ratios={ratios}: give sizes of train, val and test that add to 1, "
            "none below 0 and train above it, such as [0.7,0.15,0.15]"
        )
    if k is not None and (not fits(k, int) or k < 2):
        raise UserError(f"split.folds={k}: give a whole number, at least 2, or null for one split")
    if options["existing"] not in ("keep", "extend", "replace"):
        raise UserError(f"split.existing={options['existing']}: choose keep, extend or replace")
    for key, value in (("split.official", options["official"]), ("cache", config["cache"])):
        if not fits(value, bool):
            raise UserError(f"{key}={value}: choose true or false")
    workers = 1 if config["workers"] is None else config["workers"]
    for key, value, low in (("seed", config["seed"], 0), ("workers", workers, 1)):
        check_whole(key, value, low)


def _files(options: dict[str, Any], folder: Path) -> tuple[list[Path], Path]:
    """Where the split is frozen, and the report that goes with it."""
    file = Path(options["file"]).expanduser() if options["file"] else folder / "split.csv"
    if file.suffix != ".csv":
        raise UserError(f"split.file={file}: give the name of a .csv file")
    k = options["folds"]
    files = [file.with_name(f"{file.stem}_fold{i + 1}.csv") for i in range(k)] if k else [file]
    return files, file.with_suffix(".json")


def _count(config: dict[str, Any], source: Source, samples: Sequence[Sample]) -> Array:
    """Pixels of each class in each sample: int64 ``[n, K]``."""
    from segkit.data.cache import cache_folder
    from segkit.data.count import count_pixels

    cache = cache_folder() if config["cache"] else None
    return count_pixels(source, samples, workers=config["workers"], progress=True, cache=cache)


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """What a split was made with, and cannot be changed by calling again."""
    return {**{key: config["split"][key] for key in SETTINGS}, "seed": config["seed"]}


def _old(record: Path) -> dict[str, Any]:
    """What an earlier call wrote. Files that it names may be removed: none but tables beside it."""
    try:
        old = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{record} cannot be read: {error}; delete it") from error
    names = old.get("files", []) if isinstance(old, dict) and isinstance(old.get("settings", {}), dict) else 0
    if not isinstance(names, list) or not all(isinstance(n, str) and _is_table(n) for n in names):
        raise UserError(f"{record} is no report of segkit split; delete it, or choose another split.file")
    return dict(old)


def _is_table(name: str) -> bool:
    return name.endswith(".csv") and "/" not in name and "\\" not in name


def _frozen(
    config: dict[str, Any], files: Sequence[Path], record: Path, names: Sequence[str]
) -> list[dict[str, Split]]:
    """The split that is there and is to be kept or extended, as parts by name; empty for a new one.

    Raises:
        UserError: It was made otherwise, for other samples (unless it is to be extended), or
            changed by hand.
    """
    from segkit.data.frozen import differing, frozen_parts

    existing, old = config["split"]["existing"], _old(record)
    there = [f for f in (*files, *(record.with_name(n) for n in old.get("files", ()))) if f.is_file()]
    if existing == "replace" or not there:
        return []
    was = {k: v for k, v in old.get("settings", {}).items() if v != _settings(config).get(k)}
    if was:
        asked = ", ".join(f"{_key(k)}={json.dumps(v, separators=(',', ':'))}" for k, v in was.items())
        raise UserError(
            f"{there[0]} was made with {asked}; give that, another name= for another split, "
            "or split.existing=replace to draw it anew"
        )
    if gone := [f for f in files if not f.is_file()]:
        raise UserError(f"{gone[0]} is missing beside {there[0]}; restore it, or set split.existing=replace")
    frozen = [frozen_parts(f) for f in files]
    if existing == "keep" and (differences := differing(frozen[0], names)):
        raise UserError(
            f"split {files[0]} {differences}; split.existing=extend places new samples and leaves the others "
            "where they are, split.existing=replace draws everything anew"
        )
    return frozen


def _key(setting: str) -> str:
    return f"split.{setting}" if setting in SETTINGS else setting


def _divide(
    config: dict[str, Any],
    samples: Sequence[Sample],
    before: list[dict[str, Split]],
    counts: Callable[[], Array],
) -> tuple[Parts, str]:
    """The part of each sample (one list, or one per fold), and what was done in a word."""
    from segkit.data.split import assign, extend, folds

    (_, val, test), k, seed = config["split"]["ratios"], config["split"]["folds"], config["seed"]
    names = {s.name for s in samples}
    if before and before[0].keys() == names:
        return [[one[s.name] for s in samples] for one in before], "unchanged"
    if before:
        new, gone = len(names - before[0].keys()), len(before[0].keys() - names)
        return extend(samples, before, val, test, seed, counts), f"extended ({new} new, {gone} gone)"
    if k:
        return folds(samples, k, test, seed, counts), "frozen"
    return [assign(samples, val, test, seed, counts)], "frozen"


def _remove_old(record: Path, files: Sequence[Path]) -> None:
    """What an earlier call froze and this one does not would be taken for a part of it."""
    from segkit.data.state import state_file

    for file in (record.with_name(name) for name in _old(record).get("files", ())):
        if file not in files:
            file.unlink(missing_ok=True)
            state_file(file).unlink(missing_ok=True)


def _about(
    config: dict[str, Any], classes: Sequence[str], samples: Sequence[Sample], parts: Parts, counts: Array
) -> dict[str, Any]:
    """Everything that ``split.json`` tells but the files."""
    from segkit.data.split import assign, folds
    from segkit.report.split import describe

    (_, val, test), k = config["split"]["ratios"], config["split"]["folds"]
    free = samples if k else [s._replace(split="") for s in samples]
    chances: list[Parts] = []
    try:
        for seed in range(RANDOM):
            chances.append(folds(free, k, test, seed) if k else [assign(free, val, test, seed)])
    except UserError:  # too few groups: there is an official split, or an extended one
        chances = []
    division = _division(config, parts)
    by_chance = [_division(config, chance).chosen for chance in chances]
    about = describe(classes, counts, [s.group for s in samples], division, by_chance)
    return {"settings": _settings(config), "official": any(s.split for s in samples), **about}


def _division(config: dict[str, Any], parts: Parts) -> Division:
    import numpy as np

    from segkit.data.split import fold_ratios
    from segkit.report.split import Division
    from segkit.types import SPLITS

    k = config["split"]["folds"]
    if not k:
        chosen = np.array([SPLITS.index(p) for p in parts[0]])
        return Division(SPLITS, tuple(config["split"]["ratios"]), chosen)
    chosen = np.array([column.index("val") if "val" in column else k for column in zip(*parts, strict=True)])
    names = (*(f"fold {i + 1}" for i in range(k)), "test")
    return Division(names, tuple(fold_ratios(k, float((chosen == k).mean()))), chosen)


def _use(overrides: Sequence[str], files: Sequence[Path]) -> str:
    """The command that trains on the split, or on all folds."""
    split = [f"data.split={','.join(map(_shown, files))}"]
    kept = [o for o in overrides if not o.startswith("data.split=")]
    return shlex.join(
        ["python", "-m", "segkit.train", *(["--multirun"] if len(files) > 1 else []), *kept, *split]
    )


def _shown(path: Path) -> str:
    """Shorter where the file lies below the working directory."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _report(folder: Path, record: Path, about: dict[str, Any], name: str) -> None:
    from segkit.files import write_json
    from segkit.report.split import split_plot, split_table

    write_json(record, about)
    split_plot(about, folder / "plots", name)
    print(split_table(about))
    if about["official"]:
        print("the data's own split is kept; split.official=false draws a new one")
    print(f"train with: {about['use']}")


def main() -> None:
    """Entry point of ``python -m segkit.split`` and ``segkit split``."""
    launch("split", split)


if __name__ == "__main__":
    main()
