"""`segkit report`: the page of a run, made by its own commands."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, to be changed."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def viewers(page):
    return page.read_text().count('<figure class="viewer"')


def test_a_training_ends_with_a_page_and_a_card_of_its_cost(finished):
    page = (finished / "report.html").read_text()
    assert "streets_unet" in page
    assert 'id="curves"' in page
    assert viewers(finished / "report.html") >= 2  # the test part has two pictures
    card = json.loads((finished / "run.json").read_text())
    assert card["finished"] >= card["started"]
    assert card["steps"] == 4  # 2 epochs of 3 micro-batches, 2 to a step
    assert card["core_seconds"] > 0
    assert 0 < card["seconds"] < 600
    assert card["gpu_seconds"] == 0
    assert card["peak_memory_bytes"] > 50e6


def test_an_evaluation_ends_with_a_page(finished, command, look, tmp_path):
    done = command("evaluate", f"run={finished}", "split=val", "hydra.run.dir=out", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "report: " in done.out
    page = look(tmp_path / "out" / "report.html")
    assert "validation part, 3 images; native resolution" in page.locator("header").inner_text()
    assert page.locator(".viewer").count() >= 3


def test_the_page_is_made_anew_and_nothing_else_is(run, command, tmp_path, look):
    (run / "report.html").unlink()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    done = command("report", f"run={run}", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out == f"report: {run / 'report.html'}\n"
    after = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert {p for p in after if after[p] != before.get(p)} == {run / "report.html"}
    assert look(run / "report.html").locator(".viewer").count() >= 2


def test_pictures_are_as_many_as_wanted(run, command, tmp_path):
    assert command("report", f"run={run}", "pictures=1", cwd=tmp_path).code == 0
    assert viewers(run / "report.html") in (1, 2)  # one of each kind, at most
    assert command("report", f"run={run}", "pictures=0", cwd=tmp_path).code == 0
    assert viewers(run / "report.html") == 0


def test_an_interrupted_run_shows_validation_pictures(run, command, tmp_path):
    for name in ("metrics.json", "counts.npz"):
        (run / name).unlink()
    assert command("report", f"run={run}", cwd=tmp_path).code == 0
    assert viewers(run / "report.html") == 3
    assert "of the validation part" in (run / "report.html").read_text()


def test_without_a_checkpoint_the_page_has_numbers_and_says_why_it_has_no_pictures(run, command, tmp_path):
    shutil.rmtree(run / "checkpoints")
    done = command("report", f"run={run}", cwd=tmp_path)
    assert done.code == 0
    assert done.err.startswith("the page has no pictures: ")
    assert done.err.count("\n") == 1
    assert viewers(run / "report.html") == 0
    assert "Mean IoU" in (run / "report.html").read_text()


def test_pictures_of_other_data_than_was_measured_are_not_shown(run, command, tmp_path):
    arrays = dict(np.load(run / "counts.npz"))
    arrays["names"] = arrays["names"][::-1]
    np.savez(run / "counts.npz", **arrays)
    done = command("report", f"run={run}", cwd=tmp_path)
    assert done.code == 0
    assert "the data is not what was measured" in done.err


def test_the_record_of_an_evaluation_may_not_name_foreign_code(finished, command, tmp_path):
    done = command("evaluate", f"run={finished}", "split=val", "hydra.run.dir=out", cwd=tmp_path)
    assert done.code == 0, done.err
    config = tmp_path / "out" / ".hydra" / "config.yaml"
    values = yaml.safe_load(config.read_text())
    values["data"] = {"_target_": "os.mkdir", "path": str(tmp_path / "made")}
    config.write_text(yaml.safe_dump(values))
    done = command("report", "run=out", cwd=tmp_path)
    assert done.code == 0
    assert "may not call" in done.err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run= must be given"),
        (["run=nowhere"], "run=nowhere: no such folder"),
        (["run=."], "run=.: nothing of a run is there"),
        (["run=.", "pictures=-1"], "pictures=-1: give a whole number"),
        (["run=.", "picture=3"], "did you mean 'pictures'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message, command, tmp_path):
    done = command("report", *arguments, cwd=tmp_path)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_one_line_that_names_it(run, command, tmp_path):
    (run / "metrics.json").write_text('{"mean": {"miou": "good"}}')
    done = command("report", f"run={run}", cwd=tmp_path)
    assert done.code == 2
    assert f"{run / 'metrics.json'}: mean.miou is 'good', not a number" in done.err
    assert done.err.count("\n") == 1


def test_a_page_that_cannot_be_written_does_not_lose_the_run(command, tiny, tmp_path):
    (tmp_path / "run" / "report.html").mkdir(parents=True)
    options = ["trainer.max_epochs=1", "logger=none", "hydra.run.dir=run"]
    done = command("train", *tiny, *options, cwd=tmp_path)
    assert done.code == 0
    assert "missing in the run folder, or not the newest: report.html (Is a directory)" in done.err
    assert (tmp_path / "run" / "metrics.json").is_file()
