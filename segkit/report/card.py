"""The card of a run: what would be needed to make it again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch

from segkit.files import write_json
from segkit.report.node import read_json
from segkit.types import Sample

PACKAGES = (
    "segkit",
    "torch",
    "lightning",
    "hydra-core",
    "torchmetrics",
    "segmentation-models-pytorch",
    "albumentations",
    "opencv-python-headless",
    "numpy",
)


class Clock(NamedTuple):
    """What had been spent when a run began: seconds on the clock, seconds of busy cores."""

    seconds: float
    core_seconds: float

    @classmethod
    def start(cls) -> Clock:
        """Begin now."""
        return cls(time.perf_counter(), _core_seconds())


def write_card(
    run: Path,
    config: Mapping[str, Any],
    samples: Sequence[Sample],
    arguments: Sequence[str],
    deterministic: str,
) -> None:
    """Write ``run.json``: command, versions, git state, data, seed, hardware.

    A run that goes on keeps its card and adds a line to ``resumed``.

    Args:
        run: The run folder.
        config: The composed configuration.
        samples: All samples with their split.
        arguments: Of the command line.
        deterministic: How far the run can be repeated, in words (`segkit.report.repeat`).
    """
    now = {
        "command": shlex.join(["python", "-m", "segkit.train", *_typed(arguments)]),
        "started": _now(),
        "deterministic": deterministic,
    }
    path = run / "run.json"
    if (kept := read_json(path)) is not None:
        earlier = [row.value for row in kept.rows("resumed")]
        write_json(path, {**kept.value, "resumed": [*earlier, now]}, durable=True)
        return
    card = {
        **now,
        "seed": config["seed"],
        "data": {
            "samples": {p: sum(s.split == p for s in samples) for p in ("train", "val", "test")},
            "fingerprint": fingerprint(samples),
        },
        "versions": {"python": platform.python_version(), **_versions()},
        "git": _git(),
        "hardware": _hardware(),
    }
    write_json(path, card, durable=True)


def finish_card(run: Path, clock: Clock, steps: int, gpus: int, skipped: int = 0) -> None:
    """Add to ``run.json`` what the run has cost; where it went on, to its last line of ``resumed``.

    Adds ``finished`` (date), ``seconds`` (on the clock), ``core_seconds`` (of busy processor cores, of
    this process and its finished children), ``gpu_seconds`` (on the clock, times GPUs),
    ``steps`` (of the optimiser, all in all), ``peak_memory_bytes`` (of this process, ``None``
    where the system does not tell), ``peak_gpu_memory_bytes`` (of its GPU) and ``skipped``.

    Args:
        run: The run folder with its card.
        clock: Started when the run began.
        steps: Optimiser steps until now.
        gpus: How many GPUs it has used.
        skipped: How many samples were left out until now because they could not be read.
    """
    path = run / "run.json"
    seconds = time.perf_counter() - clock.seconds
    spent = {
        "finished": _now(),
        "seconds": round(seconds, 1),
        "core_seconds": round(_core_seconds() - clock.core_seconds, 1),
        "gpu_seconds": round(seconds * gpus, 1),
        "steps": steps,
        "peak_memory_bytes": _peak_memory(),
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated() if gpus else None,
        "skipped": skipped,
    }
    kept = read_json(path)
    if kept is None:
        return
    card = dict(kept.value)
    if kept.rows("resumed"):
        card["resumed"][-1] |= spent
    else:
        card |= spent
    write_json(path, card, durable=True)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _core_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _peak_memory() -> int | None:
    """Largest resident memory of this process until now, in bytes."""
    try:
        import resource  # there is none on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _typed(arguments: Sequence[str]) -> list[str]:
    """The command line without what segkit itself adds to it where a run goes on."""
    typed = [a for a in arguments if a != "hydra.output_subdir=null"]
    if len(typed) == len(arguments) or not any(a.startswith("resume=") for a in arguments):
        return typed
    return [a.removeprefix("++") for a in typed if not a.startswith("hydra.run.dir='")]


def fingerprint(samples: Sequence[Sample]) -> str:
    """SHA-256 over names, splits and the sizes and times of files: tells whether data changed.

    It reads no file's content, so that it costs nothing on a large data set.
    """
    digest = hashlib.sha256()
    for sample in sorted(samples):
        digest.update(f"{sample.name}\0{sample.split}\0".encode())
        for path in (sample.image, sample.mask):
            if path is not None and path.is_file():
                digest.update(f"{path.stat().st_size}\0{path.stat().st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a source tree that is not installed
            found[package] = None
    return found


def _git() -> dict[str, Any] | None:
    """Commit of segkit's own source and whether it has changes; ``None`` where it is installed."""
    here = str(Path(__file__).parent)
    try:
        _output("git", "-C", here, "ls-files", "--error-unmatch", __file__)
        commit = _output("git", "-C", here, "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_output("git", "-C", here, "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _hardware() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpus": gpus,
    }
