"""A loss or gradient that is no number never reaches the weights."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import segkit
from segkit.types import UserError

NET = ["model.depth=2", "model.base_width=4", "optimizer=sgd", "optimizer.momentum=0.9"]
STEPS = ["callback.last.every_n_steps=1", "callback.ema.decay=0.9"]
SKIP = "training.on_nan=skip_step"
SAMPLE = "train/000007"  # one of ten; an epoch of them has three windows, the run eighteen
SPOILT = [
    ("poison", {"what": "picture", "sample": SAMPLE, "epochs": [1, 4]}),
    ("poison", {"what": "picture", "sample": None, "epochs": [5], "above": 16}),
]


@pytest.fixture(scope="module")
def skipping(start, small, tmp_path_factory):
    """A run that leaves out a step in its epochs 1 and 4, and its last one."""
    folder = tmp_path_factory.mktemp("nan")
    begun = start([*small, *NET, *STEPS, SKIP, "hydra.run.dir=run"], folder, *SPOILT)
    assert begun.wait() == 0, begun.text()
    return folder / "run", begun.text()


def content(run: Path, name: str = "last") -> dict:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "skipped_steps.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "what",
    [
        "gradient",
        pytest.param("loss", marks=pytest.mark.soak),
        pytest.param("picture", marks=pytest.mark.soak),
    ],
)
def test_stop_names_step_and_samples_and_leaves_weights_of_the_step_before(what, start, small, tmp_path):
    fault = ("poison", {"what": what, "sample": SAMPLE, "epochs": [1]})
    run = tmp_path / "run"
    stopped = start([*small, *NET, *STEPS, "hydra.run.dir=run"], tmp_path, fault)
    assert stopped.wait() == 2
    assert "Traceback" not in stopped.text()
    line = next(x for x in stopped.text().splitlines() if x.startswith("segkit train: error: "))
    dump = next((run / "nan").iterdir())
    kept = torch.load(dump, weights_only=True)
    assert f"at step {kept['nan']['step']} (epoch 1) on samples " in line
    assert f"the last good checkpoint is {run / 'checkpoints' / 'last.ckpt'};" in line
    assert str(dump) in line
    # Only the micro-batch that is at fault, where the loss tells which: two of four pictures.
    assert SAMPLE in kept["nan"]["samples"]
    assert len(kept["nan"]["samples"]) == (4 if what == "gradient" else 2)
    assert kept["nan"]["what"] == ("gradient is nan or infinite" if what == "gradient" else "loss is nan")
    last = content(run)
    assert last["global_step"] == kept["nan"]["step"]
    assert equal(kept["state_dict"], last["raw_state_dict"]), "weights and statistics of the step before"
    assert all(v.isfinite().all() for v in last["state_dict"].values())


def test_a_dump_shows_the_same_nan_again(start, small, tmp_path, capsys):
    """The weights of a first step that was far too long overflow in the second."""
    long = ["optimizer=sgd", "optimizer.lr=1e30", "scheduler=none", "loss.class_weights=inverse"]
    stopped = start([*small, *NET, *long, "hydra.run.dir=run"], tmp_path)
    assert stopped.wait() == 2, stopped.text()
    dump = tmp_path / "run" / "nan" / "step_1.ckpt"
    kept = torch.load(dump, weights_only=True)["nan"]["processes"][0]
    again = segkit.replay(dump)
    assert [repr(r.loss) for r in again] == [repr(x) for x in kept["losses"]]
    assert [r.samples for r in again] == [tuple(b["names"]) for b in kept["batches"]]
    assert all(r.gradient != r.gradient for r in again)
    assert "first in net.contract.0." in capsys.readouterr().out
    with pytest.raises(UserError, match="not of a step that failed"):
        segkit.replay(other_checkpoint(dump, tmp_path))


def other_checkpoint(dump: Path, folder: Path) -> Path:
    kept = torch.load(dump, weights_only=True)
    del kept["nan"]
    torch.save(kept, folder / "other.ckpt")
    return folder / "other.ckpt"


@pytest.mark.soak
def test_a_finite_step_is_replayed_to_the_losses_that_it_had(start, small, tmp_path):
    """Dropout too: the random numbers are those of the window."""
    net = ["model=smp", "model.arch=fpn", "model.encoder_name=resnet18", "+model.params.decoder_dropout=0.5"]
    fault = ("poison", {"what": "gradient", "sample": SAMPLE, "epochs": [0]})
    stopped = start([*small, *net, "hydra.run.dir=run"], tmp_path, fault)
    assert stopped.wait() == 2, stopped.text()
    dump = next((tmp_path / "run" / "nan").iterdir())
    kept = torch.load(dump, weights_only=True)["nan"]["processes"][0]
    assert [r.loss for r in segkit.replay(dump)] == pytest.approx(kept["losses"], rel=1e-5)


def test_a_step_left_out_changes_no_weight_momentum_average_or_statistic(skipping):
    """The last of the run: checkpoints stand before and behind it."""
    before, behind = content(skipping[0], "previous"), content(skipping[0])
    assert (before["global_step"], behind["global_step"]) == (17, 18)
    assert equal(before["state_dict"], behind["state_dict"])
    assert equal(before["raw_state_dict"], behind["raw_state_dict"])
    states = [c["optimizer_states"][0]["state"] for c in (before, behind)]
    assert all(equal(states[0][k], states[1][k]) for k in states[0])
    assert before["callbacks"]["Ema"] == behind["callbacks"]["Ema"]


def test_steps_left_out_are_counted_and_listed_and_schedules_count_on(skipping):
    run, text = skipping
    assert [(r["epoch"], r["what"]) for r in rows(run)] == [(e, "loss is nan") for e in ("1", "4", "5")]
    assert all(SAMPLE in r["samples"].split("; ") for r in rows(run)[:2])
    assert text.count("left out: loss is nan on samples") == 3
    assert "3 of 18 steps left out: skipped_steps.csv" in text
    assert content(run)["global_step"] == 18
    assert content(run)["lr_schedulers"][0]["last_epoch"] == 18
    assert len(list((run / "nan").iterdir())) == 1, "the first alone is kept"
    losses = [line.split(",")[3] for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    assert all(0 < float(x) < 10 for x in losses), "a loss that is no number is no part of the mean"


def test_a_killed_run_that_leaves_steps_out_ends_as_one_that_was_never_killed(
    skipping, start, small, differences, tmp_path
):
    run = tmp_path / "run"
    killed = start([*small, *NET, *STEPS, SKIP, "hydra.run.dir=run"], tmp_path, *SPOILT, *at_step(14))
    assert killed.wait() == -9
    resumed = start(["resume=run"], tmp_path, *SPOILT)
    assert resumed.wait() == 0, resumed.text()
    assert differences(skipping[0], run) == []
    assert rows(run) == rows(skipping[0])


def at_step(number: int) -> list:
    """Killed within the window of a step."""
    call = "segkit.module:SegmentationModule.on_before_optimizer_step"
    return [("die_at", {"call": call, "number": number})]


@pytest.mark.soak
def test_too_many_steps_in_a_row_stop_the_run(start, small, tmp_path):
    fault = ("poison", {"what": "loss", "sample": None, "epochs": [1, 2]})
    options = [*small, *NET, SKIP, "training.max_skipped=2"]
    stopped = start([*options, "hydra.run.dir=run"], tmp_path, fault)
    assert stopped.wait() == 2
    assert "loss is nan at step 5, after 2 steps in a row that were left out" in stopped.text()
    assert [r["step"] for r in rows(tmp_path / "run")] == ["3", "4"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("training.on_nan=ignore", "training.on_nan=ignore: expected one of stop, skip_step"),
        ("training.max_skipped=0", "training.max_skipped=0: must be at least 1"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(option, words, command, tiny, tmp_path):
    done = command("train", *tiny, option, "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 2
    assert words in done.err


IN_THE_SECOND = """
import os, runpy
if os.environ.get("LOCAL_RANK") == "1":
    runpy.run_path({fault!r})["poison"]("loss", None, [1])
"""


@pytest.mark.soak
def test_two_processes_agree_to_leave_a_step_out_when_one_has_a_nan(small, tmp_path):
    fault = IN_THE_SECOND.format(fault=str(Path(__file__).with_name("fault.py")))
    (tmp_path / "sitecustomize.py").write_text(fault)
    path = f"{tmp_path}:{Path(segkit.__file__).parents[1]}"
    options = [*small, *NET, SKIP, "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=2"]
    command = [sys.executable, "-m", "segkit.train", *options, "hydra.run.dir=run"]
    here = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        command, cwd=tmp_path, env=here, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "run"
    assert {r["epoch"] for r in rows(run)} == {"1"}
    assert len(rows(run)) == content(run)["global_step"] - content(run, "previous")["global_step"]
    assert equal(content(run)["state_dict"], content(run, "previous")["state_dict"])
    dump = torch.load(next((run / "nan").iterdir()), weights_only=True)["nan"]
    assert len(dump["processes"]) == 2
    bad = [n for b in dump["processes"][1]["batches"] for n in b["names"]]
    assert dump["samples"] == bad, "those of the process that has it"
    assert json.dumps(dump["processes"][0]["losses"]).count("NaN") == 0
