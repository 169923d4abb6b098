"""`segkit predict` and `segkit.load`: what a trained model makes of new pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

import segkit
from segkit.data.read import read_mask


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (37, 61)), ("deep/er/b.jpg", (64, 64)), ("deep/c.png", (20, 90))):
        path = tmp_path / "shots" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (*size, 3), np.uint8))
    return tmp_path / "shots"


def test_every_picture_of_a_folder_gets_an_index_mask_of_its_own_size_in_the_same_structure(
    finished, command, pictures, tmp_path
):
    options = ["input=shots", "output=out", "save=[overlay,color,probabilities]"]
    done = command("predict", f"run={finished}", *options, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "labelled: 3, left out: 0" in done.out
    masks = sorted(
        p.relative_to(tmp_path / "out/index").as_posix() for p in (tmp_path / "out/index").rglob("*.png")
    )
    assert masks == ["a.png", "deep/c.png", "deep/er/b.png"]
    mask = read_mask(tmp_path / "out/index/a.png")
    assert mask.shape == (37, 61)
    image = np.asarray(Image.open(pictures / "a.png").convert("RGB"))
    model = segkit.load(finished)
    assert (mask == model.predict(image)).all()
    probabilities = model.probabilities(image)
    assert probabilities.shape == (8, 37, 61)
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)
    for kind in ("overlay", "color", "probability"):
        assert len([p for p in (tmp_path / "out" / kind).rglob("*") if p.is_file()]) == 3


def test_a_broken_picture_is_left_out_the_rest_is_done_and_the_exit_code_says_so(
    finished, command, pictures, tmp_path
):
    (pictures / "broken.png").write_bytes((pictures / "a.png").read_bytes()[:200])
    done = command("predict", f"run={finished}", "input=shots", "output=out", cwd=tmp_path)
    assert done.code == 1
    assert "labelled: 3, left out: 1" in done.out
    assert "broken.png" in done.err
    assert len(list((tmp_path / "out/index").rglob("*.png"))) == 3


def test_one_file_and_a_glob_will_do(finished, command, pictures, tmp_path):
    for given in ("shots/a.png", "shots/*.png"):
        done = command("predict", f"run={finished}", f"input='{given}'", "output=out", cwd=tmp_path)
        assert (done.code, "labelled: 1," in done.out) == (0, True), done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["input=nowhere"], "nowhere"),
        (["input=shots", "save=[overlays]"], "save: there is no 'overlays'"),
        (["input=shots", "threshold=2"], "threshold"),
        (["input=shots", "save=color"], "save=color: give a list"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(options, message, finished, command, pictures, tmp_path):
    done = command("predict", f"run={finished}", *options, cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert message in done.err
