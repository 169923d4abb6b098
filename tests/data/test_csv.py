import numpy as np
import pytest
from PIL import Image

from segkit.data.csv import csv
from segkit.types import UserError

LABELS = {"names": ["a", "b"]}


@pytest.fixture
def root(tmp_path):
    for name in ("i/a.png", "i/b.png", "m/a.png", "m/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / name)
    return tmp_path


def table(root, text, **options):
    (root / "t.csv").write_text(text, encoding="utf-8")
    return csv(root, LABELS, file="t.csv", **options)


def test_rows_become_samples(root):
    source = table(root, "\ufeffimage,mask,split,group\ni/a.png,m/a.png,train,p1\ni/b.png,m/b.png,Valid,p2\n")
    assert [(s.name, s.split, s.group) for s in source.samples] == [
        ("i/a", "train", "p1"),
        ("i/b", "val", "p2"),
    ]
    assert source.read(source.samples[0])[1].shape == (2, 3)


def test_other_columns_and_separators_can_be_named(root):
    options = {"image_column": "x", "mask_column": "y", "group_column": "who", "delimiter": ";"}
    source = table(root, "x;y;who;note\ni/a.png;m/b.png;p1;hello, world\n", **options)
    sample = source.samples[0]
    assert (sample.image.name, sample.mask.name, sample.group, sample.split) == ("a.png", "b.png", "p1", "")


def test_without_a_root_paths_are_relative_to_the_table(root):
    (root / "t.csv").write_text("image,mask\ni/a.png,m/a.png\n")
    assert csv(None, LABELS, file=root / "t.csv").samples[0].image == root / "i/a.png"


def test_names_are_safe_even_for_paths_outside_the_root(root):
    (root / "i" / "t.csv").write_text(f"image,mask\n../i/a.png,../m/a.png\n{root}/i/b.png,../m/b.png\n")
    names = [s.name for s in csv(root / "i", LABELS, file="t.csv").samples]
    assert names[0] == "i/a"
    assert not any(name.startswith("/") or ".." in name for name in names)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("img,mask\ni/a.png,m/a.png\n", {}, "no column 'image'.*It has img, mask; set data.image_column"),
        ("image;mask\ni/a.png;m/a.png\n", {}, "set data.delimiter"),
        ("image,mask\ni/a.png,m/a.png\n", {"split_column": "fold"}, "no column 'fold'"),
        (
            "image,mask\ni/c.png,m/b.png\ni/d.png,m/b.png\n",
            {},
            r"t.csv row 2: .*i/c.png does not exist; paths are relative to ",
        ),
        ("image,mask\ni/a.png,\n", {}, "row 2: column 'mask' is empty"),
        ("image,mask,split\ni/a.png,m/a.png,hold-out\n", {}, "row 2: split 'hold-out' is unknown"),
        ('image,mask,split\ni/a.png,m/a.png,"a\nb"\n', {}, r"row 2: split 'a\\nb' is unknown"),
        (f"image,mask\n{'i' * 300}.png,m/a.png\n", {}, "row 2: .*.png does not exist"),
        ("image,mask\n~nobody-is-called-so/a.png,m/a.png\n", {}, "row 2: .*a.png does not exist"),
        ("image,mask\ni/a.png,m/a.png\ni/a.png,m/b.png\n", {}, "both called 'i/a'"),
        ("image,mask\n", {}, "has no rows"),
        ("image,mask\ni/a.png,m/a.png\n", {"delimiter": ""}, "must be one character"),
    ],
)
def test_a_mistake_is_named_with_its_row(root, text, options, message):
    with pytest.raises(UserError, match=message) as caught:
        table(root, text, **options)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_named(root):
    with pytest.raises(UserError, match=r"data.file is not set"):
        csv(root, LABELS, file=None)
    with pytest.raises(UserError, match=r"none.csv does not exist"):
        csv(root, LABELS, file="none.csv")


def test_a_blank_after_the_comma_of_the_header_is_no_part_of_a_column(tmp_path):
    from segkit.data.csv import _rows

    (tmp_path / "list.csv").write_text("image, mask\na.png, b.png\n")
    assert set(_rows(tmp_path / "list.csv", ",")[0]) == {"image", "mask"}


def test_rows_whose_files_do_not_exist_are_left_out_and_told_in_order(root):
    source = table(root, "image,mask\ni/z.png,m/a.png\ni/a.png,m/a.png\ni/c.png,m/c.png\ni/b.png,m/b.png\n")
    assert [s.name for s in source.samples] == ["i/a", "i/b"]
    (fault,) = source.faults
    assert fault.files == tuple(str(root / name) for name in ("i/z.png", "i/c.png", "m/c.png"))
    assert (fault.kind, fault.severity) == ("unpaired", "error")
    assert "3 files of " in fault.message
    assert "missing (rows 2, 4); paths are relative to" in fault.message
