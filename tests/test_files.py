import json
import os
import stat

import numpy as np
import pytest
from PIL import Image

from segkit.files import write_bytes, write_csv, write_json, write_npz, write_png, write_text
from segkit.types import UserError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a" / "metrics.json"
    write_text(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)  # the file is there by then, and to be taken away again
        with pytest.raises(UserError, match="No space left"):
            write_bytes(path, b"new", durable=True)
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["metrics.json"]


def test_a_durable_file_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    path, order = tmp_path / "last.ckpt", []
    path.write_bytes(b"old")

    def sync(handle):
        order.append((stat.S_ISDIR(os.fstat(handle).st_mode), path.read_bytes()))

    monkeypatch.setattr("os.fsync", sync)
    write_bytes(path, b"new", durable=True)
    assert order == [(False, b"old"), (True, b"new")]  # first the contents, then the name


def test_an_unwritable_folder_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*choose another folder"):
        write_bytes(tmp_path / "file" / "below.txt", b"")


def test_a_link_is_replaced_and_its_goal_stays(tmp_path):
    (tmp_path / "goal").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "goal")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "goal").read_text() == "mine"
    assert (tmp_path / "link").read_text() == "new"


def test_json_is_strict_and_takes_numpy(tmp_path):
    write_json(
        tmp_path / "a.json",
        {"iou": np.array([0.5, np.nan]), "n": np.int64(3), "inf": float("inf"), "p": tmp_path},
    )
    value = json.loads((tmp_path / "a.json").read_text(), parse_constant=lambda _: pytest.fail("nan in JSON"))
    assert value == {"iou": [0.5, None], "n": 3, "inf": None, "p": str(tmp_path)}


def test_csv_leaves_missing_values_empty(tmp_path):
    write_csv(tmp_path / "a.csv", ["a", "b"], [{"a": 1}, {"a": "x,y", "b": 2}])
    assert (tmp_path / "a.csv").read_text() == 'a,b\n1,\n"x,y",2\n'


def test_npz_comes_back(tmp_path):
    write_npz(tmp_path / "a.npz", counts=np.arange(3), names=np.array(["a", "ü", "c"]))
    with np.load(tmp_path / "a.npz") as back:
        assert back["counts"].tolist() == [0, 1, 2]
        assert back["names"].tolist() == ["a", "ü", "c"]


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_index_png_holds_the_numbers(tmp_path, dtype, top):
    values = np.array([[0, 1, top], [7, 2, 3]], dtype)
    write_png(tmp_path / "a.png", values)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), values)


def test_a_palette_colours_the_numbers_without_changing_them(tmp_path):
    values = np.array([[0, 1], [1, 255]], np.uint8)
    write_png(tmp_path / "a.png", values, [(10, 20, 30), (200, 0, 0)])
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), values)
        assert image.convert("RGB").getpixel((1, 0)) == (200, 0, 0)
