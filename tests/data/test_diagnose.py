from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.data.diagnose import count_ids, diagnose
from segkit.data.folder import folder
from segkit.data.ids import pack, unpack
from segkit.data.known import (
    CAMVID_COLORS,
    CITYSCAPES_COLORS,
    palette_of_colors,
    palette_of_greys,
    palettes,
    voc_color,
)
from segkit.data.labels import read_labels, shipped_labels
from segkit.data.read import pack_colors
from segkit.data.smooth import Texture, blended, edges, texture
from segkit.data.streets import scene
from segkit.types import LabelSpace, UserError

STREETS = read_labels("streets")
MASKS = [scene(1, i, 96, 192)[1] for i in range(8)]
TABLE = np.zeros((256, 3), np.uint8)
TABLE[:8] = STREETS.colors


def _diagnose(values, labels, kind="index8", **options):
    ids, counts = np.unique(np.asarray(values), return_counts=True)
    return diagnose(kind, ids, counts, read_labels(labels), **options)


def eight(**more):
    return {"names": [f"c{i}" for i in range(8)], **more}


# --- known palettes ---------------------------------------------------------------------------------------


def test_voc_s_palette_is_the_one_of_its_labels():
    if "voc21" in shipped_labels():
        assert list(read_labels("voc21").colors) == [voc_color(i) for i in range(21)]
    assert voc_color(255) == (224, 224, 192)


def test_cityscapes_and_camvid_have_the_colours_of_their_labels():
    city, camvid = read_labels("cityscapes19"), read_labels("camvid11")
    assert {ids[0]: color for ids, color in zip(city.ids, city.colors, strict=True)} == CITYSCAPES_COLORS
    assert all(CAMVID_COLORS[name] == color for name, color in zip(camvid.names, camvid.colors, strict=True))


def test_a_palette_is_recognised_by_three_colours_that_only_it_has():
    voc = {pack(voc_color(i)) for i in range(21)}
    assert palette_of_colors(voc).title == "PASCAL VOC"
    assert palette_of_colors(voc | {pack((1, 2, 3))}) is None
    assert palette_of_colors({0, pack((128, 0, 0))}) is None  # an aeroplane, or a building of CamVid
    assert palette_of_colors({pack(c) for c in CITYSCAPES_COLORS.values()}).title == "Cityscapes"


@pytest.mark.parametrize("convert", [cv2.COLOR_RGB2GRAY, "L"], ids=["OpenCV", "Pillow"])
def test_a_grey_palette_is_recognised_whoever_converted_it(convert):
    for palette in palettes():
        colors = np.array([[unpack(c) for c in palette.colors]], np.uint8)
        grey = (
            np.array(Image.fromarray(colors).convert("L"))
            if convert == "L"
            else cv2.cvtColor(colors, convert)
        )
        assert {*grey.ravel().tolist()} <= palette.greys


def test_small_ids_are_no_grey_palette():
    assert palette_of_greys({*range(20)}) is None
    assert palette_of_greys({0, 14, 38}) is None  # too few to tell


# --- edges ------------------------------------------------------------------------------------------------


def test_ramps_and_turns_are_counted_by_hand():
    found = edges(np.array([[1, 2, 3, 3, 1, 5, 4]], np.uint8))
    assert found.ramp.tolist() == [[False, True, False, False, False, False, False]]
    assert (found.ramps, found.turns, found.changes, found.pairs) == (1, 2, 5, 6)


def test_a_colour_lies_between_two_only_if_every_channel_does():
    row = pack_colors(
        np.array([[[0, 0, 0], [10, 10, 10], [20, 20, 20]], [[0, 0, 0], [10, 30, 10], [20, 20, 20]]])
    )
    assert edges(row).ramp.tolist() == [[False, True, False], [False, False, False]]


def _small(mask, factor=0.5):
    return cv2.resize(mask, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)


