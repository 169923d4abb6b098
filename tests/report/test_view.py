import base64
import io

import numpy as np
import pytest
from PIL import Image

from segkit.report.view import BYTES, View, draw_crop, draw_view
from segkit.types import LabelSpace

COLORS = ((128, 64, 128), (200, 0, 142), (70, 130, 180))
LABELS = LabelSpace(("road", "car", "sky"), COLORS, ((0,), (1,), (2,)))
CLEAR = (0, 0, 0, 0)


def opened(uri: str) -> Image.Image:
    head, content = uri.split(",", 1)
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(content)))


def layer(view: View, name: str) -> np.ndarray:
    return np.asarray(opened(view.layers[name]).convert("RGBA"))


def scene(height=40, width=60):
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    target = np.zeros((height, width), np.uint8)
    target[: height // 2] = 2
    target[-4:] = 255
    prediction = np.minimum(target, 2).astype(np.int64)
    prediction[-4:] = 0
    prediction[height // 2 : height // 2 + 10, 5:15] = 1
    return image, target, prediction


def test_layers_have_the_colours_of_the_classes_at_the_size_of_the_picture():
    view = draw_view(*scene(), LABELS, "a/b", "what is seen")
    assert (view.name, view.caption, view.width, view.height) == ("a/b", "what is seen", 60, 40)
    assert opened(view.image).size == (60, 40)
    assert set(view.layers) == {"target", "prediction", "error"}
    target, prediction, error = (layer(view, n) for n in ("target", "prediction", "error"))
    assert target.shape == prediction.shape == error.shape == (40, 60, 4)
    assert tuple(target[0, 0]) == (*COLORS[2], 255)
    assert tuple(prediction[22, 7]) == tuple(error[22, 7]) == (*COLORS[1], 255)
    assert tuple(error[0, 0]) == CLEAR
    assert tuple(error[-1, 0]) == CLEAR  # ignored
    assert len({tuple(c) for c in target[-4:].reshape(-1, 4)}) == 2  # stripes
    assert view.legend == [*zip(LABELS.names, COLORS, strict=True), ("ignored", (112, 112, 112))]


def test_the_error_layer_shows_wrong_pixels_and_no_others():
    image, target, prediction = scene()
    shown = layer(draw_view(image, target, prediction, LABELS), "error")[..., 3] > 0
    np.testing.assert_array_equal(shown, (target != prediction) & (target != 255))


def test_layers_are_palette_pictures_of_few_bits():
    view = draw_view(*scene(), LABELS)
    for uri in view.layers.values():
        assert opened(uri).mode == "P"
        assert len(uri) < 400


def test_large_pictures_are_shrunk_to_960_pixels_without_new_colours():
    image, target, prediction = scene(600, 2000)
    view = draw_view(image, target, prediction, LABELS)
    assert (view.width, view.height) == (960, 288)
    assert {tuple(c) for c in layer(view, "prediction").reshape(-1, 4)} == {(*c, 255) for c in COLORS}


def test_tall_pictures_are_bounded_too():
    view = draw_view(*scene(4000, 100), LABELS)
    assert (view.width, view.height) == (32, 1280)


def test_twelve_noisy_pictures_of_two_megapixels_stay_below_six_megabytes():
    """Nothing packs worse than noise: of the picture, the target and the prediction of 19 classes."""
    rng = np.random.default_rng(0)
    labels = LabelSpace(
        tuple(map(str, range(19))), tuple((9 * i, 255 - 9 * i, 7) for i in range(19)), ((),) * 19
    )
    image = rng.integers(0, 256, (1024, 2048, 3), np.uint8)
    target, prediction = (rng.integers(0, 19, (1024, 2048)).astype(np.uint8) for _ in range(2))
    view = draw_view(image, target, prediction, labels)
    assert view.size <= BYTES <= 6e6 / 12
    assert opened(view.image).size == opened(view.layers["error"]).size == (view.width, view.height)


def test_an_image_of_another_size_is_stretched_to_the_target():
    _, target, prediction = scene()
    view = draw_view(np.zeros((20, 20, 3), np.uint8), target, prediction, LABELS)
    assert opened(view.image).size == (60, 40)


def test_the_background_of_a_binary_task_is_clear_but_its_errors_are_not():
    labels = LabelSpace(("background", "cell"), ((0, 0, 0), (230, 159, 0)), ((0,), (1,)), task="binary")
    target = np.zeros((10, 10), np.uint8)
    target[2:5, 2:5] = 1
    view = draw_view(np.zeros((10, 10, 3), np.uint8), target, np.zeros_like(target), labels)
    assert tuple(layer(view, "target")[0, 0]) == CLEAR
    assert not layer(view, "prediction").any()
    assert tuple(layer(view, "error")[3, 3]) == (0, 0, 0, 255)


def test_of_labels_that_overlap_a_missing_one_is_shown_as_an_error():
    labels = LabelSpace(LABELS.names, COLORS, LABELS.ids, task="multilabel")
    target, prediction = np.zeros((3, 10, 10), np.uint8), np.zeros((3, 10, 10), np.int64)
    target[1, 2:5, 2:5], prediction[2, 7:] = 1, 1
    error = layer(draw_view(np.zeros((10, 10, 3), np.uint8), target, prediction, labels), "error")
    assert tuple(error[3, 3]) == (*COLORS[1], 255)
    assert tuple(error[8, 0]) == (*COLORS[2], 255)
    assert tuple(error[0, 0]) == CLEAR


@pytest.mark.parametrize("k", [300, 254])
def test_more_classes_than_a_palette_has_colours(k):
    colors = tuple((i % 256, i // 256, 9) for i in range(k))
    labels = LabelSpace(tuple(map(str, range(k))), colors, ((),) * k)
    target = np.arange(400).reshape(20, 20).astype(np.int32) % k
    view = draw_view(np.zeros((20, 20, 3), np.uint8), target, target.astype(np.int64), labels)
    shown = layer(view, "target")
    painted = shown[..., 3] > 0
    assert painted.mean() > 0.6
    np.testing.assert_array_equal(shown[painted][:, :3], np.array(colors)[target[painted]])


def test_a_picture_of_one_pixel_has_a_view():
    one = np.zeros((1, 1), np.uint8)
    view = draw_view(np.zeros((1, 1, 3), np.uint8), one, one.astype(np.int64), LABELS)
    assert (view.width, view.height) == (1, 1)
    assert view.legend == [("road", COLORS[0])]


def test_a_crop_shows_the_target_left_and_the_prediction_right():
    image, target, prediction = scene(200, 300)
    view = draw_crop(image, target, prediction, LABELS, (100, 5, 10, 10), "a", "doubt")
    half = (view.width - 8) // 2
    assert opened(view.image).size == (view.width, view.height)
    left, right = (layer(view, n)[..., 3] > 0 for n in ("target", "prediction"))
    assert left[:, :half].all()
    assert not left[:, half:].any()
    assert right[:, -half:].all()
    assert not right[:, :-half].any()
    error = layer(view, "error")[..., 3] > 0
    np.testing.assert_array_equal(error[:, :half], error[:, -half:])
    assert error.any()
    assert draw_view(image, target, prediction, LABELS, "a", "doubt", (100, 5, 10, 10)) == view


def test_a_crop_at_the_edge_stays_inside_the_picture():
    view = draw_crop(*scene(), LABELS, (30, 50, 10, 10))
    assert opened(view.layers["error"]).size == (view.width, view.height)
