"""A run folder may be a stranger's: its files are data, and its links lead nowhere."""

from __future__ import annotations

import itertools
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from segkit.arguments import refuse_overwriting
from segkit.callback.best import Best
from segkit.error import UserError, visible
from segkit.paths import CONF_DIR
from segkit.report.run_page import write_report
from segkit.report.stored import read_stored
from segkit.resume import config_of

EVIL = {"_target_": "os.system", "command": "touch CANARY"}
SECRET = "the secret of another folder"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, in a folder of its own beside files that it must not touch."""
    (tmp_path / "here").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text(f"key: {SECRET}\n")
    return shutil.copytree(finished, tmp_path / "here" / "run")


@pytest.fixture
def say(command, watched, tmp_path):
    """``say(verb, ...)``: the command, watched; what it printed."""

    def run_it(verb, *arguments, code=2):
        with watched(tmp_path / "here"):
            done = command(verb, *arguments, cwd=tmp_path / "here")
        assert done.code == code, done.err
        assert "Traceback" not in done.err
        if code == 2:
            assert done.err.count("\n") == 1, done.err
        assert [p.name for p in (tmp_path / "outside").iterdir()] == ["secret"]
        assert (tmp_path / "outside" / "secret").read_text() == f"key: {SECRET}\n"
        return done

    return run_it


CONFIGS = {
    "a network": {"model._target_": "os.system"},
    "a loss": {"loss._target_": "subprocess.run"},
    "a new callback": {"callback.mine": EVIL},
    "a logger": {"logger._target_": "segkit.files.os.system"},
    "a trainer's plugin": {"trainer.plugins": [EVIL]},
    "a callback of another library": {"callback.mine._target_": "lightning.pytorch.callbacks.Timer"},
    "the root": {"_target_": "os.system"},
    "a transform": {"augment.transforms": {"HorizontalFlip": EVIL}},
    "a resolver": {"name": "${oc.env:HOME}"},
    "a resolver that decodes": {"loss": "${oc.decode:'{_target_: os.system}'}"},
    "a resolver that creates": {"loss": "${oc.create:{_target_:os.system}}"},
    "a reference to a call": {"mine": EVIL, "loss": "${mine}"},
    "arguments by position": {"callback.checkpoint._args_": ["/tmp"]},
    "a logger's folder": {"logger.name": "../../outside"},
    "a logger's absolute folder": {"logger.version": "/tmp/outside"},
    "a name of checkpoints": {"callback.checkpoint.filename": "../../../outside/best"},
    "trust in itself": {"trust": ["os"], "model._target_": "os.system"},
}  # fmt: skip


def changed(run, changes):
    file = run / ".hydra" / "config.yaml"
    config = yaml.safe_load(file.read_text().replace("CANARY", "canary"))
    for key, value in changes.items():
        *above, last = key.split(".")
        node = config
        for part in above:
            node = node.setdefault(part, {})
        node[last] = value
    text = yaml.safe_dump(config).replace("CANARY", str(run.parent.parent / "outside" / "canary"))
    file.write_text(text)


@pytest.fixture(scope="module", autouse=True)
def _composed():
    """What Hydra knows of a command, for those tests that do not run a whole one."""
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        HydraConfig.instance().set_config(compose("train", [], return_hydra_config=True))


def refused(work, watched, folder):
    """The one line with which ``work`` ends."""
    with watched(folder / "here"), pytest.raises(UserError) as caught:
        work()
    line = visible(str(caught.value))
    assert [p.name for p in (folder / "outside").iterdir()] == ["secret"]
    assert SECRET not in line
    return line


@pytest.mark.parametrize("what", CONFIGS)
def test_a_resumed_run_calls_and_reads_only_what_conf_offers(what, run, watched, tmp_path):
    changed(run, CONFIGS[what])
    assert "config.yaml" in refused(lambda: config_of(run, []), watched, tmp_path)


def test_an_honest_run_passes(run):
    assert config_of(run, ["++trainer.max_epochs=3"]).trainer.max_epochs == 3


@pytest.mark.parametrize("what", ["a network", "a logger's folder"])
def test_its_command_ends_with_that_line(what, run, say):
    changed(run, CONFIGS[what])
    assert "config.yaml" in say("train", "resume=run", "trainer.max_epochs=3").err


def test_what_is_typed_on_resume_is_the_users_word(run, say, tmp_path, monkeypatch):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "own_net.py").write_text("from segkit.model.unet import UNet as Net\n")
    monkeypatch.syspath_prepend(tmp_path / "path")
    changed(run, {"model._target_": "own_net.Net", "name": "${oc.env:HOME}"})
    assert "name holds" in say("train", "resume=run").err
    assert "trust=[PACKAGE]" in say("train", "resume=run", "name=mine").err
    say("train", "resume=run", "name=mine", "model._target_=own_net.Net", "test=false", code=0)


LAUGHS = "a: &a [x]\n" + "".join(
    f"{c}: &{c} [{', '.join(4 * [f'*{b}'])}]\n" for b, c in itertools.pairwise("abcdefghijklmn")
)
TEXTS = {
    "a billion laughs": LAUGHS,
    "a list in itself": "a: &a [*a]\n",
    "brackets without end": "a: " + "[" * 100_000,
    "deep": "a: " + "[" * 500 + "]" * 500,
    "a key twice": "seed: 1\nseed: 2\n",
    "a number of 5 000 digits": "seed: " + "9" * 5000,
    "a date that is none": "seed: 2001-99-99\n",
    "an object": "seed: !!python/object/apply:os.system ['touch canary']\n",
    "a list": "[1, 2]\n",
    "nothing": "",
    "no text": "\x00\x01\x02",
}  # fmt: skip


@pytest.mark.parametrize("what", TEXTS)
def test_a_configuration_that_is_a_trap_is_one_line(what, run, watched, tmp_path):
    (run / ".hydra" / "config.yaml").write_text(TEXTS[what])
    assert "config.yaml" in refused(lambda: config_of(run, []), watched, tmp_path)
    if what != "nothing":  # a page can do without
        assert "config.yaml" in refused(lambda: write_report(run), watched, tmp_path)


LINKED = {
    ("report", "plots"): "plots",
    ("report", "plots/x.csv"): "plots/x.csv",
    ("report", ".hydra/config.yaml"): "config.yaml",
    ("report", "metrics.json"): "metrics.json",
    ("report", "report.html"): "report.html",
    ("compare", ".hydra/config.yaml"): "config.yaml",
    ("compare", "counts.npz"): "counts.npz",
    ("train", "train.log"): "train.log",
    ("train", "checkpoints"): "checkpoints",
    ("train", "checkpoints/last.ckpt"): "last.ckpt",
    ("train", "tensorboard"): "tensorboard",
    ("train", "predictions"): "predictions",
    ("train", "metrics.csv"): "metrics.csv",
}


WORK = {
    "report": write_report,
    "compare": read_stored,
    "train": lambda run: refuse_overwriting([f"resume={run}"]),
}


@pytest.mark.parametrize(("verb", "name"), LINKED)
def test_a_link_out_of_a_run_folder_is_neither_read_nor_written_through(verb, name, run, watched, tmp_path):
    place, outside = run / name, tmp_path / "outside"
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    folder = name in ("plots", "checkpoints", "tensorboard", "predictions")
    place.symlink_to(outside if folder else outside / "secret", folder)
    line = refused(lambda: WORK[verb](run), watched, tmp_path)
    assert "a link that leads out of" in line
    assert LINKED[verb, name] in line
    page = run / "report.html"
    assert page.is_symlink() or not page.is_file() or SECRET not in page.read_text()


@pytest.mark.parametrize("typed", [["resume=run"], ["hydra.run.dir=run", "ckpt_path=last"]])
def test_the_log_of_a_planted_run_is_not_written_through_a_link(typed, run, say, tmp_path):
    (run / "train.log").unlink()
    (run / "train.log").symlink_to(tmp_path / "outside" / "secret")
    assert "train.log is a link" in say("train", *typed).err


def test_a_partial_file_that_somebody_has_planted_is_not_written_through(tmp_path):
    from segkit.files import _beside, write_text

    (tmp_path / "secret").write_text(SECRET)
    _beside(tmp_path / "a.txt").symlink_to(tmp_path / "secret")
    write_text(tmp_path / "a.txt", "mine")
    assert (tmp_path / "secret").read_text() == SECRET
    assert (tmp_path / "a.txt").read_text() == "mine"


def test_calibration_does_not_change_a_checkpoint_behind_a_link(run, say, tmp_path):
    best = run / "checkpoints" / "best.ckpt"
    best.rename(tmp_path / "elsewhere.ckpt")
    best.symlink_to(tmp_path / "elsewhere.ckpt")
    before = (tmp_path / "elsewhere.ckpt").read_bytes()
    say("evaluate", "run=run", "calibrate=true", "split=val", "metric=basic", "hydra.run.dir=out", code=0)
    assert (tmp_path / "elsewhere.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    "evil", ["FOLDER/../../outside/secret", "FOLDER/..", "/etc/passwd", "FOLDER/../x.ckpt"]
)
def test_no_state_of_a_checkpoint_deletes_a_file_elsewhere(evil, run):
    """Lightning deletes what a checkpoint says was the best before, folders too."""
    folder = str(run / "checkpoints")
    evil, score = evil.replace("FOLDER", folder), torch.tensor(1.0)
    state = {"dirpath": folder, "best_model_path": evil, "kth_best_model_path": evil, "last_model_path": evil}
    state |= {"monitor": "m", "best_model_score": score, "current_score": score, "kth_value": score}
    best = Best(dirpath=folder, monitor="m")
    best.load_state_dict({**state, "best_k_models": {evil: score}})
    for path in (best.best_model_path, best.kth_best_model_path, best.last_model_path, *best.best_k_models):
        assert path == "" or (Path(path).parent == Path(folder) and path.endswith(".ckpt"))


def shape_of(path, name, shape):
    """An array whose header promises more than there is."""
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.npy", content + bytes(80))


def bomb_of(path):
    """Three gigabytes of zeros in three megabytes."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("counts.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(3 * 2**4):
            member.write(bytes(2**26))


