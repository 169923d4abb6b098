import numpy as np
import pytest

from segkit.report.paint import flatten, overlay, paint_classes, paint_errors, wrong_pixels
from segkit.report.panel import Picture, prediction_panel, prediction_sheet
from segkit.types import LabelSpace

RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)
LABELS = LabelSpace(("a", "b", "c"), (RED, GREEN, BLUE), ((0,), (1,), (2,)))
MULTI = LabelSpace(("a", "b"), (RED, GREEN), ((1,), (2,)), task="multilabel")


def shows(drawing, color):
    return bool((drawing == color).all(-1).any())


def grey(height, width):
    return np.full((height, width, 3), 120, np.uint8)


def test_ignored_pixels_are_never_wrong():
    target = np.array([[0, 255], [1, 1]], np.uint8)
    assert wrong_pixels(target, np.array([[0, 2], [1, 0]]), LABELS).tolist() == [
        [False, False],
        [False, True],
    ]


def test_errors_have_the_colour_of_the_class_predicted():
    target = np.zeros((8, 8), np.uint8)
    prediction = target.copy()
    prediction[2, 3] = 1
    drawing = paint_errors(grey(8, 8), target, prediction, LABELS)
    assert drawing[2, 3].tolist() == list(GREEN)
    right = np.delete(drawing.reshape(-1, 3), 2 * 8 + 3, 0)
    assert (right == right[:, :1]).all(), "right pixels are grey"


def test_ignored_pixels_are_striped_and_no_class_colour():
    mask = np.full((32, 32), 255, np.uint8)
    drawing = paint_classes(mask, LABELS)
    assert len(np.unique(drawing.reshape(-1, 3), axis=0)) == 2
    assert not any(shows(drawing, c) for c in LABELS.colors)


def test_the_last_label_of_a_multilabel_mask_is_on_top():
    mask = np.array([[[1, 1, 0, 255]], [[1, 0, 0, 255]]])
    assert flatten(mask, MULTI).tolist() == [[1, 0, 2, 255]]


def test_an_overlay_is_half_picture_half_colour_with_full_edges():
    mask = np.zeros((10, 10), np.uint8)
    mask[:, 5:] = 1
    drawing = overlay(grey(10, 10), mask, LABELS)
    assert drawing[5, 1].tolist() == [185, 60, 60]
    assert drawing[5, 5].tolist() == list(GREEN)


def test_the_background_of_a_binary_overlay_is_the_picture_itself():
    labels = LabelSpace(("background", "cell"), ((0, 0, 0), GREEN), ((0,), (1,)), task="binary")
    mask = np.zeros((10, 10), np.uint8)
    mask[4:7, 4:7] = 1
    drawing = overlay(grey(10, 10), mask, labels)
    assert (drawing[mask == 0] == 120).all()
    assert (drawing[mask == 1] != 120).any(1).all()


@pytest.mark.parametrize("shape", [(40, 60), (300, 900), (1, 1), (500, 200)])
def test_a_panel_has_the_width_asked_for(shape):
    target = np.zeros(shape, np.uint8)
    assert prediction_panel(grey(*shape), target, target, LABELS, "name", "mIoU 1.000").shape[1] == 1600


def test_the_legend_names_only_what_occurs():
    target = np.zeros((50, 50), np.uint8)
    prediction = np.where(np.arange(50) < 25, 0, 2).astype(np.uint8).repeat(50).reshape(50, 50)
    panel = prediction_panel(grey(50, 50), target, prediction, LABELS)
    legend = panel[-40:]
    assert shows(legend, RED)
    assert shows(legend, BLUE)
    assert not shows(legend, GREEN)


def test_a_long_legend_takes_more_lines():
    names = tuple(f"a rather long class name {i}" for i in range(60))
    labels = LabelSpace(names, tuple((i, 255 - i, 3 * i) for i in range(60)), tuple((i,) for i in range(60)))
    few, all_of_them = np.zeros((60, 60), np.uint8), np.arange(3600, dtype=np.uint8).reshape(60, 60) % 60
    short = prediction_panel(grey(60, 60), few, few, labels)
    long = prediction_panel(grey(60, 60), all_of_them, all_of_them, labels)
    assert long.shape[0] > short.shape[0]
    assert all(shows(long, c) for c in labels.colors)


def test_an_image_of_another_size_than_its_target_is_stretched():
    target = np.zeros((40, 60), np.uint8)
    assert prediction_panel(grey(20, 30), target, target, LABELS).shape == (
        prediction_panel(grey(40, 60), target, target, LABELS).shape
    )


def test_a_sheet_has_one_row_for_each_picture():
    target = np.zeros((100, 100), np.uint8)
    pictures = [Picture(grey(100, 100), target, target, f"p{i}") for i in range(3)]
    one, three = (prediction_sheet(pictures[:n], LABELS, 800) for n in (1, 3))
    assert (three.shape[0] - one.shape[0]) // 2 > 180, "each row holds pictures of about 190 pixels"
    assert np.array_equal(three[60:200], one[60:200]), "the first row is the same"


def test_multilabel_pictures_have_a_panel():
    target = np.zeros((2, 30, 30), np.uint8)
    target[1, 5:20] = 1
    target[:, 25:] = 255
    panel = prediction_panel(grey(30, 30), target, target.clip(0, 1), MULTI, "x" * 400)
    assert shows(panel, GREEN)


def test_300_classes_can_be_painted():
    labels = LabelSpace(
        tuple(map(str, range(300))),
        tuple((i % 256, i // 2, 9) for i in range(300)),
        tuple((i,) for i in range(300)),
    )
    mask = np.array([[0, 299, 65535, 255]], np.uint16)
    assert paint_classes(mask, labels)[0, 3].tolist() == [255, 127, 9]
    assert prediction_panel(grey(1, 4), mask, mask, labels).shape[1] == 1600
