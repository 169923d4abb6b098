"""Every fault is put into sound data and named: with its files, its likely cause and its repair."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.analysis.fault import find_faults
from segkit.data.camvid import camvid
from segkit.data.fault import Fault
from segkit.data.folder import folder
from segkit.data.known import CITYSCAPES_COLORS, voc_color
from segkit.data.labels import UNKNOWN, read_labels
from segkit.data.scan import scan
from segkit.data.streets import Streets, scene
from segkit.types import UserError

PARTS = {"train": 12, "val": 8, "test": 8}
SIZE = (96, 192)
STREETS = read_labels("streets")
EIGHT = {"names": [f"c{i}" for i in range(8)], "ignore": [255]}


@pytest.fixture(scope="session")
def scenes():
    """Name -> image, mask of street scenes; the group is the part of the name before the underscore."""
    made = {}
    for part, count in PARTS.items():
        for i in range(count):
            made[f"{part}/{part}{i // 4}_{i}"] = scene(0, i, *SIZE, part)
    return made


class Data:
    """Street scenes as files, and what a test does to them."""

    def __init__(self, root: Path, scenes) -> None:
        self.root, self.scenes, self.names = root, scenes, list(scenes)
        for name, (image, mask) in scenes.items():
            self.write_image(name, image)
            self.write_mask(name, mask)

    def image(self, name: str, suffix: str = ".png") -> Path:
        return self.root / "images" / f"{name}{suffix}"

    def mask(self, name: str, suffix: str = ".png") -> Path:
        return self.root / "masks" / f"{name}{suffix}"

    def write_image(self, name: str, pixels, **options) -> None:
        self._write(self.image(name), pixels, **options)

    def write_mask(self, name: str, values) -> None:
        self._write(self.mask(name), values)

    def each_mask(self, change: Callable) -> None:
        for name, (_, mask) in self.scenes.items():
            self.write_mask(name, change(mask))

    def files(self, *names: str) -> list[str]:
        return [str(self.mask(n)) for n in names]

    @property
    def all_masks(self) -> list[str]:
        return self.files(*sorted(self.names))

    def _write(self, path: Path, pixels, **options) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, **options)

    def source(self, labels=STREETS):
        return folder(self.root, labels, group=r"/([a-z0-9]+)_")

    def find(self, labels=STREETS, **options) -> list[Fault]:
        source = self.source(labels)
        samples = sorted(source.samples)
        return [*source.faults, *find_faults(source, samples, scan(source, samples, workers=1), **options)]


@pytest.fixture
def data(tmp_path, scenes) -> Data:
    return Data(tmp_path, scenes)


def only(faults: list[Fault], kind: str, severity: str = "error") -> Fault:
    """The one fault that there is."""
    assert [(f.kind, f.severity) for f in faults] == [(kind, severity)], [f.line() for f in faults]
    fault = faults[0]
    assert "\n" not in fault.line()
    assert fault.message
    assert fault.fix
    assert not fault.message.endswith(".")
    assert not fault.fix.endswith(".")
    assert len(fault.samples) == len(fault.files)
    return fault


def smooth(mask, by: float = 0.5):
    """Made smaller and larger again, as a careless export does."""
    small = cv2.resize(mask, None, fx=by, fy=by, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(small, mask.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def jpeg(pixels, quality: int = 90):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=quality)
    return np.array(Image.open(content))


def paint(mask, colors) -> np.ndarray:
    """Colours of ids 0..7; 255 is black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    return table[mask]


def things(mask, start: int = 1) -> np.ndarray:
    """A number for each region of the mask, as instance masks have; the picture's border is 0."""
    found = np.zeros(mask.shape, np.int32)
    for value in range(8):
        count, regions = cv2.connectedComponents((mask == value).astype(np.uint8), connectivity=4)
        for region in range(1, count):
            here = regions == region
            if here.sum() >= 20:
                found[here] = start + found.max() if found.any() else start
    values = np.unique(found[found > 0])
    renumbered = np.zeros(found.max() + 1, np.int32)
    renumbered[values] = np.arange(start, start + len(values))
    return renumbered[found].astype(np.uint16)


