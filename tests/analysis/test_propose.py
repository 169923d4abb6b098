"""From masks without a label space, or with a wrong one, to a label space that reads them."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from segkit.analysis.propose import propose
from segkit.data.folder import folder
from segkit.data.ids import pack
from segkit.data.known import CITYSCAPES_COLORS, voc_color
from segkit.data.labels import UNKNOWN, labels_yaml, read_labels
from segkit.data.scan import scan
from segkit.data.source import FileSource
from segkit.data.streets import Streets, scene
from segkit.types import LabelSpace, UserError

STREETS = read_labels("streets")
MASKS = [scene(0, i, 96, 192)[1] for i in range(8)]


def eight(**more):
    return read_labels({"names": [f"c{i}" for i in range(8)], **more})


def paint(mask, colors):
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    return table[mask]


@pytest.fixture
def given(tmp_path):
    """Write masks, scan them, ask for a proposal."""

    def make(masks, labels=UNKNOWN, palette=None, mode="png"):
        for i, mask in enumerate(masks):
            for name, pixels in (("images", np.zeros((*mask.shape[:2], 3), np.uint8)), ("masks", mask)):
                (tmp_path / name).mkdir(exist_ok=True)
                picture = Image.fromarray(pixels)
                if palette and name == "masks":
                    picture.putpalette([c for color in palette for c in color])
                picture.save(tmp_path / name / f"{i}.{mode if name == 'masks' else 'png'}")
        source = folder(tmp_path, labels)
        return source, propose(source, scan(source, sorted(source.samples), workers=1))

    return make


def reads(source: FileSource, space: LabelSpace, tmp_path: Path) -> list[np.ndarray]:
    """Targets under the proposed label space, through the file that a user gets."""
    path = tmp_path / "labels.yaml"
    path.write_text(labels_yaml(space))
    assert yaml.safe_load(path.read_text())
    again = read_labels(path)
    assert again == space
    return [FileSource([s], again).read_target(s) for s in sorted(source.samples)]


# --- no label space ---------------------------------------------------------------------------------------


def test_plain_ids_become_numbered_classes(given, tmp_path):
    source, proposal = given(MASKS)
    space = proposal.labels
    assert space.names == tuple(f"class_{i}" for i in range(8))
    assert (space.ignore, space.rest) == ((255,), "error")
    assert "8 ids" in proposal.reason
    assert "255 is ignored" in proposal.reason
    for mask, target in zip(MASKS, reads(source, space, tmp_path), strict=True):
        assert (target == mask).all()


def test_gaps_in_the_ids_stay(given):
    _, proposal = given([np.where(m == 255, 255, m * 10).astype(np.uint8) for m in MASKS])
    assert proposal.labels.ids == tuple((i * 10,) for i in range(8))
    assert proposal.labels.names[3] == "class_30"


def test_a_palette_gives_its_colours(given, tmp_path):
    palette = [(i, 255 - i, 7) for i in range(256)]
    source, proposal = given(MASKS, palette=palette)
    assert proposal.labels.colors == tuple(palette[:8])
    assert "the masks' palette" in proposal.reason
    reads(source, proposal.labels, tmp_path)


def test_a_palette_of_greys_says_nothing(given):
    _, proposal = given(MASKS, palette=[(i, i, i) for i in range(256)])
    assert "palette" not in proposal.reason


def test_voc_s_palette_gives_voc_s_names(given, tmp_path):
    things = [np.where(np.isin(m, (5, 6, 7, 255)), m, 0).astype(np.uint8) for m in MASKS]
    source, proposal = given(things, palette=[voc_color(i) for i in range(256)])
    assert proposal.labels == read_labels("voc21")
    assert "PASCAL VOC" in proposal.reason
    reads(source, proposal.labels, tmp_path)


def test_voc_s_palette_on_other_masks_gives_its_colours_and_a_hint(given, tmp_path):
    """Labelling tools write VOC's palette for any classes."""
    source, proposal = given(MASKS, palette=[voc_color(i) for i in range(256)])
    assert proposal.labels.names == tuple(f"class_{i}" for i in range(8))
    assert proposal.labels.colors == tuple(voc_color(i) for i in range(8))
    assert "data.labels=voc21" in proposal.reason
    reads(source, proposal.labels, tmp_path)


