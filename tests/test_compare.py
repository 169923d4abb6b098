"""`segkit compare`, as a user types it, on two trained runs and an evaluation."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def runs(finished, tiny, command, tmp_path_factory):
    """A folder with a run, a repeat of it, a run of another recipe, and an evaluation of the first."""
    folder = tmp_path_factory.mktemp("compare")
    shutil.copytree(finished, folder / "good one, lr=0.01")
    options = [*tiny, "model=unet", "trainer.accumulate_grad_batches=2"]
    assert command("train", *options, "seed=1", "hydra.run.dir=repeat", cwd=folder).code == 0
    broken = [*options, "optimizer.lr=1e-9", "hydra.run.dir=broken"]
    assert command("train", *broken, cwd=folder).code == 0
    measured = ["run='good one, lr=0.01'", "split=test", "data.batch_size=1", "hydra.run.dir=measured"]
    assert command("evaluate", *measured, cwd=folder).code == 0
    return folder


def found_in(folder):
    return json.loads((folder / "compare.json").read_text())


def test_two_seeds_of_one_recipe_are_no_difference(runs, command):
    done = command("compare", "good one, lr=0.01", "repeat", "hydra.run.dir=seeds", cwd=runs)
    assert done.code == 0, done.err
    assert "no difference between recipes: A and B are repeats of one" in done.out
    assert found_in(runs / "seeds")["repeats_of_one_recipe"] is True
    page = (runs / "seeds" / "compare.html").read_text()
    assert page.count('class="shot"') == len(
        [r for k in ("improved", "worsened") for r in found_in(runs / "seeds")["comparisons"][0][k]]
    )
    assert "python -m segkit.compare &#39;good one, lr=0.01&#39; repeat" in page


def test_an_evaluation_is_compared_with_a_run_and_both_with_pictures(runs, command):
    """The same checkpoint, measured at the end of training and by hand: nothing differs at all."""
    done = command("compare", "measured", "./good one, lr=0.01", "hydra.run.dir=same", cwd=runs)
    assert done.code == 0, done.err
    found = found_in(runs / "same")
    assert found["repeats_of_one_recipe"] is True
    assert {e["difference"] for e in found["comparisons"][0]["mean"].values()} <= {0, None}
    assert found["recipes"][0]["runs"][0]["seed"] == 0
    done = command("compare", "measured", "broken", "hydra.run.dir=other", cwd=runs)
    assert done.code == 0, done.err
    assert done.err == ""
    (verdict,) = found_in(runs / "other")["verdict"]
    assert verdict in done.out
    assert 'class="shot"' in (runs / "other" / "compare.html").read_text()
    assert found_in(runs / "other")["comparisons"][0]["recipe"] == [
        {"key": "optimizer.lr", "A": "0.01", "B": "1e-09"}
    ]


def test_without_its_checkpoint_a_run_is_compared_without_pictures_and_a_warning(runs, command):
    shutil.copytree(runs / "broken", runs / "light")
    shutil.rmtree(runs / "light" / "checkpoints")
    done = command("compare", "repeat", "light", "hydra.run.dir=bare", cwd=runs)
    assert done.code == 0, done.err
    assert done.err.count("\n") == 1
    assert "no pictures of A and B: the checkpoint of B is not where its numbers say" in done.err
    assert (runs / "bare" / "compare.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["repeat"], "give two runs or more"),
        ([], "runs= must be given"),
        (["repeat", "nowhere"], "nowhere: there is no such folder"),
        (["repeat", "no/where=1"], "no/where=1: there is no such folder"),
        (["repeat", "."], "has no counts.npz"),
        (["repeat", "broken", "shown=-1"], "shown=-1: must be a whole number"),
        (["repeat", "broken", "pictures=maybe"], "pictures=maybe: choose true or false"),
        (["repeat", "broken", "picture=false"], "did you mean 'pictures'"),
        (["repeat", "runs=[broken]"], "repeat: type it as part of runs="),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message, runs, command):
    done = command("compare", *arguments, cwd=runs)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert message in done.err


def test_the_numbers_need_no_torch(runs):
    script = (
        "import sys, runpy\n"
        "sys.argv = ['compare', 'repeat', 'broken', 'pictures=false', 'hydra.run.dir=light numbers']\n"
        "runpy.run_module('segkit.compare', run_name='__main__')\n"
        "sys.exit(str({'torch', 'lightning'} & set(sys.modules)) if 'torch' in sys.modules else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=runs, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert found_in(runs / "light numbers")["images"] == 2