SMOOTHING = {
    "linear": lambda m: cv2.resize(_small(m), m.shape[1::-1], interpolation=cv2.INTER_LINEAR),
    "wide": lambda m: cv2.resize(_small(m, 0.25), m.shape[1::-1], interpolation=cv2.INTER_LINEAR),
    "cubic": lambda m: cv2.resize(_small(m), m.shape[1::-1], interpolation=cv2.INTER_CUBIC),
    "shrunk": lambda m: cv2.resize(m, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
    "blurred": lambda m: cv2.GaussianBlur(m, (3, 3), 0),
}


@pytest.mark.parametrize("smooth", SMOOTHING.values(), ids=SMOOTHING)
@pytest.mark.parametrize("colored", [False, True], ids=["ids", "colours"])
def test_smoothed_masks_are_told_from_drawn_ones(smooth, colored):
    for mask in MASKS:
        drawn = TABLE[mask] if colored else mask
        smoothed = smooth(drawn)
        if colored:
            drawn, smoothed = pack_colors(drawn), pack_colors(smoothed)
        assert texture(drawn) == Texture.PLAIN
        assert texture(smoothed) == Texture.SMOOTH


def test_instances_photographs_and_noise_are_not_smoothed():
    mask = MASKS[0]
    regions = cv2.connectedComponents((mask == 6).astype(np.uint8))[1].astype(np.uint16)
    assert texture(regions) == Texture.PLAIN
    assert texture(pack_colors(scene(1, 0, 96, 192)[0])) == Texture.PLAIN
    assert texture(np.random.default_rng(0).choice([0, 1, 255], (96, 192)).astype(np.uint8)) == Texture.PLAIN
    assert texture(np.zeros((5, 5), np.uint8)) == Texture.PLAIN


def test_a_mixture_is_told_from_a_thin_thing():
    mask = np.zeros((20, 20), np.uint8)
    mask[:, 10:] = 8
    mask[:, 10] = 4  # between
    mask[5, :] = 9  # a line
    assert blended(mask, 4)
    assert not blended(mask, 9)
    assert not blended(mask, 8)


# --- causes -----------------------------------------------------------------------------------------------


def test_values_that_are_all_known_have_no_diagnosis():
    assert _diagnose([0, 1, 255], eight()) is None
    assert _diagnose([0, 3, 77], eight(rest="ignore")) is None
    assert _diagnose([0, 3, 77], "binary") is None


def test_values_are_counted_as_numpy_counts_them():
    for mask in (MASKS[0], MASKS[0].astype(np.uint32) * 70_000, np.zeros((1, 1), np.uint8)):
        ids, counts = count_ids(mask)
        expected = np.unique(mask, return_counts=True)
        assert (ids == expected[0]).all()
        assert (counts == expected[1]).all()


def test_an_unknown_255_is_void():
    found = _diagnose([0, 1, 2, 255], eight(ignore=[]))
    assert (found.kind, "add 255 to `ignore`" in found.fix) == ("unknown", True)


def test_extra_ids_name_the_command_that_writes_a_label_space():
    found = _diagnose([0, 1, 12, 12], eight())
    assert found.kind == "unknown"
    assert "12 (2 pixels)" in found.message
    assert "python -m segkit.analyze" in found.fix
    assert "data.labels=x.yaml" in _diagnose([0, 12], eight(), labels_file="x.yaml").fix


def test_deep_colours_have_a_diagnosis_without_values():
    empty = np.zeros(0, np.int64)
    assert "16 bits" in diagnose("color", empty, empty, STREETS).message


def test_a_photograph_has_too_many_colours_for_a_mask():
    photo = pack_colors(scene(1, 0, 96, 192)[0])
    assert "photograph" in _diagnose(photo, "streets", "color").message
    assert "photograph" not in _diagnose(pack_colors(TABLE[MASKS[0]]), "streets", "color").message


# --- what training says -----------------------------------------------------------------------------------


def _mistake(tmp_path, values, labels):
    for name, pixels in (("images", np.zeros((*np.shape(values)[:2], 3), np.uint8)), ("masks", values)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.asarray(pixels)).save(tmp_path / name / "a.png")
    source = folder(tmp_path, labels)
    with pytest.raises(UserError) as caught:
        source.read(source.samples[0])
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "masks/a.png") in str(caught.value)
    return str(caught.value)


def test_training_on_colours_says_how_to_come_to_a_label_space(tmp_path):
    line = _mistake(tmp_path, TABLE[MASKS[0]], "streets")
    assert "holds colours (RGB), not class indices; " in line
    assert "(128, 64, 128)" in line
    assert "`python -m segkit.analyze data=... data.root=...` writes a label space that fits" in line
    assert "train with data.labels=THAT FILE" in line


def test_training_on_a_palette_turned_rgb_names_the_palette(tmp_path):
    voc = np.array([voc_color(i) for i in range(256)], np.uint8)
    assert "the colours of PASCAL VOC's palette" in _mistake(tmp_path, voc[MASKS[0] % 8], "streets")


def test_training_on_ids_that_count_from_one_says_so(tmp_path):
    line = _mistake(tmp_path, np.where(MASKS[0] == 255, 0, MASKS[0] + 1).astype(np.uint8), eight())
    assert "count from 1" in line
    assert "segkit.analyze" in line


def test_training_on_smoothed_masks_says_so(tmp_path):
    assert "nearest neighbour" in _mistake(tmp_path, SMOOTHING["linear"](MASKS[0]), "streets")


def test_training_on_a_damaged_mask_says_what_reading_said(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        Image.fromarray(MASKS[0]).save(tmp_path / name / "a.png")
    path = tmp_path / "masks/a.png"
    path.write_bytes(path.read_bytes()[:200])
    source = folder(tmp_path, "streets")
    with pytest.raises(UserError, match="it is truncated"):
        source.read_target(source.samples[0])


def _named(first: int, size: int, *void: int) -> LabelSpace:
    names = tuple(f"c{i}" for i in range(size))
    ids = tuple((i,) for i in range(first, first + size))
    return LabelSpace(names, ((0, 0, 0),) * size, ids, ignore=void)


def _kind(labels: LabelSpace, *ids: int) -> tuple[str, str] | None:
    found = diagnose("index8", np.array(ids), np.full(len(ids), 100), labels)
    return found and (found.kind, found.severity)


def test_ids_from_one_are_found_where_255_is_void_and_the_last_id_is_known_as_void():
    camvid = _named(0, 11, 11)
    assert _kind(camvid, *range(1, 12), 255) == ("off_by_one", "error")
    assert _kind(camvid, *range(1, 12)) == ("off_by_one", "warning")  # the first class may be missing
    assert _kind(camvid, *range(12)) is None
    assert _kind(camvid, *range(1, 11)) is None


def test_ids_from_zero_are_found_where_the_label_space_counts_from_one():
    assert _kind(_named(1, 11, 255), *range(11), 255) == ("off_by_one", "error")
    assert _kind(_named(1, 11, 255), *range(12)) == ("unknown", "error")  # 0 is one more class


def test_a_class_times_1000_and_a_number_is_a_thing():
    assert _kind(_named(0, 11, 11), 0, 8, 8001, 8002, 9001) == ("instance_ids", "error")
