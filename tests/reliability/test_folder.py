"""Whose run folder it is, and what a strange clock or a missing package do to it."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

STEP = "segkit.module:SegmentationModule.on_before_optimizer_step"


def refused(begun, *words: str) -> None:
    """One line, before anything starts."""
    assert begun.wait() == 2, begun.text()
    line = begun.text().splitlines()[-1]
    assert line.startswith("segkit train: error: ")
    assert [w for w in words if w not in line] == []
    assert "Traceback" not in begun.text()


def digests(folder: Path) -> dict[str, str]:
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# ---- two runs -----------------------------------------------------------------------------


def test_a_second_run_in_a_folder_is_refused_until_the_first_has_died(
    start, plain, whole, differences, tmp_path
):
    run, mark = tmp_path / "run", tmp_path / "mark"
    pause = ("pause_at", {"call": STEP, "number": 8, "mark": str(mark)})
    first = start([*plain, "hydra.run.dir=run"], tmp_path, pause)
    first.until(mark.exists)
    before = digests(run)
    words = (f"{run}: another run is at work there (process {first.process.pid} on ", "hydra.run.dir=FOLDER")
    refused(start(["resume=run"], tmp_path), *words)
    refused(start([*plain, "hydra.run.dir=run", "ckpt_path=last"], tmp_path), *words)
    assert digests(run) == before
    first.send(9)
    first.wait()
    resumed = start(["resume=run"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert differences(whole, run) == []


@pytest.mark.soak
def test_loader_processes_that_outlive_a_killed_run_do_not_keep_its_folder(
    start, plain, whole, differences, tmp_path
):
    run, mark = tmp_path / "run", tmp_path / "mark"
    pause = ("pause_at", {"call": STEP, "number": 8, "mark": str(mark)})
    first = start([*plain, "data.num_workers=2", "hydra.run.dir=run"], tmp_path, pause)
    first.until(mark.exists)
    first.send(9)
    first.wait()
    resumed = start(["resume=run"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert differences(whole, run) == []


@pytest.mark.soak
def test_of_two_runs_that_start_at_once_one_is_refused(start, plain, whole, differences, tmp_path):
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
        both = [start([*plain, f"hydra.run.dir=../{name}"], tmp_path / name) for _ in range(2)]
        assert sorted(run.wait() for run in both) == [0, 2], both[0].text()
        assert "Traceback" not in both[0].text()
        assert differences(whole, tmp_path / name) == []


def test_a_new_run_does_not_touch_a_folder_that_holds_one(whole, command, plain, tmp_path):
    """Also where its name comes out of an interpolation, as that of every run without hydra.run.dir."""
    shutil.copytree(whole, tmp_path / "old_run")
    before = digests(tmp_path)
    for folder in ("old_run", "old_${name}"):
        done = command("train", *plain, "name=run", "seed=5", f"hydra.run.dir={folder}", cwd=tmp_path)
        assert done.code == 2
        assert "already holds a run; go on with it by" in done.err
        assert len(done.err.splitlines()) == 1
    (tmp_path / "sweep" / "0_run" / "checkpoints").mkdir(parents=True)
    sweep = ["--multirun", "hydra.sweep.dir=sweep", "seed=1,2", "name=run"]
    done = command("train", *sweep, *plain, cwd=tmp_path)
    assert done.code == 2
    assert "sweep already holds a run" in done.err
    assert digests(tmp_path) == before


def test_a_file_system_without_locks_is_said_and_no_obstacle(monkeypatch, tmp_path, caplog):
    import fcntl

    from segkit import lock

    def none_here(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none_here)
    lock.lock(tmp_path / "run")
    assert "this file system has no locks" in caplog.text


def test_the_first_of_several_processes_takes_the_folder(monkeypatch, tmp_path):
    from segkit import lock

    config = OmegaConf.create({"hydra": {"runtime": {"output_dir": str(tmp_path / "run")}}})
    for number, taken in (("1", False), ("0", True)):
        monkeypatch.setenv("RANK", number)
        lock.Claim().on_job_start(config)
        assert (tmp_path / "run" / ".lock").exists() is taken


# ---- a folder that cannot be written to ------------------------------------------------------


def test_a_folder_that_cannot_be_is_one_line_before_anything_starts(command, plain, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    done = command("train", *plain, "hydra.run.dir=file/run", cwd=tmp_path)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "file/run" in done.err
    mkdir = os.mkdir

    def read_only(path, *args, **kwargs):
        if "forbidden" in str(path):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return mkdir(path, *args, **kwargs)

    monkeypatch.setattr(os, "mkdir", read_only)
    done = command("train", *plain, "hydra.run.dir=forbidden", cwd=tmp_path)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "forbidden: Read-only file system; choose another folder with hydra.run.dir=FOLDER" in done.err


@pytest.mark.soak
def test_a_run_on_a_disk_that_became_read_only_is_not_resumed(start, whole, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a disk")
    try:
        shutil.copytree(whole, disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        refused(start([f"resume={disk}/run"], tmp_path), "Read-only file system")
        refused(start([f"hydra.run.dir={disk}/new"], tmp_path), "Read-only file system")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# ---- clock, packages -------------------------------------------------------------------------


@pytest.mark.soak
def test_a_clock_that_jumps_back_changes_nothing(start, plain, whole, differences, tmp_path):
    """An hour at every third look at it; the second life begins years before the first."""
    options = [*plain, "callback.last.every_n_steps=null", "callback.last.every_minutes=0.00001"]
    run, back = tmp_path / "run", ("clock_back", {"seconds": 3600, "every": 3})
    die = ("die_at", {"call": STEP, "number": 11})
    killed = start([*options, "hydra.run.dir=run"], tmp_path, back, die)
    assert killed.wait() == -9
    resumed = start(["resume=run"], tmp_path, ("clock_back", {"seconds": 3e8, "every": 2}))
    assert resumed.wait() == 0, resumed.text()
    assert differences(whole, run) == []
    names = sorted(p.name for p in (run / "tensorboard").iterdir() if p.name.startswith("events"))
    pids = [killed.process.pid, resumed.process.pid]
    assert [int(n.rpartition(".")[2]) for n in names] == pids, "readers take them in this order"
    seconds = [line.rpartition(",")[2] for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    card = yaml.safe_load((run / "run.json").read_text())
    assert all(float(s) >= 0 for s in seconds)
    assert card["resumed"][-1]["seconds"] >= 0
    assert not re.search(r"-\d+ s", resumed.text())


def test_a_missing_tensorboard_costs_one_line(command, plain, tmp_path, monkeypatch):
    for name in ("tensorboard", "tensorboard.compat.proto.event_pb2"):
        monkeypatch.setitem(sys.modules, name, None)
    done = command("train", *plain, "trainer.max_epochs=1", "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 0, done.err
    lines = [line for line in done.err.splitlines() if "TensorBoard" in line]
    assert len(lines) == 1
    assert "metrics.csv and plots/ have the curves; python -m pip install tensorboard" in lines[0]
    assert (tmp_path / "run" / "metrics.csv").is_file()
    assert not (tmp_path / "run" / "tensorboard").exists()
