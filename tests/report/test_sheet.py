import numpy as np
import pytest

from segkit.report.sheet import Specimen, contact_sheet, outlined
from segkit.types import LabelSpace

LABELS = LabelSpace(("road", "car", "sky"), ((200, 100, 50), (0, 0, 142), (90, 180, 90)), ((0,), (1,), (2,)))
SEVERAL = LabelSpace(LABELS.names, LABELS.colors, LABELS.ids, task="multilabel")


def picture(height=60, width=80):
    target = np.zeros((height, width), np.uint8)
    target[:, width // 2 :] = 2
    return np.full((height, width, 3), 128, np.uint8), target


def colors_of(drawing):
    packed = np.unique(drawing.astype(np.int64) @ [65536, 256, 1]).tolist()
    return {(c >> 16, c >> 8 & 255, c & 255) for c in packed}


def test_each_side_of_an_edge_has_the_colour_of_its_class():
    image, target = picture()
    drawn = outlined(image, target, LABELS, (60, 80))
    assert (drawn[:, 39] == (200, 100, 50)).all()
    assert (drawn[:, 40] == (90, 180, 90)).all()
    assert (np.delete(drawn, [39, 40], axis=1) == 128).all()


def test_the_edge_lies_at_the_same_place_in_a_larger_and_in_a_smaller_drawing():
    image, target = picture()
    for times in (0.5, 4):
        drawn = outlined(image, target, LABELS, (int(60 * times), int(80 * times)))
        (columns,) = np.nonzero((drawn != 128).any((0, 2)))
        assert columns.tolist() == [int(40 * times) - 1, int(40 * times)]


def test_ignored_pixels_are_striped_and_a_dark_class_has_a_line_that_can_be_seen():
    image, target = picture()
    target[:10] = 255
    target[30:, :40] = 1
    drawn = outlined(image, target, LABELS, (60, 80))
    assert {tuple(c) for c in drawn[:10].reshape(-1, 3).tolist()} == {(80, 80, 80), (110, 110, 110)}
    assert (0, 0, 142) not in colors_of(drawn)
    assert (0, 0, 255) in colors_of(drawn)


def test_the_sheet_shows_every_sample_before_and_after():
    image, target = picture()
    after = tuple((np.full((30, 40, 3), 10 * k, np.uint8), np.zeros((30, 40), np.uint8)) for k in (1, 2, 3))
    sheet = contact_sheet([Specimen(f"sample {i}", image, target, after) for i in range(2)], LABELS)
    assert sheet.shape[1] == 1280
    assert sheet.dtype == np.uint8
    shown = colors_of(sheet)
    assert {(10, 10, 10), (20, 20, 20), (30, 30, 30), (128, 128, 128)} <= shown
    one = contact_sheet([Specimen("sample", image, target, after)], LABELS)
    assert one.shape[0] < sheet.shape[0] < 2 * one.shape[0]


def test_the_legend_names_what_occurs_before_or_after():
    image, target = picture()
    first = contact_sheet([Specimen("a", image, target, ((image, target),))], LABELS)
    more = contact_sheet([Specimen("a", image, target, ((image, np.ones_like(target)),))], LABELS)
    assert (0, 0, 142) not in colors_of(first)
    assert (0, 0, 142) in colors_of(more)


@pytest.mark.parametrize("width", [600, 1280])
def test_multilabel_targets_and_long_names_find_room(width):
    image, target = picture()
    planes = np.stack([target == k for k in range(3)], 2).astype(np.uint8)
    specimen = Specimen("a/very/long/name/of/a/sample" * 9, image, planes, ((image, planes),) * 3)
    sheet = contact_sheet([specimen], SEVERAL, width)
    assert sheet.shape[1] == width
    assert (sheet[:, :12] == 255).all()  # nothing is drawn into the margins
    assert (sheet[:, -12:] == 255).all()
