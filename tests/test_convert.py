"""`segkit convert`: from a command line to a folder that trains."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segkit.data.folder import folder
from segkit.data.labels import read_labels
from segkit.data.split import write_split
from segkit.data.streets import Streets

SCENES = ["data=streets", "data.train_samples=2", "data.val_samples=1", "data.test_samples=1"]
SCENES += ["data.height=32", "data.width=48"]


@pytest.fixture
def colored(tmp_path):
    """Five pictures with masks of colours, and the label space that reads them."""
    rng = np.random.default_rng(0)
    colors = np.array([(255, 0, 0), (0, 0, 255)], np.uint8)
    for name in "abcde":
        for place, array in (
            ("images", rng.integers(0, 256, (6, 8, 3))),
            ("masks", colors[rng.integers(0, 2, (6, 8))]),
        ):
            (tmp_path / "in" / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(tmp_path / "in" / place / f"{name}.png")
    (tmp_path / "map.yaml").write_text(
        "masks: color\nnames:\n  - {name: red, color: [255, 0, 0]}\n  - {name: blue, color: [0, 0, 255]}\n"
    )
    return tmp_path


COLORED = ["data=folder", "data.root=in", "data.labels=map.yaml", "output=out"]


def test_generated_scenes_become_files(command, tmp_path):
    done = command("convert", *SCENES, "output=out", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "4 samples (2 train, 1 val, 1 test): out" in done.out
    source = Streets(read_labels("streets"), 2, 1, 1, height=32, width=48)
    again = folder(tmp_path / "out", tmp_path / "out/labels.yaml")
    assert {s.name: s.split for s in again.samples} == {s.name: s.split for s in source.samples}
    for sample in again.samples:
        for one, other in zip(again.read(sample), source.read(sample), strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_command_that_it_prints_reads_coloured_masks_as_indices(command, colored):
    done = command("convert", *COLORED, "images=link", cwd=colored)
    assert done.code == 0, done.err
    use = done.out.splitlines()[-1].removeprefix("use them: ").split()
    assert use == ["data=folder", "data.root=out", "data.labels=out/labels.yaml"]
    again = command("convert", *use, "output=twice", cwd=colored)
    assert again.code == 0, again.err
    for name in "abcde":
        one, two = (Image.open(colored / d / f"masks/{name}.png") for d in ("out", "twice"))
        blue = np.asarray(Image.open(colored / f"in/masks/{name}.png"))[..., 2] == 255
        np.testing.assert_array_equal(np.asarray(one), blue)
        np.testing.assert_array_equal(np.asarray(two), blue)


def test_overlapping_classes_are_used_as_planes(command, tmp_path):
    labels = "data.labels={task: multilabel, names: [a, b], ids: [[1, 2], [2, 5]], rest: none}"
    done = command("convert", *SCENES, labels, "output=out", cwd=tmp_path)
    assert done.code == 0, done.err
    use = done.out.splitlines()[-1].removeprefix("use them: ").split()
    assert use[0] == "data=planes"
    assert command("convert", *use, "output=twice", cwd=tmp_path).code == 0
    masks = {p.relative_to(tmp_path / "out"): p.read_bytes() for p in (tmp_path / "out/masks").rglob("*.png")}
    assert {p: (tmp_path / "twice" / p).read_bytes() for p in masks} == masks


def test_a_frozen_split_becomes_the_official_one(command, colored):
    samples = folder(colored / "in", colored / "map.yaml").samples
    write_split(colored / "split.csv", samples, ["train", "train", "train", "val", "test"])
    done = command("convert", *COLORED, "data.split=split.csv", cwd=colored)
    assert done.code == 0, done.err
    again = folder(colored / "out", colored / "out/labels.yaml")
    assert [s.name for s in again.samples] == ["test/e", "train/a", "train/b", "train/c", "val/d"]


def test_files_without_a_partner_are_left_out_and_told(command, colored):
    (colored / "in/masks/b.png").unlink()
    (colored / "in/masks/c.png").unlink()
    done = command("convert", *COLORED, cwd=colored)
    assert done.code == 0, done.err
    assert "3 samples: out" in done.out
    assert "2 images without a mask" in done.out + done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([*COLORED, "images=move"], "images=move: choose copy, link or none"),
        ([*COLORED, "overwrite=maybe"], "overwrite=maybe: choose true or false"),
        ([*COLORED, "workers=0"], "workers=0: give a whole number"),
        ([*COLORED, "workers=true"], "workers=True: give a whole number"),
        ([*COLORED[:3], "output=in"], "output=in holds something, such as images"),
        (COLORED[:3], "output= must be given"),
        (["output=out"], "data"),
        (["data=folder", "output=out", "data.root=in"], "data.labels is not set"),
        (["data=streets", "output=out", "data.heigth=3"], "did you mean 'data.height'"),
        (["data=streets", "output=out", "data.height=x"], "data.height=x: expected a whole number"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(command, colored, options, message):
    done = command("convert", *options, cwd=colored)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert message in done.err
    assert not (colored / "out").exists()


def test_help_is_printed(command, tmp_path):
    done = command("convert", "--help", cwd=tmp_path)
    assert done.code == 0
    assert "segkit convert: write any data as index masks" in done.out
