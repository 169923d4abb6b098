"""`segkit train` as a user meets it: the real command, tiny street scenes, the files it leaves."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml


def _rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def _weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


FILES = (
    ".hydra/config.yaml .hydra/overrides.yaml checkpoints/best.ckpt checkpoints/last.ckpt split.csv run.json "
    "metrics.csv metrics.json counts.npz train.log plots/loss.png plots/loss.csv plots/overlap.png "
    "plots/overlap.csv plots/learning_rate.png plots/learning_rate.csv plots/class_iou.png "
    "plots/class_iou.csv plots/confusion.png plots/confusion.csv predictions/all.png"
)


def test_a_run_folder_holds_what_the_documentation_lists(finished):
    assert [f for f in FILES.split(" ") if not (finished / f).is_file()] == []
    assert list((finished / "tensorboard").glob("events.*"))
    assert not list(finished.rglob("*=*"))


def test_every_plot_has_its_numbers_beside_it(finished):
    plots = list((finished / "plots").glob("*.png"))
    assert plots
    for plot in plots:
        assert cv2.imread(str(plot)).std() > 5  # something is drawn
        assert len(plot.with_suffix(".csv").read_text().splitlines()) > 1


def test_metrics_csv_has_one_row_per_epoch(finished):
    rows = _rows(finished)
    assert [(r["epoch"], r["step"]) for r in rows] == [("0", "2"), ("1", "4")]
    for key in (
        "lr",
        "train/loss",
        "val/loss",
        "val/loss_ce",
        "val/miou",
        "val/dice",
        "val/accuracy",
        "seconds",
    ):
        assert float(rows[-1][key]) >= 0
    assert "val/iou/vehicle" in rows[0]


def test_the_final_numbers_carry_their_protocol_and_follow_from_the_counts(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert (metrics["split"], metrics["resolution"], metrics["images"]) == ("test", "native", 2)
    assert "absent" in metrics["protocol"]
    counts = np.load(finished / "counts.npz")
    tp, fp, fn = counts["counts"].sum(0).T
    shown = tp + fp + fn > 0
    assert metrics["mean"]["miou"] == pytest.approx((tp[shown] / (tp + fp + fn)[shown]).mean())
    assert list(counts["names"]) == ["test/000000", "test/000001"]


def test_the_card_says_how_to_make_the_run_again(finished):
    card = json.loads((finished / "run.json").read_text())
    assert "model=unet" in card["command"]
    assert card["data"]["samples"] == {"train": 6, "val": 3, "test": 2}
    assert torch.__version__.startswith(card["versions"]["torch"])
    assert card["seed"] == 0


def test_a_checkpoint_holds_tensors_and_plain_containers_and_explains_itself(finished):
    content = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    kept = content["segkit"]
    assert kept["config"]["trainer"]["accumulate_grad_batches"] == 2
    assert kept["labels"]["names"][-1] == "vehicle"
    assert "net.mean" in content["state_dict"]


def test_tensorboard_has_scalars_per_class_numbers_and_the_same_pictures_each_epoch(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags, pictures = set(), {}
    for file in (finished / "tensorboard").glob("events.*"):
        events = EventAccumulator(str(file), size_guidance={"images": 0})
        events.Reload()
        tags |= set(events.Tags()["scalars"])
        pictures |= {t: len(events.Images(t)) for t in events.Tags()["images"]}
    assert {"train/loss", "val/loss", "val/miou", "val/iou/human"} <= tags
    assert any(t.startswith("lr") for t in tags)
    assert len(pictures) == 3
    assert set(pictures.values()) == {2}


def test_the_same_command_gives_the_same_weights_and_another_seed_others(finished, command, tiny, tmp_path):
    common = [*tiny, "model=unet", "trainer.accumulate_grad_batches=2", "test=false", "logger=none"]
    for name, seed in (("a", 0), ("b", 1)):
        assert command("train", *common, f"hydra.run.dir={name}", f"seed={seed}", cwd=tmp_path).code == 0
    expected, same, other = _weights(finished), _weights(tmp_path / "a"), _weights(tmp_path / "b")
    assert all(torch.equal(v, same[k]) for k, v in expected.items())
    assert not all(torch.equal(v, other[k]) for k, v in expected.items())


def test_a_multirun_gives_every_job_a_folder_of_its_own(command, tiny, tmp_path):
    options = ["--multirun", "seed=1,2", "test=false", "trainer.max_epochs=1", "logger=none"]
    done = command("train", *tiny, *options, "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert done.code == 0, done.err
    jobs = sorted(p for p in (tmp_path / "sweep").iterdir() if p.is_dir())
    assert [j.name for j in jobs] == ["0_streets_unet", "1_streets_unet"]
    seeds = [yaml.safe_load((j / ".hydra" / "config.yaml").read_text())["seed"] for j in jobs]
    assert seeds == [1, 2]
    assert all((j / "checkpoints" / "best.ckpt").is_file() for j in jobs)


def test_train_returns_the_best_monitored_number(tiny, tmp_path, monkeypatch):
    from segkit import cli, train

    returned = []
    monkeypatch.setattr(sys, "argv", ["segkit", *tiny, "test=false", "logger=none", "hydra.run.dir=run"])
    monkeypatch.chdir(tmp_path)
    cli.launch("train", lambda cfg: returned.append(train.train(cfg)))
    best = max(float(r["val/miou"]) for r in _rows(tmp_path / "run"))
    assert returned == [pytest.approx(best, abs=1e-6)]


def test_a_folder_that_holds_a_run_is_not_overwritten(finished, command, tiny):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    done = command("train", *tiny, f"hydra.run.dir={finished}", cwd=finished.parent)
    assert done.code == 2
    assert "already holds a run; go on with it by adding ckpt_path=last" in done.err
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()} == before


ENDLESS = ["trainer.max_epochs=100000", "callback.early_stopping=null", "logger=none", "test=false"]


@pytest.fixture
def running(tiny, tmp_path):
    """A run without end, in a process of its own, that has written a checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "segkit.train", *tiny, *ENDLESS, "hydra.run.dir=run"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(1200):
        if (tmp_path / "run/checkpoints/last.ckpt").is_file() or process.poll() is not None:
            break
        time.sleep(0.1)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.filterwarnings("ignore:The dirpath has changed")  # of the copy
