"""A run that is killed ends as if it had never been killed, to the last bit."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

STEPS = "callback.last.every_n_steps=1"
RECIPES = {
    "plain": [],
    "plateau": ["scheduler=plateau", "scheduler.patience=0", "monitor=val/loss", "monitor_mode=min"],
    "ema": ["callback.ema.decay=0.9", STEPS],
    "balanced": ["data.sampler=class_balanced", "callback.last.every_n_steps=2", "scheduler=poly"],
    "stopping": ["callback.early_stopping.patience=2", "optimizer.lr=1e-4", "trainer.max_epochs=12"],
    "minutes": ["callback.last.every_minutes=0.0001", "callback.last.every_n_epochs=2", "optimizer=sgd"],
    "workers": ["data.num_workers=2", "callback.last.every_n_steps=2"],
    "dropout": [
        *("model=smp", "model.arch=fpn", "model.encoder_name=resnet18", "+model.params.decoder_dropout=0.5"),
        *(STEPS, "trainer.max_epochs=3"),
    ],
    "together": [
        *("data.num_workers=2", "model.dropout=0.3", "callback.ema.decay=0.9", "scheduler=plateau"),
        *("scheduler.patience=0", "data.sampler=class_balanced", "callback.last.every_minutes=0.001"),
        *("callback.early_stopping.patience=3", "callback.last.every_n_steps=2", "augment=street"),
    ],
    "cosine": [
        *("scheduler.warmup_steps=4", "data.cache=true", "data.sampler=rare_first", "model.dropout=0.3"),
        *("data.fit=crop", "augment.crop_class_prob=0.5", "trainer.gradient_clip_val=1", STEPS),
    ],
}
KILLS = int(os.environ.get("SEGKIT_KILLS", "104"))  # of the soak
FAST = ("plateau", "ema", "balanced")


def options_of(recipe: str, small: list[str]) -> list[str]:
    net = [] if "model=smp" in RECIPES[recipe] else ["model.depth=2", "model.base_width=4"]
    return [*small, *net, *RECIPES[recipe]]


@pytest.mark.parametrize("recipe", FAST)
def test_a_killed_run_ends_as_one_that_was_never_killed(recipe, start, small, differences, tmp_path):
    options = options_of(recipe, small)
    begun = start([*options, "hydra.run.dir=whole"], tmp_path)
    assert begun.wait() == 0, begun.text()
    run = tmp_path / "run"
    killed = start([*options, "hydra.run.dir=run"], tmp_path)
    for rows in (1, 3):
        killed.until(lambda rows=rows: epochs(run) >= rows)
        killed.send(signal.SIGKILL)
        killed.wait()
        killed = start(["resume=run"], tmp_path)
    assert killed.wait() == 0, killed.text()
    assert differences(tmp_path / "whole", run) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)]
)
def test_a_signal_saves_behind_the_step_at_hand_and_says_how_to_go_on(
    number, code, start, small, differences, tmp_path
):
    options = options_of("ema", small)
    begun = start([*options, "hydra.run.dir=whole"], tmp_path)
    assert begun.wait() == 0, begun.text()
    stopped = start([*options, "hydra.run.dir=run", "callback.last.every_n_steps=null"], tmp_path)
    stopped.until(lambda: epochs(tmp_path / "run") >= 2)
    stopped.send(number)
    assert stopped.wait() == code, stopped.text()
    assert "go on with: python -m segkit.train resume=" in stopped.text()
    assert "Traceback" not in stopped.text()
    resumed = start(["resume=run"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert differences(tmp_path / "whole", tmp_path / "run") == []


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(start, small, differences, tmp_path):
    options = options_of("plain", small)
    begun = start([*options, "hydra.run.dir=whole"], tmp_path)
    assert begun.wait() == 0, begun.text()
    run = tmp_path / "run"
    killed = start([*options, "hydra.run.dir=run"], tmp_path)
    killed.until(lambda: epochs(run) >= 4)
    killed.send(signal.SIGKILL)
    killed.wait()
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])
    resumed = start(["resume=run"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert "going on from the one before" in resumed.text()
    assert differences(tmp_path / "whole", run) == []


def test_early_stopping_that_has_ended_a_run_is_remembered(start, small, differences, tmp_path):
    """A kill behind its last checkpoint must not give the run another epoch."""
    options = options_of("stopping", small)
    for name in ("whole", "run"):
        begun = start([*options, f"hydra.run.dir={name}"], tmp_path)
        assert begun.wait() == 0, begun.text()
    assert epochs(tmp_path / "run") < 12
    resumed = start(["resume=run"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert "early stopping has ended this run" in resumed.text()
    assert differences(tmp_path / "whole", tmp_path / "run") == []


def test_a_test_that_is_repeated_is_logged_once(start, small, differences, tmp_path):
    """As after a kill while the report was made."""
    options = [*options_of("plain", small), "test=true", "metric=basic"]
    for name in ("whole", "run"):
        begun = start([*options, f"hydra.run.dir={name}"], tmp_path)
        assert begun.wait() == 0, begun.text()
    resumed = start(["resume=run"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert differences(tmp_path / "whole", tmp_path / "run") == []


def test_a_run_folder_that_was_moved_goes_on_and_keeps_its_best(start, small, differences, tmp_path):
    options = options_of("plain", small)
    begun = start([*options, "hydra.run.dir=whole"], tmp_path)
    assert begun.wait() == 0, begun.text()
    killed = start([*options, "hydra.run.dir=first"], tmp_path)
    killed.until(lambda: epochs(tmp_path / "first") >= 3)
    killed.send(signal.SIGKILL)
    killed.wait()
    (tmp_path / "first").rename(tmp_path / "moved")
    resumed = start(["resume=moved"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert differences(tmp_path / "whole", tmp_path / "moved") == []


def test_a_run_that_was_killed_while_hydra_wrote_its_record_takes_its_own_command_again(
    start, small, differences, tmp_path
):
    """The record is three files; from the first checkpoint on nothing but `config.yaml` is written anew."""
    options, record = options_of("plain", small), tmp_path / "run" / ".hydra"
    begun = start([*options, "hydra.run.dir=whole"], tmp_path)
    assert begun.wait() == 0, begun.text()
    record.mkdir(parents=True)
    (record / "config.yaml").write_bytes((tmp_path / "whole" / ".hydra" / "config.yaml").read_bytes())
    (record / "hydra.yaml").write_text("")
    resumed = start(["resume=run"], tmp_path)
    assert resumed.wait() == 2, resumed.text()
    assert "give its own command again, with hydra.run.dir=run ckpt_path=last" in resumed.text()
    written = []
    for _ in range(2):
        again = start([*options, "hydra.run.dir=run", "ckpt_path=last"], tmp_path)
        assert again.wait() == 0, again.text()
        assert differences(tmp_path / "whole", tmp_path / "run") == []
        written.append([(record / name).stat().st_mtime_ns for name in ("hydra.yaml", "overrides.yaml")])
    assert written[0] == written[1]
    typed = json.loads((tmp_path / "run" / "run.json").read_text())["command"]
    assert "hydra.output_subdir" not in str(typed)
    assert "hydra.run.dir=run" in str(typed)


@pytest.mark.soak
def test_a_hundred_kills_at_any_moment_change_no_bit(start, small, differences, tmp_path):
    """Each recipe is ended at random moments, from the first import to the last write, again and again."""
    rng, share = np.random.default_rng(0), -(-KILLS // len(RECIPES))
    figures = {recipe: soak(recipe, share, rng, start, small, differences, tmp_path) for recipe in RECIPES}
    print(json.dumps(figures, indent=1))
    assert sum(f["kills"] for f in figures.values()) >= KILLS
    assert not any(f["differences"] for f in figures.values()), figures


def soak(recipe, share, rng, start, small, differences, tmp_path: Path) -> dict[str, object]:
    """Kill runs of one recipe until ``share`` kills are survived."""
    options, whole = options_of(recipe, small), tmp_path / recipe / "whole"
    whole.parent.mkdir()
    before = time.monotonic()
    begun = start([*options, "hydra.run.dir=whole"], whole.parent)
    assert begun.wait() == 0, begun.text()
    length, ends, runs, found = time.monotonic() - before, Counter(), 0, []
    while ends.total() < share:
        name, first, runs = f"run{runs}", True, runs + 1
        while True:
            command = [*options, f"hydra.run.dir={name}", "ckpt_path=last"] if first else [f"resume={name}"]
            running = start(command, whole.parent)
            running.process.join(rng.uniform(0, length) if ends.total() < share else None)
            if not running.process.is_alive():
                assert running.process.exitcode == 0, running.text()
                break
            ends[strike(running, rng)] += 1
            first = not (
                whole.parent / name / ".hydra" / "overrides.yaml"
            ).is_file()  # the last of the record
        found += differences(whole, whole.parent / name)
    return {"kills": ends.total(), **ends, "runs": runs, "differences": found}


def strike(running, rng) -> str:
    """End a run with ``kill -9``, with SIGTERM, or as a cluster does, with both in turn; tell how."""
    how = str(rng.choice(["kill -9", "kill -9", "SIGTERM", "SIGTERM, then kill -9"]))
    if how.startswith("SIGTERM"):
        running.send(signal.SIGTERM)
    if how.startswith("SIGTERM,"):
        running.process.join(rng.uniform(0, 0.3))
    if how.endswith("kill -9"):
        running.send(signal.SIGKILL)
    code = running.wait()
    # 75: saved and stopped; -SIGTERM: before the training or behind it, where nothing is to be saved.
    assert code in (75, -signal.SIGTERM, -signal.SIGKILL, 0), f"{how}: exit code {code}\n{running.text()}"
    assert "Traceback" not in running.text()
    return how


def epochs(run: Path) -> int:
    """Rows of metrics.csv."""
    table = run / "metrics.csv"
    return len(table.read_text().splitlines()) - 1 if table.is_file() else 0
