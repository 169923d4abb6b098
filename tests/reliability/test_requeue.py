"""A job that loses its machine is queued again and goes on: under sbatch, and under submitit."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

AGAIN = {"SLURM_RESTART_COUNT": "1"}  # what SLURM sets when it starts a job once more


def test_the_same_command_goes_on_when_slurm_has_queued_it_again(start, small, differences, tmp_path):
    """As the script of docs/slurm.md does: exit code 75, `scontrol requeue`, the same command."""
    options = [*small, "model.depth=2", "model.base_width=4"]
    whole = start([*options, "hydra.run.dir=whole"], tmp_path)
    assert whole.wait() == 0, whole.text()
    command, run = [*options, "hydra.run.dir=run"], tmp_path / "run"
    early = start(command, tmp_path)
    early.until(lambda: (run / ".hydra" / "config.yaml").is_file())
    early.send(signal.SIGTERM)  # before there is anything to save
    assert early.wait() == 75, early.text()
    stopped = start(command, tmp_path, environment=AGAIN)
    stopped.until(lambda: epochs(run) >= 2)
    stopped.send(signal.SIGUSR1)
    assert stopped.wait() == 75, stopped.text()
    done = epochs(run)
    resumed = start(command, tmp_path, environment=AGAIN)
    assert resumed.wait() == 0, resumed.text()
    assert resumed.text().count("epoch 1 of 6") == 2  # of the whole run, and once of this
    assert 2 <= done < 6
    assert "Traceback" not in resumed.text()
    assert differences(tmp_path / "whole", run) == []
    refused = start(command, tmp_path)  # without SLURM a second run stays out
    assert refused.wait() == 2


@pytest.mark.parametrize(("place", "steps"), [("record", None), ("begin", 1)])
def test_a_signal_that_a_library_swallows_is_heeded(place, steps, start, small, tmp_path):
    command = [*small, "model.depth=2", "model.base_width=4", "hydra.run.dir=run"]
    stopped = start(command, tmp_path, ("swallow", {"place": place}))
    assert stopped.wait() == 75, stopped.text()
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    reached = torch.load(last, weights_only=False)["global_step"] if last.is_file() else None
    assert reached == steps
    assert "segkit train: stopped" in stopped.text()
    assert "epoch 1 of" not in stopped.text()


@pytest.mark.soak
def test_a_signal_is_heard_at_any_moment_of_the_beginning(start, small, tmp_path):
    options = [*small, "model.depth=2", "model.base_width=4"]
    rng = random.Random(0)
    for i in range(200):
        stopped = start([*options, f"hydra.run.dir={i}"], tmp_path)
        stopped.until((tmp_path / str(i) / ".hydra" / "config.yaml").is_file)
        time.sleep(rng.choice((0, 0.01, 0.4)) * rng.random())
        stopped.send(signal.SIGTERM)
        assert stopped.wait() == 75, f"run {i}: {stopped.text()[-3000:]}"
    assert "Traceback" not in stopped.text()


@pytest.mark.parametrize(("code", "queued"), [(75, ["requeue 7"]), (0, []), (2, [])])
def test_the_documented_script_queues_the_job_again_for_code_75_alone(code, queued, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text()
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", page, re.DOTALL)
    commands = {"srun": 'exec "$@"', "python": f"exit {code}", "scontrol": 'echo "$@" >> asked'}
    for name, line in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, check=False)
    asked = tmp_path / "asked"
    assert done.returncode == code
    assert (asked.read_text().splitlines() if asked.is_file() else []) == queued


@pytest.mark.soak
def test_a_preempted_job_of_a_sweep_under_submitit_queues_itself_again(start, small, differences, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install 'segkit[slurm]'")
    options = [*small, "model.depth=2", "model.base_width=4", "trainer.max_epochs=30"]
    whole = start([*options, "hydra.run.dir=whole", "seed=1"], tmp_path)
    assert whole.wait() == 0, whole.text()
    sweep = ["-m", "seed=1", "hydra/launcher=submitit_local", "hydra.sweep.dir=sweep", "ckpt_path=last"]
    with (tmp_path / "sweep.txt").open("w") as log:
        command = [sys.executable, "-m", "segkit.train", *options, *sweep]
        running = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    run = tmp_path / "sweep" / "0_streets_unet"
    for rows in (1, 10):
        until(lambda rows=rows: epochs(run) >= rows, running)
        (job,) = children(children(running.pid)[0])
        os.kill(job, signal.SIGUSR2)
        until(lambda job=job: not (Path("/proc") / str(job)).is_dir(), running)
    assert running.wait(300) == 0, (tmp_path / "sweep.txt").read_text()
    (log_file,) = (tmp_path / "sweep").glob(".submitit/*/*.out")
    assert log_file.read_text().count("Requeued job") == 2
    assert differences(tmp_path / "whole", run) == []
    card = json.loads((run / "run.json").read_text())
    assert "seed=1" in card["command"]
    assert len(card["resumed"]) == 2


@pytest.mark.soak
def test_a_job_of_a_sweep_that_fails_under_submitit_is_one_line(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install 'segkit[slurm]'")
    options = ["-m", "trainer=ddp", "hydra/launcher=submitit_local", "hydra.sweep.dir=sweep"]
    command = [sys.executable, "-m", "segkit.train", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "a job of the sweep has failed" in done.stderr
    assert "--multirun with several processes per job does not work" in done.stderr


def until(condition, running: subprocess.Popen, seconds: float = 240) -> None:
    """Wait for something that the command does."""
    end = time.monotonic() + seconds
    while not condition():
        assert running.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True)
    return [int(line) for line in found.stdout.split()]


def epochs(run: Path) -> int:
    """Rows of metrics.csv."""
    table = run / "metrics.csv"
    return len(table.read_text().splitlines()) - 1 if table.is_file() else 0
