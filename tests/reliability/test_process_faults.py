"""Two processes that are killed, together or one alone: nothing hangs, nothing is left, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.soak

TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.accumulate_grad_batches=2"]
RECIPES = {
    "plain": ["data.sampler=rare_first", "loss.class_weights=inverse", "callback.last.every_n_steps=1"],
    "stopping": ["callback.early_stopping.patience=2", "optimizer.lr=1e-4", "trainer.max_epochs=12"],
    "averages": ["callback.ema.decay=0.9", "scheduler=plateau", "scheduler.patience=0", "test=true"],
}
KILLS = int(os.environ.get("SEGKIT_PAIR_KILLS", "12"))


@pytest.fixture(scope="module")
def options(small) -> list[str]:
    return [*small, *TWO, "model.depth=2", "model.base_width=4", "data.test_samples=3"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_two_processes_that_are_killed_at_any_moment_end_as_if_they_had_never_been(
    recipe, start, options, differences, tmp_path
):
    """Every second time the whole group is killed, every second time only one of the two."""
    rng = np.random.default_rng(list(RECIPES).index(recipe))
    options, before = [*options, *RECIPES[recipe]], time.monotonic()
    whole = start([*options, "hydra.run.dir=whole"], tmp_path)
    assert whole.wait() == 0, whole.text()
    length, kills, runs, found = time.monotonic() - before, 0, 0, []
    while kills < KILLS / len(RECIPES):
        name, runs = f"run{runs}", runs + 1
        running = start([*options, f"hydra.run.dir={name}", "ckpt_path=last"], tmp_path)
        while True:
            running.process.join(rng.uniform(0, length) if kills < KILLS / len(RECIPES) else None)
            if not running.process.is_alive():
                assert running.process.exitcode == 0, running.text()
                break
            pids = [running.process.pid, *running.others()]
            for pid in pids if kills % 2 else [rng.choice(pids)]:
                kill(pid)
            running.wait(60)
            kills += 1
            gone(pids)
            ready = (tmp_path / name / ".hydra" / "config.yaml").is_file()
            again = [f"resume={name}"] if ready else [*options, f"hydra.run.dir={name}", "ckpt_path=last"]
            running = start(again, tmp_path)
        found += differences(tmp_path / "whole", tmp_path / name)
    print(json.dumps({recipe: {"kills": kills, "runs": runs, "differences": found}}))
    assert found == []


def test_when_the_second_dies_the_first_says_so_and_ends(start, options, differences, tmp_path):
    whole = start([*options, "hydra.run.dir=whole"], tmp_path)
    assert whole.wait() == 0, whole.text()
    run, text = tmp_path / "run", len(whole.text())
    begun = start([*options, "hydra.run.dir=run"], tmp_path)
    begun.until(lambda: epochs(run) >= 2)
    (second,) = begun.others()
    kill(second)
    assert begun.wait(30) == 2, begun.text()
    said = begun.text()[text:]
    assert said.count("error: process 1 of 0 to 1 was killed by SIGKILL (out of memory?)") == 1, said
    assert f"go on with: python -m segkit.train resume={run}" in said
    assert "Traceback" not in said
    resumed = start(["resume=run"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert differences(tmp_path / "whole", run) == []


def test_when_the_second_dies_before_it_has_joined_the_first_does_not_wait_for_it(start, options, tmp_path):
    begun = start([*options, "hydra.run.dir=run"], tmp_path)
    begun.until(lambda: bool(begun.others()))
    kill(begun.others()[0])
    assert begun.wait(60) == 2, begun.text()
    assert begun.text().count("process 1 of 0 to 1 was killed by SIGKILL") == 1, begun.text()


def test_when_the_first_dies_the_second_does_not_outlive_it(start, options, tmp_path):
    begun = start([*options, "hydra.run.dir=run"], tmp_path)
    begun.until(lambda: epochs(tmp_path / "run") >= 2)
    (second,) = begun.others()
    begun.send(signal.SIGKILL)
    begun.wait()
    gone([second])
    assert "Traceback" not in begun.text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGUSR1, 75)])
def test_a_signal_to_both_stops_both(number, code, start, options, differences, tmp_path):
    whole = start([*options, "hydra.run.dir=whole"], tmp_path)
    assert whole.wait() == 0, whole.text()
    begun = start([*options, "hydra.run.dir=run"], tmp_path)
    begun.until(lambda: epochs(tmp_path / "run") >= 2)
    pids = [begun.process.pid, *begun.others()]
    for pid in pids:
        os.kill(pid, number)
    assert begun.wait(60) == code, begun.text()
    gone(pids)
    assert "Traceback" not in begun.text()
    resumed = start(["resume=run"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert differences(tmp_path / "whole", tmp_path / "run") == []


def test_a_mistake_that_only_the_second_sees_is_one_line(start, options, tmp_path):
    """Its loss is nan: the first hears of it through a broken connection."""
    begun = start([*options, "hydra.run.dir=run", "optimizer=sgd", "optimizer.lr=1e30"], tmp_path)
    assert begun.wait(60) == 2, begun.text()
    assert "Traceback" not in begun.text()
    assert 1 <= begun.text().count("segkit train: error: ") <= 2
    assert "nan" in begun.text()


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def gone(pids: list[int], seconds: float = 20) -> None:
    """All of them end within so many seconds."""
    end = time.monotonic() + seconds
    while left := [p for p in pids if (Path("/proc") / str(p)).is_dir() and not zombie(p)]:
        assert time.monotonic() < end, left
        time.sleep(0.1)


def zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def epochs(run: Path) -> int:
    """Rows of metrics.csv."""
    table = run / "metrics.csv"
    return len(table.read_text().splitlines()) - 1 if table.is_file() else 0
