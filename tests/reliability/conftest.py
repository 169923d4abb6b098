"""Runs in processes of their own that start in a moment: a server that has imported everything forks them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["segkit.build", "segkit.train", "segkit.report.evaluation", "hydra"])

CHILD = Path(__file__).with_name("child.py")
SMALL = [
    *("data.train_samples=10", "data.val_samples=3", "data.test_samples=0"),
    *("data.height=32", "data.width=64"),
    *("data.size=[32,64]", "data.batch_size=2", "data.num_workers=0", "trainer.accumulate_grad_batches=2"),
    *("trainer.max_epochs=6", "threads=1", "optimizer.lr=1e-2", "trainer.log_every_n_steps=1"),
    *("callback.pictures.count=0", "callback.plots=null", "test=false"),
]
PLAIN = ["model.depth=2", "model.base_width=4", "callback.last.every_n_steps=1"]


class Started:
    """A command that runs."""

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        *faults: tuple[str, dict[str, Any]],
        environment: dict[str, str] | None = None,
    ) -> None:
        self.log = folder / "output.txt"
        given = {"arguments": arguments, "folder": str(folder), "log": str(self.log), "faults": list(faults)}
        given["environment"] = environment or {}
        self.process = SERVER.Process(target=runpy.run_path, args=(str(CHILD), given))
        self.process.start()

    def wait(self, seconds: float = 300) -> int:
        """Exit code; negative: the signal that killed it."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it hangs"
        return self.process.exitcode

    def text(self) -> str:
        """All that this and earlier commands of the folder printed."""
        return self.log.read_text() if self.log.is_file() else ""

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)  # type: ignore[arg-type]

    def others(self) -> list[int]:
        """The further processes that it has started to train with."""
        asked = ["pgrep", "-P", str(self.process.pid), "-f", "segkit.train"]
        found = subprocess.run(asked, capture_output=True, text=True, check=False)
        return [int(line) for line in found.stdout.split()]

    def until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Wait for something that the command does."""
        end = time.monotonic() + seconds
        while not condition() and self.process.is_alive() and time.monotonic() < end:
            time.sleep(0.002)


@pytest.fixture(scope="session")
def start() -> Callable[..., Started]:
    """``start(arguments, folder, *faults)``: a fault is a function of fault.py and what it takes."""
    return Started


@pytest.fixture(scope="session")
def small() -> list[str]:
    """A training of six epochs of three windows that takes a second."""
    return SMALL


@pytest.fixture(scope="session")
def whole(small, tmp_path_factory) -> Path:
    """The run of ``PLAIN`` that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    begun = Started([*small, *PLAIN, "hydra.run.dir=run"], folder)
    assert begun.wait() == 0, begun.text()
    return folder / "run"


@pytest.fixture(scope="session")
def plain(small) -> list[str]:
    """The options of ``whole``: with a checkpoint after each step, of which there are eighteen."""
    return [*small, *PLAIN]


def same(a: Any, b: Any, where: str = "") -> list[str]:
    """Where two values differ, to the last bit."""
    if isinstance(a, torch.Tensor):
        equal = isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
        return [] if equal else [where]
    if isinstance(a, dict):
        if not isinstance(b, dict) or a.keys() != b.keys():
            return [f"{where}: {sorted(a)} against {sorted(b)}"]
        return [d for k in a for d in same(a[k], b[k], f"{where}.{k}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [where]
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in same(x, y, f"{where}[{i}]")]
    return [] if a == b or (a != a and b != b) else [f"{where}: {a} against {b}"]


def _checkpoint(path: Path) -> dict[str, Any]:
    """Everything in it that is not the name of a folder."""
    content = torch.load(path, weights_only=True)
    for state in content["callbacks"].values():
        for key in ("dirpath", "best_model_path", "kth_best_model_path", "last_model_path", "best_k_models"):
            state.pop(key, None)
    content["segkit"].pop("config")
    return content


def _table(run: Path) -> list[str]:
    """metrics.csv without how long it took."""
    return [line.rpartition(",")[0] for line in (run / "metrics.csv").read_text().splitlines()]


def _scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows."""
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}, purge_orphaned_data=True)
    board.Reload()
    return {tag: [(e.step, e.value) for e in board.Scalars(tag)] for tag in board.Tags()["scalars"]}


@pytest.fixture(scope="session")
def differences() -> Callable[[Path, Path], list[str]]:
    """Where two run folders differ: checkpoints, tables and TensorBoard."""

    def compare(one: Path, other: Path) -> list[str]:
        found = []
        for name in ("last", "best"):
            pair = [_checkpoint(run / "checkpoints" / f"{name}.ckpt") for run in (one, other)]
            found += same(*pair, name)
        found += same(_table(one), _table(other), "metrics.csv")
        return found + same(_scalars(one), _scalars(other), "tensorboard")

    return compare