def test_a_killed_run_goes_on_in_its_folder_by_resume_or_by_the_same_command(
    running, command, tiny, tmp_path
):
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    done = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["epoch"] + 1
    end = f"trainer.max_epochs={done + 2}"
    resumed = command("train", "resume=run", end, cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    again = command("train", *tiny, *ENDLESS, end, "hydra.run.dir=copy", "ckpt_path=last", cwd=tmp_path)
    assert again.code == 0, again.err
    for name in ("run", "copy"):
        assert [int(r["epoch"]) for r in _rows(tmp_path / name)] == list(range(done + 2))
    first, second = _weights(tmp_path / "run"), _weights(tmp_path / "copy")
    assert all(torch.equal(v, second[k]) for k, v in first.items())


def test_ctrl_c_saves_the_last_checkpoint_and_exits_with_130(running, tmp_path):
    before = (tmp_path / "run/checkpoints/last.ckpt").stat().st_mtime_ns
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 130, error[-3000:]
    assert "Traceback" not in error
    assert "go on with: python -m segkit.train resume=" in error
    assert error.endswith("segkit train: stopped\n")
    assert (tmp_path / "run/checkpoints/last.ckpt").stat().st_mtime_ns > before
    torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)


def test_a_loss_that_is_nan_stops_the_run_and_keeps_the_last_good_checkpoint(command, tiny, tmp_path):
    options = ["optimizer=sgd", "optimizer.lr=1e30", "model.norm=group", "hydra.run.dir=run"]
    done = command("train", *tiny, *options, cwd=tmp_path)
    assert done.code == 2
    assert "train/0000" in done.err
    assert "optimizer.lr" in done.err
    assert "Traceback" not in done.err


def test_mixed_precision_and_clipping_go_together(command, tiny, tmp_path):
    options = ["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1", "trainer.max_epochs=1"]
    done = command("train", *tiny, *options, "test=false", "logger=none", cwd=tmp_path)
    assert done.code == 0, done.err


def test_a_resumed_run_keeps_its_split_and_its_card(finished, command, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    split, card = (run / "split.csv").read_bytes(), json.loads((run / "run.json").read_text())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The dirpath has changed")  # of the copy
        assert command("train", f"resume={run}", "trainer.max_epochs=3", cwd=tmp_path).code == 0
    again = json.loads((run / "run.json").read_text())
    assert (run / "split.csv").read_bytes() == split
    assert {k: again[k] for k in card} == card
    assert "trainer.max_epochs=3" in again["resumed"][0]["command"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["loss.dice_per_image=false"], ["the dice term is the mean", "batch norm sees micro-batches"]),
        (["model.norm=group"], []),
    ],
)
def test_what_accumulation_cannot_make_exact_is_said(options, said, command, tiny, tmp_path):
    common = ["trainer.accumulate_grad_batches=2", "trainer.max_epochs=1", "test=false", "logger=none"]
    done = command("train", *tiny, *common, *options, cwd=tmp_path)
    assert done.code == 0
    assert all(words in done.err for words in said)
    assert done.err.count("accumulation: ") == len(said)


def test_fewer_batches_than_a_window_is_a_warning(command, tiny, tmp_path):
    options = ["trainer.accumulate_grad_batches=8", "trainer.max_epochs=1", "test=false", "logger=none"]
    done = command("train", *tiny, *options, cwd=tmp_path)
    assert done.code == 0
    assert "3 micro-batches, fewer than trainer.accumulate_grad_batches=8: it takes 1 step" in done.err