@pytest.mark.parametrize(("value", "words"), [(255, "0 and 255"), (1, "0 and 1")])
def test_two_values_are_background_and_foreground(given, value, words):
    _, proposal = given([np.where(m == 1, value, 0).astype(np.uint8) for m in MASKS])
    assert proposal.labels == read_labels("binary")
    assert words in proposal.reason


def test_numbered_things_are_foreground(given):
    masks = []
    for i in range(8):
        mask = np.zeros((96, 192), np.uint16)
        for n in range(20 + i):
            mask[4 * (n % 20) : 4 * (n % 20) + 3, 12 * (n // 20) : 12 * (n // 20) + 8] = n + 1
        masks.append(mask)
    _, proposal = given(masks)
    assert proposal.labels == read_labels("binary")
    assert "numbers its own things" in proposal.reason


def test_all_train_ids_of_cityscapes_get_their_names(given):
    mask = np.repeat(np.arange(20), 12)[None].repeat(40, 0)
    _, proposal = given([np.where(mask == 19, 255, mask).astype(np.uint8)])
    assert proposal.labels.names == read_labels("cityscapes19").names
    assert proposal.labels.ids == tuple((i,) for i in range(19))


def test_values_on_smoothed_edges_are_no_classes(given, tmp_path):
    def smooth(mask):
        small = cv2.resize(mask, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)
        return cv2.resize(small, mask.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    source, proposal = given([smooth(np.where(m == 1, 255, 0).astype(np.uint8)) for m in MASKS])
    assert (proposal.labels.task, proposal.labels.ids) == ("binary", ((0,), (255,)))
    assert proposal.labels.rest == "ignore"
    assert "smoothed" in proposal.reason
    reads(source, proposal.labels, tmp_path)


def as_jpeg(mask):
    content = io.BytesIO()
    Image.fromarray(mask).save(content, "JPEG", quality=90)
    return np.array(Image.open(content))


def test_0_and_255_that_were_jpegs_once_are_no_dozen_of_classes(given, tmp_path):
    source, proposal = given([as_jpeg(np.where(m == 3, 255, 0).astype(np.uint8)) for m in MASKS])
    assert (proposal.labels.ids, proposal.labels.rest) == (((0,), (255,)), "ignore")
    for mask, target in zip(MASKS, reads(source, proposal.labels, tmp_path), strict=True):
        valid = target != 255
        assert valid.mean() > 0.9
        assert (target[valid] == (mask[valid] == 3)).all()


def test_classes_that_were_jpegs_once_get_no_proposal(given):
    masks = [as_jpeg((np.minimum(m, 7) * 30).astype(np.uint8)) for m in MASKS]
    assert given(masks)[1] is None
    assert given(masks, eight())[1] is None


def things(mask, first):
    """16-bit numbers of things, that no other mask has."""
    found = cv2.connectedComponents((mask == 2).astype(np.uint8))[1]
    small = np.arange(9 * 16).reshape(9, 16).repeat(mask.shape[0] // 9 + 1, 0).repeat(mask.shape[1] // 16, 1)
    cells = small[: mask.shape[0]] * (found > 0)
    return np.where(cells > 0, cells + first, 0).astype(np.uint16)


@pytest.mark.parametrize("labels", [UNKNOWN, STREETS], ids=["no labels", "labels"])
def test_things_that_are_numbered_over_all_masks_are_foreground(labels, given):
    _, proposal = given([things(m, 300 * (i + 1)) for i, m in enumerate(MASKS)], labels)
    assert proposal.labels == read_labels("binary")
    assert "single mask" in proposal.reason


def test_what_holds_no_classes_gets_no_proposal(given, tmp_path):
    assert given([scene(0, i, 96, 192)[0] for i in range(3)])[1] is None  # photographs


def test_jpegs_get_no_proposal(given):
    assert given(MASKS[:3], mode="jpg")[1] is None


# --- colours ----------------------------------------------------------------------------------------------


def test_colours_become_classes_named_after_them(given, tmp_path):
    colors = [(10, 20, 30), (200, 10, 10), (10, 200, 10), (10, 10, 200), (99, 99, 9), (9, 99, 99), (1, 2, 3)]
    colors.append((77, 0, 77))
    source, proposal = given([paint(m, colors) for m in MASKS])
    space = proposal.labels
    assert space.masks == "color"
    assert {*space.names} == {"_".join(("color", *map(str, c))) for c in colors} | {"background"}
    assert space.rest == "error"
    for mask, target in zip(MASKS, reads(source, space, tmp_path), strict=True):
        for value, color in enumerate(colors):
            index = space.ids.index((pack(color),))
            assert ((target == index) == (mask == value)).all()


def test_colours_of_a_shipped_label_space_get_its_names(given, tmp_path):
    city = list(CITYSCAPES_COLORS.values())[:8]
    source, proposal = given([paint(m, city) for m in MASKS])
    assert {*proposal.labels.names} == {*read_labels("cityscapes19").names[:8]}
    assert proposal.labels.ignore == (0,)  # black is void there
    assert "cityscapes19" in proposal.reason
    reads(source, proposal.labels, tmp_path)


def test_colours_of_voc_get_its_names_and_the_border_is_ignored(given, tmp_path):
    colors = [voc_color(i) for i in range(8)]
    table = paint(np.arange(256), colors)
    table[255] = voc_color(255)
    source, proposal = given([table[m] for m in MASKS])
    assert {*proposal.labels.names} == {*read_labels("voc21").names[:8]}
    assert proposal.labels.ignore == (pack((224, 224, 192)),)
    reads(source, proposal.labels, tmp_path)


def test_the_names_that_were_given_are_kept_where_their_colours_are_found(given, tmp_path):
    source, proposal = given([paint(m, STREETS.colors) for m in MASKS], STREETS)
    assert proposal.labels.names == STREETS.names  # in their order, and black is no class
    assert proposal.labels.ignore == (0,)
    assert "the given label space's" in proposal.reason
    reads(source, proposal.labels, tmp_path)


def test_the_colours_of_camvid_get_its_names_and_black_is_void(given):
    camvid = read_labels("camvid11")
    _, proposal = given([paint(m, camvid.colors[:8]) for m in MASKS])
    assert {*proposal.labels.names} <= {*camvid.names}
    assert len(proposal.labels.names) == 8
    assert proposal.labels.ignore == (0,)


def test_mixed_colours_of_smoothed_edges_are_ignored(given, tmp_path):
    def smooth(pixels):
        small = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)
        return cv2.resize(small, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    source, proposal = given([smooth(paint(m, STREETS.colors)) for m in MASKS], STREETS)
    space = proposal.labels
    assert space.names[:8] == STREETS.names
    assert len(space.names) <= 12  # of hundreds of colours
    assert space.rest == "ignore"
    assert "smoothed" in proposal.reason
    reads(source, space, tmp_path)


def test_a_colour_that_the_given_ones_do_not_know_becomes_one_more_class(given, tmp_path):
    names = [{"name": n, "color": list(c)} for n, c in zip(STREETS.names, STREETS.colors, strict=True)]
    labels = read_labels({"masks": "color", "names": names[:7], "ignore": [[0, 0, 0]]})
    source, proposal = given([paint(m, STREETS.colors) for m in MASKS], labels)
    assert proposal.labels.names[:7] == STREETS.names[:7]
    assert proposal.labels.ids[7] == (pack(STREETS.colors[7]),)
    reads(source, proposal.labels, tmp_path)


# --- a label space that does not fit ----------------------------------------------------------------------


def test_a_label_space_that_fits_gets_no_proposal(given):
    assert given(MASKS, STREETS)[1] is None


def test_ids_from_one_keep_their_names(given, tmp_path):
    source, proposal = given([np.where(m == 255, 0, m + 1).astype(np.uint8) for m in MASKS], eight())
    assert proposal.labels.names == eight().names
    assert proposal.labels.ids == tuple((i + 1,) for i in range(8))
    assert proposal.labels.ignore == (0, 255)
    for mask, target in zip(MASKS, reads(source, proposal.labels, tmp_path), strict=True):
        assert (target == mask).all()


def test_ids_from_zero_where_one_was_expected(given, tmp_path):
    names = [{"name": f"c{i}", "ids": i + 1} for i in range(8)]
    source, proposal = given(MASKS, read_labels({"names": names, "ignore": [0]}))
    assert proposal.labels.ids == tuple((i,) for i in range(8))
    for mask, target in zip(MASKS, reads(source, proposal.labels, tmp_path), strict=True):
        assert (target == mask).all()


def test_ids_from_one_keep_their_names_where_the_last_id_was_taken_for_void(given, tmp_path):
    shifted = [np.where(m == 255, m, m + 1).astype(np.uint8) for m in MASKS]
    source, proposal = given(shifted, eight(ignore=[8]))
    assert proposal.labels.ids == tuple((i + 1,) for i in range(8))
    for mask, target in zip(MASKS, reads(source, proposal.labels, tmp_path), strict=True):
        assert (target == mask).all()


def test_ids_from_zero_where_zero_is_not_known(given, tmp_path):
    names = [{"name": f"c{i}", "ids": i + 1} for i in range(8)]
    source, proposal = given(MASKS, read_labels({"names": names}))
    assert proposal.labels.ids == tuple((i,) for i in range(8))
    reads(source, proposal.labels, tmp_path)


@pytest.mark.parametrize("labels", [UNKNOWN, eight()], ids=["none", "given"])
def test_a_class_times_1000_and_a_number_gets_no_proposal(labels, given):
    numbered = [np.where(m == 7, 7000 + i + np.arange(192) // 24, m % 255) for i, m in enumerate(MASKS)]
    assert given([m.astype(np.uint16) for m in numbered], labels)[1] is None


def test_unknown_ids_become_more_classes(given, tmp_path):
    changed = [m.copy() for m in MASKS]
    changed[0][20:40, 20:40] = 12
    source, proposal = given(changed, eight())
    assert proposal.labels.names == (*eight().names, "class_12")
    assert proposal.labels.ids[-1] == (12,)
    assert len({*proposal.labels.colors}) == 9
    reads(source, proposal.labels, tmp_path)


def test_unknown_ids_on_smoothed_edges_become_no_classes(given, tmp_path):
    def smooth(mask):
        small = cv2.resize(mask, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)
        return cv2.resize(small, mask.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    masks = [smooth(m) for m in MASKS]
    masks[0][20:40, 20:40] = 12
    source, proposal = given(masks, eight())
    assert proposal.labels.names == (*eight().names, "class_12")
    assert proposal.labels.rest == "ignore"
    assert "smoothed" in proposal.reason
    reads(source, proposal.labels, tmp_path)


def test_more_classes_than_there_are_colours(given, tmp_path):
    labels = read_labels({"names": [f"c{i}" for i in range(260)], "ignore": []})
    mask = np.arange(270, dtype=np.uint16)
    mask[mask == 7] = 500  # with a gap: without, they could be numbers of things
    mask = mask.reshape(18, 15).repeat(4, 0).repeat(4, 1)
    source, proposal = given([mask] * 3, labels)
    assert len(proposal.labels.names) == 271  # 7 is not in the masks
    reads(source, proposal.labels, tmp_path)


def test_an_unknown_255_is_ignored(given):
    _, proposal = given(MASKS, eight(ignore=[]))
    assert proposal.labels == eight()


def test_masks_of_0_and_255_under_other_labels_are_binary(given):
    _, proposal = given([np.where(m == 1, 255, 0).astype(np.uint8) for m in MASKS], eight())
    assert proposal.labels == read_labels("binary")


CITY = np.zeros(256, np.uint8)
CITY[:8], CITY[255] = [0, 7, 11, 17, 21, 23, 24, 26], 3


def test_label_ids_where_train_ids_were_expected(given, tmp_path):
    source, proposal = given([CITY[m] for m in MASKS], read_labels({"names": [f"c{i}" for i in range(19)]}))
    assert proposal.labels == read_labels("cityscapes19")
    reads(source, proposal.labels, tmp_path)


def test_train_ids_where_label_ids_were_expected(given, tmp_path):
    source, proposal = given(MASKS, read_labels("cityscapes19"))
    assert proposal.labels.names == read_labels("cityscapes19").names
    assert proposal.labels.ids[18] == (18,)
    for mask, target in zip(MASKS, reads(source, proposal.labels, tmp_path), strict=True):
        assert (target == mask).all()


def test_a_proposal_is_for_files_only(given):
    source = Streets(UNKNOWN, 2, 1, 1, height=64, width=128)
    assert propose(source, scan(source, source.samples, workers=1)) is None


def test_the_first_mistake_is_gone_with_the_proposal(given, tmp_path):
    source, proposal = given([paint(m, STREETS.colors) for m in MASKS], STREETS)
    with pytest.raises(UserError, match="colours"):
        source.read(source.samples[0])
    fixed = FileSource(source.samples, proposal.labels)
    assert fixed.read(fixed.samples[0])[1].shape == MASKS[0].shape