ARRAYS = {
    "objects": lambda path: np.savez(path, counts=np.array([print, len], object), names=np.array(["a"])),
    "a shape without end": lambda path: shape_of(path, "counts", (10**12, 10**6)),
    "a negative shape": lambda path: shape_of(path, "counts", (-1, 3)),
    "no archive": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
    "texts": lambda path: np.savez(path, **dict.fromkeys(("counts", "names", "classes"), np.array(["a"]))),
    "nothing": lambda path: np.savez(path),
}  # fmt: skip


@pytest.mark.parametrize("what", [*ARRAYS, pytest.param("a bomb", marks=pytest.mark.soak)])
@pytest.mark.parametrize("work", [write_report, read_stored])
def test_counts_that_are_a_trap_are_one_line(what, work, run, watched, tmp_path):
    (run / "counts.npz").unlink()
    {**ARRAYS, "a bomb": bomb_of}[what](run / "counts.npz")
    assert "counts.npz" in refused(lambda: work(run), watched, tmp_path)


NUMBERS = {
    "deep": '{"name": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "moderately deep": '{"name": ' + "[" * 500 + "]" * 500 + "}",
    "a list": "[]",
    "a long number": '{"name": "a", "mean": {"miou": ' + "9" * 5000 + "}}",
    "text for numbers": '{"name": "a", "mean": {"miou": "<script>"}}',
}


@pytest.mark.parametrize("what", NUMBERS)
@pytest.mark.parametrize("work", [write_report, read_stored])
def test_numbers_that_are_a_trap_are_one_line(what, work, run, watched, tmp_path):
    if what == "text for numbers" and work is read_stored:
        return  # its own numbers come from the counts
    (run / "metrics.json").write_text(NUMBERS[what])
    assert "metrics.json" in refused(lambda: work(run), watched, tmp_path)


def test_an_evaluation_names_no_data_by_a_resolver_or_of_foreign_code(run, say, tmp_path):
    say("evaluate", "run=run", "data=streets", "data.test_samples=2", "data.height=32", "data.width=64",
        "metric=basic", "hydra.run.dir=out", code=0)  # fmt: skip
    out = tmp_path / "here" / "out"
    for value in ("os.system", "${oc.decode:os.system}"):
        changed(out, {"data._target_": value})
        done = say("report", "out", code=0)
        assert "the page has no pictures" in done.err
    assert json.loads((out / "metrics.json").read_text())["images"] > 0
