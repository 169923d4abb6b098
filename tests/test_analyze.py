"""`segkit analyze` as a new user meets it: from a wrong folder, by the messages alone, to a training run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.analyze import _divided, _judge
from segkit.data.fault import Fault
from segkit.data.labels import read_labels
from segkit.data.source import FileSource
from segkit.data.streets import scene
from segkit.types import Sample, UserError

QUICK = [
    "data.size=[32,64]",
    "data.batch_size=2",
    "data.num_workers=0",
    "model.depth=2",
    "model.base_width=4",
]
QUICK += ["trainer.max_epochs=1", "threads=1", "logger=none", "test=false", "hydra.run.dir=trained"]
CAMVID = np.array(read_labels("camvid11").colors, np.uint8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))


def _write(folder: Path, encode) -> Path:
    """Twelve street scenes as files; ``encode`` writes a mask from its ids (0..7, 255)."""
    for name in ("images", "masks"):
        (folder / "data" / name).mkdir(parents=True)
    for i in range(12):
        image, ids = scene(3, i, 64, 128)
        Image.fromarray(image).save(folder / f"data/images/{i:02d}.png")
        encode(ids).save(folder / f"data/masks/{i:02d}.png")
    return folder


def _plain(ids):
    return Image.fromarray(ids)


def _palette(ids):
    picture = Image.fromarray(ids)
    picture.putpalette([int(v) for v in np.random.default_rng(5).integers(0, 256, 768)])
    return picture


def _colored(ids):
    return Image.fromarray(np.vstack([CAMVID[:8], np.zeros((248, 3), np.uint8)])[ids])


def _from_one(ids):
    return Image.fromarray(np.where(ids == 255, 0, ids + 1).astype(np.uint8))


def _command_in(text: str, verb: str) -> list[str]:
    """The command line that a message tells the user to type, as its words."""
    found = re.search(rf"python -m (segkit\.{verb} [^;`\n]*)", text)
    assert found, text
    return shlex.split(found[1])[1:]


def _follow(command, folder: Path, *given: str) -> Path:
    """Do what the messages say: train, be told to analyze, analyze, train with what it proposes."""
    told = command("train", *given, *QUICK, cwd=folder)
    assert told.code == 2
    assert told.err.count("\n") == 1
    looked = command("analyze", *_command_in(told.err, "analyze"), "hydra.run.dir=look", cwd=folder)
    assert looked.code == 0, looked.err
    done = command("train", *_command_in(looked.out, "train"), *QUICK, cwd=folder)
    assert done.code == 0, done.err
    assert (folder / "trained/checkpoints/best.ckpt").is_file()
    return folder / "look"


@pytest.mark.parametrize("encode", [_palette, _colored, _plain], ids=["palette", "colors", "indices"])
def test_without_labels_the_messages_lead_to_a_training_run(encode, command, tmp_path):
    folder = _write(tmp_path, encode)
    _follow(command, folder, "data=folder", "data.root=data")


def test_colors_under_an_index_label_space_lead_to_a_color_map(command, tmp_path):
    folder = _write(tmp_path, _colored)
    (folder / "own.yaml").write_text("names: [a, b, c, d, e, f, g, h]\n")
    look = _follow(command, folder, "data=folder", "data.root=data", "data.labels=own.yaml")
    assert read_labels(look / "labels.yaml").masks == "color"


def test_ids_that_count_from_one_lead_to_the_same_names_shifted(command, tmp_path):
    folder = _write(tmp_path, _from_one)
    (folder / "own.yaml").write_text("names: [a, b, c, d, e, f, g, h]\n")
    look = _follow(command, folder, "data=folder", "data.root=data", "data.labels=own.yaml")
    labels = read_labels(look / "labels.yaml")
    assert labels.names == ("a", "b", "c", "d", "e", "f", "g", "h")
    assert labels.ids == tuple((i,) for i in range(1, 9))
    assert 0 in labels.ignore


def test_the_built_in_scenes_have_no_fault_and_their_page_is_written(command, tmp_path):
    small = ["data.train_samples=12", "data.val_samples=4", "data.test_samples=4"]
    small += ["data.height=64", "data.width=128"]
    done = command("analyze", *small, "--strict", "hydra.run.dir=look", cwd=tmp_path)
    assert done.code == 0, done.err + done.out
    found = json.loads((tmp_path / "look/analysis.json").read_text())
    assert found["faults"] == []
    assert "<title>" in (tmp_path / "look/analysis.html").read_text()
    assert list((tmp_path / "look/plots").glob("*.png"))


def test_a_fault_is_told_and_strict_makes_it_an_exit_code(command, tmp_path):
    folder = _write(tmp_path, _plain)
    (folder / "data/masks/03.png").write_bytes(b"")
    (folder / "data/images/07.png").unlink()
    arguments = ["data=folder", "data.root=data", "data.labels=streets"]
    relaxed = command("analyze", *arguments, "hydra.run.dir=look", cwd=folder)
    assert relaxed.code == 0, relaxed.err
    assert "03.png" in relaxed.out
    assert "07.png" in relaxed.out
    strict = command("analyze", *arguments, "--strict", "hydra.run.dir=strict", cwd=folder)
    assert strict.code == 2
    assert (folder / "strict/analysis.html").is_file()  # what was found is written all the same
    assert {f["kind"] for f in json.loads((folder / "strict/analysis.json").read_text())["faults"]} >= {
        "unpaired"
    }


def test_a_second_call_reads_nothing_again_and_a_changed_mask_is_noticed(command, tmp_path, monkeypatch):
    folder = _write(tmp_path, _plain)
    arguments = ["data=folder", "data.root=data", "data.labels=streets"]
    command("analyze", *arguments, "hydra.run.dir=one", cwd=folder)
    mask = folder / "data/masks/05.png"
    cv2.imwrite(str(mask), np.full((64, 128), 3, np.uint8))
    command("analyze", *arguments, "hydra.run.dir=two", cwd=folder)
    one, two = (json.loads((folder / n / "analysis.json").read_text())["balance"] for n in ("one", "two"))
    assert one != two


def test_the_auditor_draws_and_judges_a_preset(command, tmp_path):
    small = ["data.train_samples=6", "data.val_samples=2", "data.test_samples=2", "data.height=64"]
    small += ["data.width=128", "data.size=[64,128]"]
    done = command("analyze", *small, "augment=street", "audit=true", "hydra.run.dir=look", cwd=tmp_path)
    assert done.code == 0, done.err
    assert cv2.imread(str(tmp_path / "look/audit.png")).shape[1] >= 600
    checks = json.loads((tmp_path / "look/audit.json").read_text())["checks"]
    assert {c["name"] for c in checks} >= {"alignment", "classes", "fill", "workers"}
    assert all(c["passed"] is not False for c in checks)


def test_too_few_samples_say_what_to_do(tmp_path):
    samples = [Sample("a", tmp_path / "a.png", tmp_path / "b.png")]
    values = {"split": None, "stratify": False, "val_fraction": 0.15, "test_fraction": 0.15}
    source = FileSource(samples, read_labels("binary"))
    left, faults = _divided({"data": values, "seed": 0}, source, None)
    assert left == samples
    assert [f.kind for f in faults] == ["split"]
    assert "1 sample cannot" in faults[0].message
    assert faults[0].fix.startswith("add samples")


@pytest.mark.parametrize("option", ["workers=0", "workers=-1", "workers=abc", "workers=1.5", "seed=-1"])
def test_numbers_that_cannot_be_are_one_line(option, command, tmp_path):
    done = command("analyze", option, "hydra.run.dir=look", cwd=tmp_path)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert f"{option}: give a whole number" in done.err


def test_the_command_to_train_waits_for_the_faults_that_labels_do_not_mend(command, tmp_path):
    folder = _write(tmp_path, _from_one)
    (folder / "own.yaml").write_text("names: [a, b, c, d, e, f, g, h]\n")
    (folder / "data/masks/03.png").write_bytes(b"")
    options = ["data=folder", "data.root=data", "data.labels=own.yaml", "hydra.run.dir=look"]
    done = command("analyze", *options, cwd=folder)
    assert "when the other errors are mended, train with: python -m segkit.train" in done.out


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("workers=-1", "workers=-1: give a whole number, at least 1"),
        ("workers=0", "workers=0: give a whole number, at least 1"),
        ("workers=abc", "workers=abc: give a whole number, at least 1"),
        ("workers=1.5", "workers=1.5: give a whole number, at least 1"),
        ("seed=-1", "seed=-1: give a whole number, at least 0"),
        ("seed=abc", "seed=abc: give a whole number, at least 0"),
    ],
)
def test_bad_values_are_one_line_that_names_the_key(option, message, command, tmp_path):
    done = command("analyze", option, "hydra.run.dir=look", cwd=tmp_path)
    assert (done.code, done.err) == (2, f"segkit analyze: error: {message}\n")


def test_the_auditor_refuses_classes_that_the_data_does_not_have(command, tmp_path):
    small = ["data.train_samples=6", "data.val_samples=2", "data.test_samples=2", "data.height=64"]
    small += ["data.width=128", "audit=true", "hydra.run.dir=look"]
    done = command("analyze", *small, "augment.crop_classes=[99]", cwd=tmp_path)
    assert done.code == 2
    assert "augment.crop_classes=[99]: the classes are 0 to 7; leave out 99" in done.err


def test_one_fault_is_told_in_the_singular(tmp_path):
    with pytest.raises(UserError, match=r"^1 fault \(strict=true\); see"):
        _judge(tmp_path, [], [Fault("unpaired", "an image without a mask", "add it")])
