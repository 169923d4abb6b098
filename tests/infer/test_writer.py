from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from segkit.infer.predictor import Predictor
from segkit.infer.writer import find_pictures, predict_files, result_names
from segkit.types import LabelSpace, UserError

COLORS = ((10, 20, 30), (200, 0, 0), (0, 200, 0))


def space(count=3, task="multiclass"):
    colors = (COLORS * count)[:count]
    return LabelSpace(
        tuple(f"c/{i}" for i in range(count)), colors, tuple((i,) for i in range(count)), task=task
    )


class Red(nn.Module):
    """Class = red channel of the pixel."""

    def __init__(self, count=3):
        super().__init__()
        self.count = count

    def forward(self, image):
        return 20.0 * (image[:, :1] == torch.arange(self.count)[:, None, None]).float() - 10


PREDICTOR = Predictor(Red(), space())


def put(path, height=6, width=8, classes=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(0).integers(0, classes, (height, width, 3), np.uint8)
    Image.fromarray(image).save(path, **({"quality": 100} if path.suffix == ".jpg" else {}))
    return image[..., 0]


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


def test_folders_are_kept_and_every_kind_is_written(tmp_path):
    truth = put(tmp_path / "in" / "a" / "b.png")
    put(tmp_path / "in" / "c.png", 3, 2)
    summary = predict_files(PREDICTOR, tmp_path / "in", tmp_path / "out", color=True, probabilities=True)
    assert files(tmp_path / "out") == sorted(
        f"{kind}/{name}.{suffix}"
        for kind, suffix in (("index", "png"), ("overlay", "png"), ("color", "png"), ("probability", "npz"))
        for name in ("a/b", "c")
    )
    assert [name for name, _ in summary.done] == ["a/b.png", "c.png"]
    with Image.open(tmp_path / "out/index/a/b.png") as index:
        assert index.mode == "P"
        assert np.array_equal(np.asarray(index), truth)
        assert np.array_equal(np.asarray(index.convert("RGB")), np.array(COLORS)[truth])
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/color/a/b.png")), np.array(COLORS)[truth])
    with np.load(tmp_path / "out/probability/a/b.npz") as kept:
        assert kept["probabilities"].dtype == np.float16
        assert np.array_equal(kept["probabilities"].argmax(0), truth)


def test_only_the_index_is_written_when_nothing_else_is_wanted(tmp_path):
    put(tmp_path / "in" / "a.png")
    predict_files(PREDICTOR, tmp_path / "in" / "a.png", tmp_path / "out", overlay=False)
    assert files(tmp_path / "out") == ["index/a.png"]


def test_a_broken_picture_is_reported_and_the_rest_is_done(tmp_path):
    put(tmp_path / "in" / "a.png")
    put(tmp_path / "in" / "z.png")
    (tmp_path / "in" / "m.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:40])
    (tmp_path / "in" / "n.jpg").write_text("no picture")
    summary = predict_files(PREDICTOR, tmp_path / "in", tmp_path / "out")
    assert [name for name, _ in summary.done] == ["a.png", "z.png"]
    assert [name for name, _ in summary.failed] == ["m.png", "n.jpg"]
    assert all("\n" not in reason for _, reason in summary.failed)
    assert not (tmp_path / "out/index/m.png").exists()


def test_pictures_that_differ_in_their_suffix_alone_both_have_results(tmp_path):
    put(tmp_path / "in" / "a.png")
    put(tmp_path / "in" / "a.jpg")
    put(tmp_path / "in" / "b.png")
    predict_files(PREDICTOR, tmp_path / "in", tmp_path / "out", overlay=False)
    assert files(tmp_path / "out") == ["index/a.jpg.png", "index/a.png.png", "index/b.png"]


@given(st.sets(st.sampled_from(["a", "A", "a.png", "a.jpg", "a.png.png", "b"]), min_size=1), st.data())
def test_results_never_share_a_name(stems, data):
    suffixes = st.sets(st.sampled_from([".png", ".jpg"]), min_size=1)
    pictures = [Path(s + x) for s in sorted(stems) for x in sorted(data.draw(suffixes))]
    pictures = list({p.as_posix().casefold(): p for p in pictures}.values())
    names = result_names(pictures)
    assert len({n.as_posix().casefold() for n in names}) == len(pictures)


def test_a_glob_keeps_the_folders_below_its_fixed_part(tmp_path):
    for name in ("x/1/a.png", "x/2/a.png", "y/1/a.png"):
        put(tmp_path / name)
    predict_files(PREDICTOR, f"{tmp_path}/x/*/a.png", tmp_path / "out", overlay=False)
    assert files(tmp_path / "out") == ["index/1/a.png", "index/2/a.png"]


def test_a_file_name_with_brackets_is_a_file_and_no_glob(tmp_path):
    put(tmp_path / "a[1].png")
    root, found = find_pictures(tmp_path / "a[1].png", tmp_path / "out")
    assert (root, found) == (tmp_path, [tmp_path / "a[1].png"])


def test_a_second_run_does_not_take_the_results_of_the_first_for_pictures(tmp_path):
    put(tmp_path / "in" / "a.png")
    for _ in range(2):
        summary = predict_files(PREDICTOR, tmp_path / "in", tmp_path / "in" / "out")
        assert [name for name, _ in summary.done] == ["a.png"]


def test_the_input_folder_itself_can_be_the_output(tmp_path):
    put(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert len(predict_files(PREDICTOR, tmp_path, tmp_path).done) == 1
    assert (tmp_path / "a.png").read_bytes() == before


def test_inputs_are_never_overwritten(tmp_path):
    put(tmp_path / "index" / "a.png")
    before = (tmp_path / "index" / "a.png").read_bytes()
    with pytest.raises(UserError, match="would overwrite"):
        predict_files(PREDICTOR, tmp_path / "index", tmp_path)
    assert (tmp_path / "index" / "a.png").read_bytes() == before
    assert files(tmp_path) == ["index/a.png"]


def test_a_link_in_the_output_folder_leads_nowhere_else(tmp_path):
    put(tmp_path / "in" / "a" / "b.png")
    put(tmp_path / "in" / "c.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "index").mkdir(parents=True)
    (tmp_path / "out" / "index" / "a").symlink_to(tmp_path / "elsewhere")
    summary = predict_files(PREDICTOR, tmp_path / "in", tmp_path / "out")
    assert [name for name, _ in summary.done] == ["c.png"]
    assert "leads out of" in summary.failed[0][1]
    assert files(tmp_path / "elsewhere") == []


def test_a_glob_cannot_climb_out_of_its_folder(tmp_path):
    put(tmp_path / "in" / "x" / "a.png")
    put(tmp_path / "b.png")
    with pytest.raises(UserError, match="no pictures"):
        predict_files(PREDICTOR, f"{tmp_path}/in/*/../../b.png", tmp_path / "out")


@pytest.mark.parametrize("name", ["missing", "empty", "empty/*.png"])
def test_nothing_to_do_is_one_clear_line(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="give a picture, a folder or a glob"):
        predict_files(PREDICTOR, tmp_path / name, tmp_path / "out")


def test_300_classes_are_kept_in_16_bits(tmp_path):
    image = np.zeros((1, 300, 3), np.uint8)
    image[..., 0] = np.arange(300) % 256
    Image.fromarray(image).save(tmp_path / "a.png")
    predict_files(Predictor(Red(300), space(300)), tmp_path / "a.png", tmp_path / "out", overlay=True)
    with Image.open(tmp_path / "out/index/a.png") as index:
        assert index.mode.startswith("I")
        assert np.array_equal(np.asarray(index)[0], np.arange(300) % 256)


def test_multilabel_gives_a_black_and_white_file_for_each_class(tmp_path):
    truth = put(tmp_path / "a.png")
    predict_files(
        Predictor(Red(), space(task="multilabel")), tmp_path / "a.png", tmp_path / "out", color=True
    )
    assert files(tmp_path / "out" / "index") == ["a/0_c_0.png", "a/1_c_1.png", "a/2_c_2.png"]
    plane = np.asarray(Image.open(tmp_path / "out/index/a/1_c_1.png"))
    assert np.array_equal(plane, np.where(truth == 1, 255, 0))


def test_an_output_that_cannot_be_written_is_one_clear_line(tmp_path):
    put(tmp_path / "a.png")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot write"):
        predict_files(PREDICTOR, tmp_path / "a.png", tmp_path / "out")