# --- sound data -------------------------------------------------------------------------------------------


def test_sound_data_has_no_fault(data):
    assert data.find() == []


def test_generated_scenes_have_no_fault():
    source = Streets(STREETS, 12, 8, 8, height=96, width=192)
    assert find_faults(source, source.samples, scan(source, source.samples, workers=1)) == []


def test_instance_masks_are_sound_where_all_but_zero_is_one_class(data):
    data.each_mask(things)
    assert data.find("binary") == []


def test_masks_of_0_and_255_are_sound_under_binary_labels(data):
    data.each_mask(lambda m: np.where(m == 1, 255, 0).astype(np.uint8))
    assert data.find("binary") == []


def test_palette_masks_are_sound(data):
    for name, (_, mask) in data.scenes.items():
        image = Image.fromarray(mask)
        image.putpalette([c for i in range(256) for c in voc_color(i)])
        image.save(data.mask(name))
    assert data.find() == []


def test_colour_masks_are_sound_under_a_label_space_of_colours(data):
    data.each_mask(lambda m: paint(m, STREETS.colors))
    names = [{"name": n, "color": list(c)} for n, c in zip(STREETS.names, STREETS.colors, strict=True)]
    assert data.find({"masks": "color", "names": names, "ignore": [[0, 0, 0]]}) == []


def test_a_mask_of_one_class_and_one_without_foreground_are_no_fault(data):
    data.write_mask("train/train0_1", np.full(SIZE, 1, np.uint8))
    assert data.find() == []


def test_an_image_that_exif_data_turns_onto_its_mask_is_sound(data):
    image, _ = data.scenes["train/train0_1"]
    data.write_image("train/train0_1", np.ascontiguousarray(image[::-1, ::-1]), exif=_orientation(3))
    data.write_image(
        "train/train0_2",
        np.ascontiguousarray(np.rot90(data.scenes["train/train0_2"][0])),
        exif=_orientation(6),
    )
    assert data.find() == []


# --- files and pictures -----------------------------------------------------------------------------------


def test_a_file_without_a_partner(data):
    data.mask("train/train0_1").unlink()
    (fault,) = data.find()
    assert (fault.kind, fault.severity) == ("unpaired", "error")
    assert fault.files == (str(data.image("train/train0_1")),)


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        (lambda b: b"", "empty_file", "no bytes"),
        (lambda b: b[: len(b) // 2], "truncated", "the end of the file is missing"),
        (lambda b: b"no picture at all", "unreadable", "it is no picture"),
        (lambda b: b[:60] + bytes(20) + b[80:], "unreadable", "checksum"),
        (None, "missing", "no such file"),
    ],
    ids=["empty", "truncated", "text", "damaged", "missing"],
)
@pytest.mark.parametrize("what", ["image", "mask"])
def test_a_file_that_cannot_be_read(data, damage, kind, words, what):
    path = getattr(data, what)("val/val0_2")
    source = data.source()
    path.unlink() if damage is None else path.write_bytes(damage(path.read_bytes()))
    samples = sorted(source.samples)
    fault = only(find_faults(source, samples, scan(source, samples, workers=1)), kind)
    assert fault.files == (str(path),)
    assert fault.samples == ("val/val0_2",)
    assert words in fault.message
    assert "copy it anew" in fault.fix


def test_a_mask_of_another_size(data):
    data.write_mask("train/train0_1", data.scenes["train/train0_1"][1][::2, ::2])
    fault = only(data.find(), "size")
    assert fault.files == (str(data.image("train/train0_1")), str(data.mask("train/train0_1")))
    assert "192x96 and 96x48" in fault.message
    assert "nearest neighbour" in fault.fix


def _orientation(value: int):
    exif = Image.Exif()
    exif[274] = value
    return exif


@pytest.mark.parametrize("value", [3, 6, 8])
def test_an_exif_orientation_that_turns_the_image_and_not_the_mask(data, value):
    data.write_image("train/train0_1", data.scenes["train/train0_1"][0], exif=_orientation(value))
    fault = only(data.find(), "exif")
    assert fault.files == (str(data.image("train/train0_1")), str(data.mask("train/train0_1")))
    assert "EXIF orientation turns" in fault.message
    assert "exiftool" in fault.fix


