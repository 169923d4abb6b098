"""Every choice of a group trains: not only composes."""

from __future__ import annotations

import json

import pytest
import yaml
from PIL import Image

from segkit.paths import CONF_DIR

SHORT = ["trainer.max_epochs=1", "test=false", "logger=none"]
OWN_LABELS = ("bce", "bce_dice")  # for binary and multilabel label spaces


def _choices(*groups: str) -> list[str]:
    files = [p for g in groups for p in sorted((CONF_DIR / g).glob("*.yaml"))]
    return [f"{p.parent.name}={p.stem}" for p in files if p.name[0] != "_" and p.stem not in OWN_LABELS]


@pytest.mark.parametrize("choice", [*_choices("augment", "loss", "optimizer", "scheduler"), "trainer=debug"])
def test_every_choice_trains(choice, command, tiny, tmp_path):
    done = command("train", *tiny, choice, *SHORT, "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


@pytest.mark.parametrize(
    "scheme", ["uniform", "inverse", "median_frequency", "effective_number", "enet", "sqrt"]
)
def test_every_weighting_scheme_trains_and_is_shown(scheme, command, tiny, tmp_path):
    done = command("train", *tiny, f"loss.class_weights={scheme}", *SHORT, cwd=tmp_path)
    assert done.code == 0, done.err
    assert f"class weights ({scheme}): void " in done.err


@pytest.mark.parametrize("scheduler", ["plateau", "cosine", "poly", "none"])
def test_a_warm_up_counts_optimiser_steps(scheduler, command, tiny, tmp_path):
    options = [f"scheduler={scheduler}", "scheduler.warmup_steps=3", "scheduler.warmup_start=0.1"]
    options += ["optimizer.lr=0.01", "trainer.accumulate_grad_batches=2", "hydra.run.dir=run"]
    done = command("train", *tiny, *options, "test=false", "logger=none", cwd=tmp_path)
    assert done.code == 0, done.err
    rates = [float(row.split(",")[2]) for row in (tmp_path / "run/metrics.csv").read_text().splitlines()[1:]]
    # Two optimiser steps an epoch: after the first epoch two of three warm-up steps are done.
    assert rates[0] == pytest.approx(0.01 * (0.1 + 0.9 * 2 / 3), rel=1e-6)


MULTILABEL = {
    "task": "multilabel",
    "names": [
        {"name": "ground", "ids": [1]},
        {"name": "traffic", "ids": [3, 6, 7]},
        {"name": "person", "ids": [6]},
    ],
    "ignore": [255],
    "rest": "none",
}


@pytest.mark.parametrize("loss", ["bce", "bce_dice", "dice"])
def test_classes_that_overlap_train_evaluate_and_predict(loss, command, tiny, tmp_path):
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(MULTILABEL))
    options = ["data.labels=labels.yaml", f"loss={loss}", "logger=none", "hydra.run.dir=run"]
    done = command("train", *tiny, *options, cwd=tmp_path)
    assert done.code == 0, done.err
    numbers = json.loads((tmp_path / "run/metrics.json").read_text())
    assert list(numbers["per_class"]) == ["ground", "traffic", "person"]
    (tmp_path / "labels.yaml").unlink()  # the checkpoint has the label space
    done = command("evaluate", "run=run", "hydra.run.dir=again", cwd=tmp_path)
    assert done.code == 0, done.err
    again = json.loads((tmp_path / "again/metrics.json").read_text())
    assert again["per_class"] == numbers["per_class"]
    Image.new("RGB", (50, 40)).save(tmp_path / "new.png")
    done = command("predict", "run=run", "input=new.png", "output=out", cwd=tmp_path)
    assert done.code == 0, done.err
    assert len(list((tmp_path / "out/index").rglob("*.png"))) == 3
