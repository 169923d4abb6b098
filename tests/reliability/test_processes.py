"""Two processes give the numbers of one, and none of them outlives the others."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
ONE = ["trainer=cpu"]
# What each process opens for writing, renames, links, makes or removes, whatever code asks for it.
SPY = """
import os, sys
log = os.open(os.environ["SPY"] + os.environ.get("LOCAL_RANK", "0"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.link", "os.symlink", "os.rmdir", "os.truncate")
def heard(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in CHANGES:
        seen = [os.path.abspath(a) if isinstance(a, str) else a for a in arguments]
        os.write(log, f"{event} {seen}\\n".encode())
sys.addaudithook(heard)
"""
EXACT = [
    *("data.train_samples=13", "data.val_samples=5", "data.test_samples=3"),
    *("data.height=32", "data.width=64", "data.size=[32,64]", "data.batch_size=2", "data.num_workers=0"),
    *("data.sampler=class_balanced", "loss.class_weights=inverse", "augment=light"),
    *("model.norm=group", "model.depth=2", "model.base_width=8", "optimizer=sgd"),
    *("trainer.precision=64-true", "trainer.max_epochs=4", "trainer.log_every_n_steps=1", "threads=1"),
    *("callback.pictures.count=0", "callback.plots=null", "metric=full"),
]


class Pair:
    """A run of one process, and the same of two that was stopped by a signal to the second."""

    def __init__(self, start, folder: Path) -> None:
        self.folder, self.one, self.two = folder, folder / "one", folder / "two"
        (folder / "spy").mkdir()
        (folder / "spy" / "sitecustomize.py").write_text(SPY)
        whole = start([*EXACT, *ONE, "trainer.accumulate_grad_batches=4", "hydra.run.dir=one"], folder)
        spied = {"SPY": f"{folder}/spy/", "PYTHONPATH": f"{folder}/spy:{os.environ.get('PYTHONPATH', '')}"}
        begun = start(
            [*EXACT, *TWO, "trainer.accumulate_grad_batches=2", "hydra.run.dir=two"],
            folder,
            environment=spied,
        )
        begun.until(lambda: epochs(self.two) >= 1)
        (self.second,) = begun.others()
        os.kill(self.second, signal.SIGTERM)
        self.stopped = begun.wait(), begun.text()
        resumed = start(["resume=two"], folder, environment=spied)
        self.ended = resumed.wait(), resumed.text()
        assert whole.wait() == 0


@pytest.fixture(scope="module")
def pair(start, tmp_path_factory):
    return Pair(start, tmp_path_factory.mktemp("pair"))


def test_a_signal_to_one_process_saves_and_stops_all(pair):
    code, said = pair.stopped
    assert code == 75, said
    assert said.count("stopped by the system; go on with: python -m segkit.train resume=") == 1
    assert "Traceback" not in said
    assert not alive(pair.second)


def test_two_processes_train_exactly_as_one_with_twice_the_window(pair):
    """Through class weights, sampler and a resume within the run."""
    assert pair.ended[0] == 0, pair.ended[1]
    one, two = (checkpoint(run) for run in (pair.one, pair.two))
    assert one["global_step"] == two["global_step"] == 8
    assert next(iter(one["state_dict"].values())).dtype != torch.float32
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert furthest(one[part], two[part]) < 1e-10, part
    for key, state in one["callbacks"].items():  # early stopping, and what is the best checkpoint
        if "wait_count" in state or "best_model_score" in state:
            scores = {k: v for k, v in state.items() if not k.endswith(("path", "dirpath", "models"))}
            assert furthest(scores, {k: two["callbacks"][key][k] for k in scores}) < 1e-10, key


def test_two_processes_count_every_sample_once_and_as_one_does_to_the_last_bit(pair, start):
    """The copy goes on with one process: all that is left for it is to measure the same checkpoint."""
    shutil.copytree(pair.two, pair.folder / "copy")
    options = ["trainer.devices=1", "trainer.strategy=auto", "trainer.accumulate_grad_batches=4"]
    measured = start(["resume=copy", *options], pair.folder)
    assert measured.wait() == 0, measured.text()
    one, two = (pair.folder / name for name in ("copy", "two"))
    assert same_arrays(one / "counts.npz", two / "counts.npz") == []
    assert (one / "metrics.json").read_text() == (two / "metrics.json").read_text()
    names = np.load(two / "counts.npz")["names"].tolist()
    assert names == sorted({f"test/{i:06}" for i in range(3)})
    tables = ((run / "metrics.csv").read_text().splitlines() for run in (pair.one, pair.two))
    rows = [list(csv.DictReader(table)) for table in tables]
    overlaps = [k for k in rows[0][0] if k.startswith(("val/miou", "val/iou", "val/dice", "val/accuracy"))]
    assert len(overlaps) > 5
    assert [[r[k] for k in overlaps] for r in rows[0]] == [[r[k] for k in overlaps] for r in rows[1]]


def test_only_the_first_process_writes_files(pair):
    """Of the other there is a list of all that it opened to write, renamed, linked, made or removed."""
    heard = (pair.folder / "spy" / "1").read_text().splitlines()
    assert any(line.startswith("open") for line in heard)  # the spy listens
    known = f"os.mkdir ['{pair.two}', "  # Hydra makes sure of the folder, which is there
    assert [line for line in heard if str(pair.folder) in line and not line.startswith(known)] == []
    assert {p.name for p in pair.two.iterdir()} == {p.name for p in pair.one.iterdir()}


def test_a_run_goes_on_within_an_epoch_with_its_windows_cut_otherwise(start, tmp_path):
    """As with another number of processes: the same pictures make a step, or one line says no."""
    options = [*EXACT, *ONE, "data.train_samples=40", "trainer.max_epochs=2", "test=false", "logger=none"]
    options += ["trainer.accumulate_grad_batches=2", "callback.last.every_n_steps=1"]
    whole = start([*options, "hydra.run.dir=whole"], tmp_path)
    assert whole.wait() == 0, whole.text()
    killed = start([*options, "hydra.run.dir=run"], tmp_path)
    killed.until(lambda: (tmp_path / "run" / "checkpoints" / "previous.ckpt").is_file())
    killed.send(signal.SIGKILL)
    killed.wait()
    position = checkpoint(tmp_path / "run")["SegmentationData"]["position"]
    assert 0 < position["batch"] < 20, position
    refused = start(["resume=run", "data.batch_size=1"], tmp_path)
    assert refused.wait() == 2, refused.text()
    assert "its steps saw 4 pictures each, now it would be 2" in refused.text()
    resumed = start(["resume=run", "data.batch_size=1", "trainer.accumulate_grad_batches=4"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    one, two = (checkpoint(tmp_path / name) for name in ("whole", "run"))
    assert one["global_step"] == two["global_step"] == 20
    assert furthest(one["state_dict"], two["state_dict"]) < 1e-10
    assert (tmp_path / "run" / "metrics.csv").read_text().count("\n") == 3


@pytest.mark.soak
def test_processes_that_torchrun_has_started_are_the_same_run(pair, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "segkit.train"]
    options = [*EXACT, *TWO, "trainer.accumulate_grad_batches=2"]
    environment = {k: v for k, v in os.environ.items() if k != "SPY"} | {"OMP_NUM_THREADS": "1"}

    def run(*more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*command, *options, *more],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    refused = run()
    assert refused.returncode != 0
    assert "processes that train together need hydra.run.dir=FOLDER" in refused.stderr
    done = run("hydra.run.dir=run")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("samples: ") == 1
    assert {p.name for p in (tmp_path / "run").iterdir()} == {p.name for p in pair.one.iterdir()}
    one, other = checkpoint(pair.two), checkpoint(tmp_path / "run")
    assert furthest(one["state_dict"], other["state_dict"]) == 0


def checkpoint(run: Path):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def furthest(a, b) -> float:
    """The largest difference between two nests of numbers."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        return max((furthest(a[k], b[k]) for k in a), default=0.0)
    if isinstance(a, list | tuple):
        assert len(a) == len(b)
        return max((furthest(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    if isinstance(a, torch.Tensor):
        return float((a.double() - b.double()).abs().max()) if a.numel() else 0.0
    return 0.0 if a == b else abs(a - b)


def same_arrays(one: Path, other: Path) -> list[str]:
    """Names of arrays that differ."""
    a, b = np.load(one), np.load(other)
    assert set(a.files) == set(b.files)
    return [k for k in a.files if a[k].dtype != b[k].dtype or a[k].tobytes() != b[k].tobytes()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def epochs(run: Path) -> int:
    """Rows of metrics.csv."""
    table = run / "metrics.csv"
    return len(table.read_text().splitlines()) - 1 if table.is_file() else 0