def test_where_edges_say_nothing_about_an_orientation_it_is_a_suspicion(data):
    data.write_image("train/train0_1", data.scenes["train/train0_1"][0], exif=_orientation(3))
    data.write_mask("train/train0_1", np.full(SIZE, 1, np.uint8))
    assert "do not tell" in only(data.find(), "exif", "suspicion").message


def test_an_image_with_a_transparency_channel_that_varies(data):
    image, _ = data.scenes["train/train0_1"]
    alpha = np.full(SIZE, 255, np.uint8)
    data.write_image("train/train0_2", np.dstack([data.scenes["train/train0_2"][0], alpha]))  # says nothing
    alpha[:40] = 0
    data.write_image("train/train0_1", np.dstack([image, alpha]))
    fault = only(data.find(), "alpha", "warning")
    assert fault.files == (str(data.image("train/train0_1")),)
    assert "RGB" in fault.fix


def test_a_grey_image_among_coloured_ones(data):
    data.write_image("train/train0_1", cv2.cvtColor(data.scenes["train/train0_1"][0], cv2.COLOR_RGB2GRAY))
    fault = only(data.find(), "grey", "warning")
    assert fault.files == (str(data.image("train/train0_1")),)
    assert "1 of 28" in fault.message


def test_data_that_is_all_grey_is_sound(data):
    for name, (image, _) in data.scenes.items():
        data.write_image(name, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    assert data.find() == []


def test_an_image_of_one_colour(data):
    for name in ("train/train0_1", "train/train0_2"):  # equal files, but that is not what is wrong with them
        data.write_image(name, np.full((*SIZE, 3), 127, np.uint8))
    fault = only(data.find(), "constant", "warning")
    assert fault.files == (str(data.image("train/train0_1")), str(data.image("train/train0_2")))


def test_a_mask_without_a_labelled_pixel(data):
    data.write_mask("train/train0_1", np.full(SIZE, 255, np.uint8))
    fault = only(data.find(), "empty_mask", "warning")
    assert fault.files == (str(data.mask("train/train0_1")),)


# --- values of masks --------------------------------------------------------------------------------------


def test_ids_outside_the_label_space(data):
    mask = data.scenes["train/train0_1"][1].copy()
    mask[40:44, 50:60] = 77
    data.write_mask("train/train0_1", mask)
    fault = only(data.find(), "unknown")
    assert fault.files == (str(data.mask("train/train0_1")),)
    assert "77 (40 pixels)" in fault.message
    assert "`ids` or `ignore`" in fault.fix
    assert "labels.yaml" in fault.fix


def test_the_written_label_space_is_named_in_the_fix(data):
    data.write_mask("train/train0_1", np.full(SIZE, 9, np.uint8))
    fault = only(data.find(labels_file="outputs/analyze/x/labels.yaml"), "unknown")
    assert "data.labels=outputs/analyze/x/labels.yaml" in fault.fix


def test_palette_masks_that_were_opened_as_colours(data):
    data.each_mask(lambda m: paint(m, [voc_color(i) for i in range(8)]))
    fault = only(data.find(), "palette")
    assert list(fault.files) == data.all_masks
    assert "PASCAL VOC's palette" in fault.message
    assert "(128, 0, 0)" in fault.message
    assert "segkit.analyze" in fault.fix


def test_colour_pictures_of_cityscapes(data):
    data.each_mask(lambda m: paint(m, list(CITYSCAPES_COLORS.values())[:8]))
    assert "the colours of Cityscapes" in only(data.find(), "palette").message


def test_palette_masks_that_became_grey(data):
    data.each_mask(lambda m: cv2.cvtColor(paint(m, [voc_color(i) for i in range(8)]), cv2.COLOR_RGB2GRAY))
    fault = only(data.find(), "palette")
    assert "turned grey" in fault.message
    assert "PASCAL VOC" in fault.message


def test_masks_of_colours_that_no_one_knows(data):
    colors = np.random.default_rng(1).integers(0, 256, (8, 3))
    data.each_mask(lambda m: paint(m, colors))
    fault = only(data.find(), "color")
    assert list(fault.files) == data.all_masks
    assert "9 colours" in fault.message
    assert "({}, {}, {})".format(*colors[1]) in fault.message
    assert "writes a label space" in fault.fix


def test_photographs_given_as_masks(data):
    for name, (image, _) in data.scenes.items():
        data.write_mask(name, image)
    fault = only(data.find(), "color")
    assert "photograph" in fault.message
    assert "data.masks" in fault.fix


def test_one_mask_of_colours_among_indices(data):
    data.write_mask("val/val0_1", paint(data.scenes["val/val0_1"][1], STREETS.colors))
    fault = only(data.find(labels_file="look/labels.yaml"), "color")
    assert fault.files == (str(data.mask("val/val0_1")),)
    assert "labels.yaml" not in fault.fix  # it fits the others
    assert "as the others hold them" in fault.fix


def test_without_a_label_space_masks_are_judged_by_themselves(data):
    data.each_mask(np.zeros_like)
    fault = only(data.find(UNKNOWN), "unknown")
    assert "nothing but the value 0" in fault.message
    assert list(fault.files) == data.all_masks


def test_without_a_label_space_masks_that_were_jpegs_once_are_named(data):
    data.each_mask(lambda m: jpeg((np.minimum(m, 7) * 30).astype(np.uint8)))
    assert "save masks as PNG" in only(data.find(UNKNOWN), "jpeg").fix


@pytest.mark.parametrize("ignore", [[255], []], ids=["255 is ignored", "255 is unknown"])
def test_masks_of_0_and_255_under_other_labels(data, ignore):
    data.each_mask(lambda m: np.where(m == 1, 255, 0).astype(np.uint8))
    fault = only(
        [f for f in data.find({"names": ["a", "b"], "ignore": ignore}) if f.kind != "class_nowhere"], "binary"
    )
    assert list(fault.files) == data.all_masks
    assert "data.labels=binary" in fault.fix


def _cityscapes(ids):
    """Streets' eight ids -> ids of Cityscapes."""
    table = np.zeros(256, np.uint8)
    table[:8], table[255] = ids[:8], ids[8]
    return lambda mask: table[mask]


LABEL_IDS = _cityscapes([0, 7, 11, 17, 21, 23, 24, 26, 3])
TRAIN_IDS = _cityscapes([8, 0, 2, 5, 8, 10, 11, 13, 255])


def test_cityscapes_label_ids_where_train_ids_are_expected(data):
    data.each_mask(LABEL_IDS)
    fault = only(data.find({"names": [f"c{i}" for i in range(19)]}), "label_ids")
    assert list(fault.files) == data.all_masks
    assert "data.labels=cityscapes19" in fault.fix


@pytest.mark.parametrize("void", [255, 0], ids=["with 255", "without"])
def test_cityscapes_train_ids_where_label_ids_are_expected(data, void):
    data.each_mask(lambda m: np.where(m == 255, void, TRAIN_IDS(m)).astype(np.uint8))
    faults = [f for f in data.find("cityscapes19") if f.kind not in ("class_nowhere", "empty_mask")]
    fault = only(faults, "train_ids")
    assert "labelIds.png" in fault.fix
    assert len(fault.files) == 28


def test_ade20k_off_by_one(data):
    table = np.arange(256)
    table[:8], table[255] = [1, 4, 2, 150, 5, 3, 13, 21], 0
    data.each_mask(lambda m: table[m].astype(np.uint8))
    fault = only(data.find({"names": [f"c{i}" for i in range(150)]}), "off_by_one")
    assert "ADE20K" in fault.message
    assert "1 to 150" in fault.fix
    assert "labels.yaml" in fault.fix


def test_ids_that_count_from_one(data):
    data.each_mask(lambda m: np.where(m == 255, 0, m + 1).astype(np.uint8))
    fault = only(data.find(EIGHT), "off_by_one")
    assert "count from 1" in fault.message
    assert "1 to 8" in fault.fix


def test_ids_that_count_from_zero_where_one_is_expected(data):
    names = [{"name": f"c{i}", "ids": i} for i in range(1, 9)]
    fault = only(data.find({"names": names, "ignore": [0]}), "off_by_one")
    assert "0 to 7" in fault.fix


def test_masks_that_are_jpegs(data):
    for name, (_, mask) in data.scenes.items():
        data.mask(name).unlink()
        Image.fromarray(mask).save(data.mask(name, ".jpg"))
    fault = only(data.find(), "jpeg")
    assert fault.files == tuple(str(data.mask(n, ".jpg")) for n in sorted(data.names))
    assert "PNG" in fault.fix


def test_colour_masks_that_were_jpegs_once(data, scenes):
    names = [{"name": n, "color": list(c)} for n, c in zip(STREETS.names, STREETS.colors, strict=True)]
    for name in data.names:  # large, so that most of it is not near an edge
        large = paint(
            cv2.resize(scenes[name][1], None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST), STREETS.colors
        )
        data.write_mask(name, jpeg(large))
        data.write_image(name, cv2.resize(scenes[name][0], None, fx=4, fy=4))
    fault = only(data.find({"masks": "color", "names": names, "ignore": [[0, 0, 0]]}), "jpeg")
    assert "saved as PNG later" in fault.message


def test_smoothed_masks_with_unknown_ids(data):
    data.each_mask(smooth)
    fault = only(data.find(), "antialiased")
    assert list(fault.files) == data.all_masks
    assert "between the values of both sides" in fault.message
    assert "nearest neighbour" in fault.fix


def test_smoothed_masks_whose_ids_are_all_known(data):
    data.each_mask(lambda m: smooth(np.where(m == 255, 0, m).astype(np.uint8)))
    fault = only(data.find(), "antialiased", "warning")
    assert "smoothed edges" in fault.message


def test_smoothed_masks_of_colours(data):
    data.each_mask(lambda m: smooth(paint(m, STREETS.colors)))
    fault = only(data.find(), "color")
    assert "smoothed" in fault.message
    names = [{"name": n, "color": list(c)} for n, c in zip(STREETS.names, STREETS.colors, strict=True)]
    fault = only(data.find({"masks": "color", "names": names, "ignore": [[0, 0, 0]]}), "antialiased")
    assert "`rest: ignore`" in fault.fix


def test_smoothed_masks_of_0_and_255(data):
    data.each_mask(lambda m: smooth(np.where(m == 1, 255, 0).astype(np.uint8)))
    fault = only(data.find("binary"), "antialiased", "warning")
    assert "foreground" in fault.message
    assert only(data.find({"names": ["a", "b"], "ids": [0, 255]}), "antialiased").files


def test_instance_ids_of_16_bits(data):
    data.each_mask(lambda m: np.where(things(m) > 0, things(m) * 37 + 250, 0).astype(np.uint16))
    fault = only(data.find(), "instance_ids")
    assert list(fault.files) == data.all_masks
    assert "one for each thing" in fault.message
    assert "data.labels=binary" in fault.fix


def test_things_that_are_numbered_over_all_masks(data):
    for i, name in enumerate(data.names):  # specks, too: fewer pixels than things have elsewhere
        found = cv2.connectedComponents((data.scenes[name][1] == i % 8).astype(np.uint8))[1]
        cells = np.add.outer(np.arange(SIZE[0]) // 6 * 32, np.arange(SIZE[1]) // 6)
        numbers = np.where(found > 0, 1000 * (i + 1) + cells % 900, 0)
        data.write_mask(name, numbers.astype(np.uint16))
    fault = only([f for f in data.find() if f.kind != "shift"], "instance_ids")
    assert "single mask" in fault.message


def test_things_that_are_numbered_in_each_mask(data):
    data.each_mask(things)
    fault = only(data.find(), "instance_ids")
    assert "counts its own things" in fault.message


def test_instance_ids_of_cityscapes(data):
    def change(mask):
        ids = LABEL_IDS(mask).astype(np.uint16)
        return np.where(ids == 26, 26001, np.where(ids == 24, 24003, ids)).astype(np.uint16)

    data.each_mask(change)
    fault = only(data.find("cityscapes19"), "instance_ids")
    assert "Cityscapes instanceIds" in fault.message
    assert "labelIds.png" in fault.fix


def test_a_mask_with_a_transparency_channel_that_varies(data):
    mask = data.scenes["train/train0_1"][1]
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[10:20] = 9
    data.write_mask("train/train0_1", np.dstack([mask, mask, mask, alpha]))
    fault = only(data.find(), "alpha")
    assert fault.files == (str(data.mask("train/train0_1")),)


def test_masks_of_fractions(data):
    mask = data.scenes["train/train0_1"][1]
    data.mask("train/train0_1").unlink()
    Image.fromarray((mask / 255).astype(np.float32)).save(data.mask("train/train0_1", ".tif"))
    fault = only(data.find(), "fraction")
    assert "whole numbers" in fault.fix


def test_two_mistakes_in_one_folder_are_told_apart(data):
    binary = np.where(data.scenes["train/train0_1"][1] == 1, 255, 0).astype(np.uint8)
    data.write_mask("train/train0_1", binary)
    other = data.scenes["val/val0_1"][1].copy()
    other[30:60, 30:60] = 77
    data.write_mask("val/val0_1", other)
    labels = {"names": [f"c{i}" for i in range(9)], "ids": [*range(8), 254], "ignore": []}
    for name in data.names:
        if name not in ("train/train0_1", "val/val0_1"):
            mask = data.scenes[name][1]
            data.write_mask(name, np.where(mask == 255, 254, mask).astype(np.uint8))
    data.write_mask("val/val0_1", np.where(other == 255, 254, other).astype(np.uint8))
    faults = {f.kind: f for f in data.find(labels)}
    assert faults.keys() == {"binary", "unknown"}
    assert faults["binary"].files == (str(data.mask("train/train0_1")),)
    assert faults["unknown"].files == (str(data.mask("val/val0_1")),)


# --- parts ------------------------------------------------------------------------------------------------


def test_a_group_in_two_parts(data):
    for kind in ("images", "masks"):
        (data.root / kind / "val/val0_1.png").rename(data.root / kind / "val/train0_99.png")
    fault = only(data.find(), "group_leak", "warning")
    assert fault.files == (str(data.image("val/train0_99")),)
    assert "'train0' in train and val" in fault.message
    assert "segkit.split" in fault.fix


@pytest.mark.parametrize("part", PARTS)
def test_a_class_that_a_part_does_not_show(data, part):
    for name, (_, mask) in data.scenes.items():
        if name.startswith(part):
            data.write_mask(name, np.where(mask == 6, 255, mask).astype(np.uint8))
    fault = only(data.find(), "class_missing", "warning")
    assert f"{part} has no pixel of 'human'" in fault.message
    shown = [n for n in sorted(data.names) if not n.startswith(part) and (data.scenes[n][1] == 6).any()]
    assert list(fault.files) == data.files(*shown)
    assert "segkit.split" in fault.fix


def test_a_class_that_is_nowhere(data):
    data.each_mask(lambda m: np.where(m == 6, 255, m).astype(np.uint8))
    fault = only(data.find(), "class_nowhere", "warning")
    assert "'human'" in fault.message
    assert fault.files == ()


# --- copies -----------------------------------------------------------------------------------------------


def _copy(data: Data, one: str, other: str) -> None:
    for place in (data.image, data.mask):
        place(other).write_bytes(place(one).read_bytes())


def test_the_same_file_twice_in_one_part(data):
    _copy(data, "train/train0_1", "train/train2_8")
    fault = only(data.find(), "duplicate", "warning")
    assert fault.files == (str(data.image("train/train0_1")), str(data.image("train/train2_8")))
    assert "more than once in a part" in fault.message
    assert "differ" not in fault.message


def test_the_same_file_in_two_parts(data):
    _copy(data, "train/train0_1", "test/test0_1")
    fault = only(data.find(), "duplicate", "warning")
    assert "in train and test: what is measured was seen in training" in fault.message
    assert {*fault.files} == {str(data.image("train/train0_1")), str(data.image("test/test0_1"))}


def test_copies_with_masks_that_differ_say_so(data):
    data.image("train/train2_8").write_bytes(data.image("train/train0_1").read_bytes())
    faults = [f for f in data.find() if f.kind == "duplicate"]
    assert "1 of them with masks that differ" in only(faults, "duplicate", "warning").message


CHANGES = {
    "jpeg": lambda image: jpeg(image, 60),
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "brighter": lambda image: cv2.convertScaleAbs(image, alpha=1.1, beta=10),
    "noisy": lambda image: np.clip(image + np.random.default_rng(0).normal(0, 5, image.shape), 0, 255).astype(
        np.uint8
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("other", ["test/test0_1", "train/train2_8"], ids=["across", "within"])
def test_a_picture_saved_in_another_way(data, change, other):
    image, mask = data.scenes["train/train0_1"]
    changed = change(image)
    data.write_image(other, changed)
    data.write_mask(other, cv2.resize(mask, changed.shape[1::-1], interpolation=cv2.INTER_NEAREST))
    fault = only(data.find(), "near_duplicate", "warning")
    assert {*fault.files} == {str(data.image("train/train0_1")), str(data.image(other))}
    assert ("in train and test" in fault.message) == other.startswith("test")


# --- shift ------------------------------------------------------------------------------------------------


def move(mask, down: int, right: int):
    """The mask moved, what comes in ignored."""
    return cv2.warpAffine(
        mask,
        np.array([[1, 0, right], [0, 1, down]], np.float64),
        mask.shape[::-1],
        flags=cv2.INTER_NEAREST,
        borderValue=255,
    )


@pytest.mark.parametrize(("down", "right"), [(6, 4), (-5, 8), (0, 3)])
def test_masks_that_are_all_moved(data, down, right):
    data.each_mask(lambda m: move(m, down, right))
    fault = only(data.find(), "shift", "suspicion")
    assert f"({down}, {right}) pixels" in fault.message
    assert len(fault.files) >= 20
    assert {*fault.files} <= {*data.all_masks}


def test_a_single_mask_that_is_moved(data):
    data.write_mask("train/train1_5", move(data.scenes["train/train1_5"][1], 12, 0))
    fault = only(data.find(), "shift", "suspicion")
    assert fault.files == (str(data.mask("train/train1_5")),)
    assert "(12, 0) pixels: 1 of the 28" in fault.message


def test_masks_that_have_nothing_to_do_with_their_images_are_no_shift(data):
    rng = np.random.default_rng(0)
    for name in data.names:
        data.write_image(name, rng.integers(0, 256, (*SIZE, 3), np.uint8))
    assert data.find() == []


# --- targets that are not one file ------------------------------------------------------------------------


def test_a_target_that_cannot_be_made(data):
    source = data.source()

    class Other(type(source)):
        indexed = False

        def read_target(self, sample):
            if sample.name == "val/val0_1":
                raise UserError("the polygon of sample val/val0_1 has two corners; draw it anew")
            return super().read_target(sample)

    other = Other(source.samples, source.labels)
    samples = sorted(other.samples)
    fault = only(find_faults(other, samples, scan(other, samples, workers=1)), "target")
    assert fault.samples == ("val/val0_1",)
    assert fault.message == "the polygon of sample val/val0_1 has two corners"
    assert fault.fix == "draw it anew"


def test_camvid_s_leak_is_found_with_its_layout(tmp_path, scenes):
    for i, (image, mask) in enumerate(list(scenes.values())[:12]):
        part, name = ("train", f"seqa_{i}") if i < 6 else ("val", f"seq{'a' if i == 6 else 'b'}_{i}")
        for place, pixels in ((part, image), (f"{part}annot", mask % 8)):
            (tmp_path / place).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / place / f"{name}.png")
    source = camvid(tmp_path, STREETS)
    faults = find_faults(source, source.samples, scan(source, source.samples, workers=1))
    fault = only([f for f in faults if f.kind != "class_missing"], "group_leak", "warning")
    assert fault.files == (str(tmp_path / "val/seqa_6.png"),)
