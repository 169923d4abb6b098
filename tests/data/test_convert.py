"""What is converted reads back to the same targets, whatever it was."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segkit.data import convert as module
from segkit.data.convert import convert
from segkit.data.csv import csv
from segkit.data.folder import folder
from segkit.data.labels import read_labels
from segkit.data.planes import planes
from segkit.data.read import read_image, read_mask
from segkit.data.source import FileSource
from segkit.data.streets import Streets
from segkit.types import Sample, UserError

RNG = np.random.default_rng(0)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path, **options)
    return path


def picture(path, size=(5, 7), **options):
    return save(path, RNG.integers(0, 256, (*size, 3)).astype(np.uint8), **options)


def streets(labels="streets"):
    return Streets(read_labels(labels), 3, 2, 1, height=32, width=48)


def merged(root):
    """Ids merged and ignored, nested names, no split."""
    for i in range(4):
        picture(root / f"images/site{i % 2}/{i}.jpg")
        save(root / f"masks/site{i % 2}/{i}.png", RNG.choice([0, 7, 8, 11, 255], (5, 7)).astype(np.uint8))
    spec = {"names": ["rest", "road", "car"], "ids": [[0], [7, 8], [11]], "ignore": [255]}
    return folder(root, spec, group="^(site[0-9])")


def colored(root):
    for split, name in (("train", "a.b"), ("train", "c"), ("val", "c")):
        picture(root / split / "images" / f"{name}.png")
        colors = np.array([(255, 0, 0), (0, 0, 255), (0, 0, 0)], np.uint8)
        save(root / split / "masks" / f"{name}.png", colors[RNG.integers(0, 3, (5, 7))])
    names = [{"name": "red", "color": [255, 0, 0]}, {"name": "blue", "color": [0, 0, 255]}]
    return folder(root, {"masks": "color", "task": "binary", "names": names, "ignore": [[0, 0, 0]]})


def table(root):
    """Names that look like parts and are none, several suffixes, groups and official parts."""
    rows = ["image,mask,split,group"]
    for i, (name, split) in enumerate(
        [("train/x.TIF", "val"), ("val/x.gif", "train"), ("é y, z.png", "test")]
    ):
        image = root / "in" / name
        picture(image)
        save(root / "in/m" / f"{i}.png", RNG.integers(0, 2, (5, 7)).astype(np.uint8))
        rows.append(f'"in/{name}",in/m/{i}.png,{split},patient {i}')
    (root / "t.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return csv(root, {"names": ["a", "b"]}, file="t.csv")


def many(root):
    """More classes than 8 bits hold."""
    picture(root / "images/a.png")
    save(root / "masks/a.png", RNG.choice([0, 255, 256, 299, 300], (5, 7)).astype(np.uint16))
    return folder(root, {"names": [f"c{i}" for i in range(300)], "ignore": [300]})


def turned(root):
    """A photograph and a mask that only EXIF puts upright."""
    exif = Image.Exif()
    exif[274] = 6
    picture(root / "images/a.jpg", exif=exif)
    save(root / "masks/a.png", RNG.integers(0, 2, (5, 7)).astype(np.uint8), exif=exif)
    return folder(root, {"names": ["a", "b"]})


SOURCES = [streets, merged, colored, table, many, turned]


def made(kind, root):
    return kind() if kind is streets else kind(root)


def tail(sample, split):
    """The part of a new name that the old one must end with."""
    return sample.name.removeprefix("images/").removeprefix(f"{split}/").removeprefix("all/")


def assert_same(source, again):
    """Every sample of one source has the pixels and the part of its counterpart in the other."""
    assert len(again.samples) == len(source.samples)
    for sample in source.samples:
        ending = tail(sample, sample.split)
        (twin,) = (s for s in again.samples if tail(s, s.split) == ending and s.split == sample.split)
        (image, target), (image_again, target_again) = source.read(sample), again.read(twin)
        np.testing.assert_array_equal(image_again, image)
        np.testing.assert_array_equal(target_again, target)
        assert target_again.dtype == target.dtype
    assert again.labels.names == source.labels.names
    assert again.labels.colors == source.labels.colors
    assert again.labels.task == source.labels.task


@pytest.mark.parametrize("kind", SOURCES, ids=lambda k: k.__name__)
@pytest.mark.parametrize("images", ["copy", "link"])
def test_folders_and_tables_read_the_same_pixels_and_parts(tmp_path, kind, images):
    source, out = made(kind, tmp_path / "in"), tmp_path / "out"
    written = convert(source, out, images=images)
    assert len(written.samples) == len(source.samples)
    assert_same(source, folder(out, out / "labels.yaml"))
    listed = csv(out, out / "labels.yaml", file="samples.csv")
    assert_same(source, listed)
    assert [s.group for s in listed.samples] == [s.group for s in source.samples]


@pytest.mark.parametrize("kind", [merged, table, turned], ids=lambda k: k.__name__)
def test_masks_alone_go_with_the_images_where_they_are(tmp_path, kind):
    source, out = made(kind, tmp_path / "in"), tmp_path / "out"
    convert(source, out, images="none")
    assert not (out / "images").exists()
    again = csv(out, out / "labels.yaml", file="samples.csv")
    for one, other in zip(source.samples, again.samples, strict=True):
        assert other.image.samefile(one.image)
        np.testing.assert_array_equal(again.read(other)[1], source.read(one)[1])
    with pytest.raises(UserError, match="images=none: these pictures are generated"):
        convert(streets(), tmp_path / "street", images="none")


def test_overlapping_classes_become_one_file_each(tmp_path):
    spec = {"task": "multilabel", "names": ["way", "upright", "sky"], "ids": [[1], [2, 3, 6], [5, 6]]}
    source, out = streets({**spec, "rest": "none"}), tmp_path / "out"
    convert(source, out)
    assert_same(source, planes(out, out / "labels.yaml"))
    assert {p.name for p in (out / "masks").iterdir()} <= set(source.labels.names)
    assert (out / "samples.csv").read_text().startswith("image,split,group\n")


def test_overlapping_classes_with_void_alone_or_nothing_at_all_come_back(tmp_path):
    """A file of 0 and 255 would mean that the class is there, did labels.yaml not say otherwise."""
    root, out = tmp_path / "in", tmp_path / "out"
    for name, values in (("void", [0, 255]), ("both", [1, 255]), ("bare", [0, 0])):
        save(root / "images" / f"{name}.png", np.zeros((1, 2), np.uint8))
        save(root / "masks/car" / f"{name}.png", np.array([values], np.uint8))
    save(root / "masks/bus/void.png", np.array([[0, 1]], np.uint8))
    save(root / "images/empty.png", np.zeros((1, 2), np.uint8))
    names = [{"name": n, "ids": 1} for n in ("bus", "car")]
    source = planes(root, {"task": "multilabel", "names": names})
    convert(source, out)
    again = planes(out, out / "labels.yaml")
    assert_same(source, again)
    assert again.faults == []  # every picture has a file, so that it counts as looked at


def test_masks_are_index_pictures_with_the_colours_of_the_classes(tmp_path):
    source, out = merged(tmp_path / "in"), tmp_path / "out"
    convert(source, out)
    mask = Image.open(out / "masks/site0/0.png")
    assert mask.mode == "P"
    indices, colors = np.asarray(mask), np.asarray(mask.convert("RGB"))
    np.testing.assert_array_equal(indices, source.read_target(source.samples[0]))
    np.testing.assert_array_equal(colors, source.labels.colorize(indices))
    convert(many(tmp_path / "m"), tmp_path / "wide")
    assert read_mask(tmp_path / "wide/masks/a.png").dtype == np.uint16


def test_a_copy_keeps_every_byte_and_a_link_leads_there(tmp_path):
    source = turned(tmp_path / "in")
    image = source.samples[0].image
    convert(source, tmp_path / "copy")
    convert(source, tmp_path / "link", images="link")
    assert (tmp_path / "copy/images/a.jpg").read_bytes() == image.read_bytes()
    assert (tmp_path / "link/images/a.jpg").readlink() == image
    assert read_image(image).shape[:2] == read_mask(tmp_path / "copy/masks/a.png").shape == (7, 5)


def test_a_kind_of_picture_that_folders_do_not_look_for_becomes_png(tmp_path):
    convert(table(tmp_path / "in"), tmp_path / "out")
    assert (tmp_path / "out/images/train/in/val/x.png").is_file()
    assert (tmp_path / "out/images/val/in/train/x.TIF").is_file()


def test_samples_without_a_mask_are_left_out_and_told(tmp_path):
    source = merged(tmp_path / "in")
    source.samples[1] = source.samples[1]._replace(mask=None)
    written = convert(source, tmp_path / "out")
    assert [s.name for s in written.left_out] == [source.samples[1].name]
    assert len(folder(tmp_path / "out", tmp_path / "out/labels.yaml").samples) == 3
    source.samples = [s._replace(mask=None) for s in source.samples]
    with pytest.raises(UserError, match="none of 4 samples has a mask"):
        convert(source, tmp_path / "none")


def test_a_name_like_a_part_does_not_become_one(tmp_path):
    for name in ("train/a", "val/b"):
        picture(tmp_path / "in" / f"{name}.png")
        save(tmp_path / "in/m" / f"{name}.png", np.zeros((5, 7), np.uint8))
    samples = [
        Sample(n, tmp_path / "in" / f"{n}.png", tmp_path / "in/m" / f"{n}.png") for n in ("train/a", "val/b")
    ]
    convert(FileSource(samples, read_labels({"names": ["a", "b"]})), tmp_path / "out")
    again = folder(tmp_path / "out", tmp_path / "out/labels.yaml")
    assert [(s.name, s.split) for s in again.samples] == [("all/train/a", ""), ("all/val/b", "")]


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", ".hidden", "a//b", "a/.b", "..\\a", ""])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    source = merged(tmp_path / "in")
    source.samples[0] = source.samples[0]._replace(name=name)
    with pytest.raises(UserError, match="would lead out of the folder"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["..", "a/b", ".x"])
def test_a_class_that_cannot_be_a_folder_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="cannot be a folder"):
        convert(streets({"task": "multilabel", "names": ["a", name], "rest": "none"}), tmp_path / "out")


def test_only_some_official_parts_are_refused(tmp_path):
    source = merged(tmp_path / "in")
    source.samples[0] = source.samples[0]._replace(split="train")
    with pytest.raises(UserError, match="3 of 4 samples have no official split"):
        convert(source, tmp_path / "out")


def test_what_is_there_is_replaced_only_on_demand_and_only_if_it_is_a_conversion(tmp_path):
    source, out = merged(tmp_path / "in"), tmp_path / "out"
    convert(streets(), out)
    with pytest.raises(UserError, match="holds an earlier conversion; give a new folder, or set overwrite"):
        convert(source, out)
    (out / "notes.txt").write_text("mine")
    convert(source, out, overwrite=True)
    assert_same(source, folder(out, out / "labels.yaml"))
    assert (out / "notes.txt").read_text() == "mine"
    with pytest.raises(UserError, match="holds images, which segkit convert has not written"):
        convert(streets(), tmp_path / "in", overwrite=True)
    with pytest.raises(UserError, match="holds something, such as images"):
        convert(streets(), tmp_path / "in")
    with pytest.raises(UserError, match=r"which is to be converted; give a new folder"):
        convert(folder(out, out / "labels.yaml"), out, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        convert(source, tmp_path / "file")
    assert_same(source, folder(out, out / "labels.yaml"))


def test_a_conversion_that_was_cut_short_does_not_look_finished(tmp_path, monkeypatch):
    source, out = merged(tmp_path / "in"), tmp_path / "out"
    convert(source, out)
    real, calls = module.write_png, []

    def broken(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(module, "write_png", broken)
    with pytest.raises(KeyboardInterrupt):
        convert(source, out, overwrite=True, workers=1)
    assert not (out / "labels.yaml").exists()
    assert not (out / "samples.csv").exists()
    monkeypatch.undo()
    with pytest.raises(UserError, match="holds an unfinished conversion"):
        convert(source, out)
    convert(source, out, overwrite=True)
    assert_same(source, folder(out, out / "labels.yaml"))


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path):
    source = merged(tmp_path / "in")
    save(Path(source.samples[2].mask), np.zeros((3, 3), np.uint8))
    with pytest.raises(UserError, match=r"is 7x5 but its mask .* is 3x3"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out/labels.yaml").exists()
