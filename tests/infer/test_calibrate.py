"""The temperature of a run: fitted after training, kept in its checkpoint, used by every verb."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

import segkit
from segkit.checkpoint import keep_temperature, load
from segkit.types import UserError


def kept(path):
    return torch.load(path, weights_only=True)["segkit"].get("temperature")


def numbers(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def trained(tiny, command, tmp_path_factory):
    """A run that has learnt enough for a temperature."""
    folder = tmp_path_factory.mktemp("calibrate")
    options = [*tiny, "data.train_samples=12", "model.base_width=8", "trainer.max_epochs=6", "logger=none"]
    done = command("train", *options, "hydra.run.dir=run", cwd=folder)
    assert done.code == 0, done.err
    return folder / "run"


@pytest.fixture
def copy(trained, tmp_path):
    """That run, before a temperature was fitted."""
    run = shutil.copytree(trained, tmp_path / "run")
    best = run / "checkpoints" / "best.ckpt"
    content = torch.load(best, weights_only=True)
    del content["segkit"]["temperature"]
    torch.save(content, best)
    return run


def test_training_fits_a_temperature_for_the_best_checkpoint_and_says_so(trained):
    temperature = kept(trained / "checkpoints" / "best.ckpt")
    assert 0.05 < temperature < 20
    assert temperature != 1
    assert kept(trained / "checkpoints" / "last.ckpt") is None
    assert (
        f"temperature {temperature:.3g} (fitted on 3 validation pictures): NLL"
        in (trained / "train.log").read_text()
    )
    block = numbers(trained)["calibration"]
    assert block["temperature"] == numbers(trained)["temperature"] == temperature
    assert "fitted on the validation part" in block["protocol"]["temperature"]
    assert (trained / "plots" / "reliability.png").is_file()
    assert segkit.load(trained).temperature == temperature


def test_evaluate_fits_the_temperature_of_an_old_checkpoint_and_uses_it_from_then_on(
    copy, trained, command, tmp_path
):
    run, best = f"run={copy}", copy / "checkpoints" / "best.ckpt"
    for name, options in (("old", []), ("fitted", ["calibrate=true"]), ("new", [])):
        done = command("evaluate", run, *options, f"hydra.run.dir={name}", cwd=tmp_path)
        assert done.code == 0, done.err
    temperature = kept(best)
    assert temperature == pytest.approx(kept(trained / "checkpoints" / "best.ckpt"), rel=1e-4)
    old, fitted, new = (numbers(tmp_path / name) for name in ("old", "fitted", "new"))
    assert old["calibration"]["temperature"] == old["temperature"] == 1
    assert fitted["calibration"] == new["calibration"]
    assert new["calibration"]["temperature"] == temperature
    assert new["calibration"]["as_trained"]["nll"] == pytest.approx(old["calibration"]["nll"])
    assert new["mean"] == old["mean"]


def test_a_temperature_leaves_the_rest_of_a_checkpoint_as_it_was(copy):
    best = copy / "checkpoints" / "best.ckpt"
    before = torch.load(best, weights_only=True)
    keep_temperature(best, 1.5)
    after = torch.load(best, weights_only=True)
    assert after["segkit"].pop("temperature") == 1.5
    assert before.keys() == after.keys()
    assert before["segkit"].keys() == after["segkit"].keys()
    assert all(torch.equal(v, after["state_dict"][k]) for k, v in before["state_dict"].items())


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "hot", True, None])
def test_a_temperature_that_is_none_is_damage(copy, value):
    keep_temperature(copy / "checkpoints" / "best.ckpt", value)
    with pytest.raises(UserError, match=r"damaged checkpoint \(its temperature is"):
        load(copy)


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_training_goes_on_from_a_checkpoint_with_a_temperature_as_from_one_without(
    copy, trained, tiny, command, tmp_path
):
    """A temperature belongs to weights: training changes them."""
    for name, run in (("with", trained), ("without", copy)):
        best = run / "checkpoints" / "best.ckpt"
        options = [*tiny, f"ckpt_path={best}", "trainer.max_epochs=7", "metric=basic", "model.base_width=8"]
        done = command("train", *options, f"hydra.run.dir={name}", cwd=tmp_path)
        assert done.code == 0, done.err
        assert kept(tmp_path / name / "checkpoints" / "best.ckpt") is None
        assert numbers(tmp_path / name)["temperature"] == 1
    assert numbers(tmp_path / "with")["mean"] == numbers(tmp_path / "without")["mean"]


def test_where_no_temperature_fits_probabilities_stay_as_trained_and_the_log_says_so(
    copy, command, tmp_path, monkeypatch
):
    keep_temperature(copy / "checkpoints" / "best.ckpt", 1.7)
    monkeypatch.setattr("segkit.infer.calibrate.fit_temperature", lambda *_: None)
    done = command("evaluate", f"run={copy}", "calibrate=true", "hydra.run.dir=out", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "no temperature between 0.05 and 20 fits" in done.err + done.out
    assert kept(copy / "checkpoints" / "best.ckpt") == 1
    assert "as_trained" not in numbers(tmp_path / "out")["calibration"]


def test_calibrate_is_true_or_false(finished, command, tmp_path):
    done = command("evaluate", f"run={finished}", "calibrate=maybe", cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "calibrate=maybe: choose true or false" in done.err
