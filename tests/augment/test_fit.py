import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.augment.fit import Window, cut, stretch, stretch_target

SIZES = [(40, 70), (64, 96), (150, 200), (60, 200), (90, 120)]


def coordinates(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and a target whose pixels say where they come from (row * 256 + column)."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, np.full_like(rows, 255)], 2).astype(np.uint8)
    return image, (rows * 256 + columns).astype(np.uint16)


@pytest.mark.parametrize("size", SIZES)
def test_image_and_target_show_the_same_place(size):
    image, target = coordinates(90, 120)
    small = stretch(image.astype(np.float32), size)  # no rounding to grey levels
    small_target = stretch_target(target, size)
    assert small.shape == (*size, 3)
    assert small_target.shape == size
    for channel, place in ((0, small_target // 256), (1, small_target % 256)):
        error = small[..., channel] - place.astype(float)
        assert np.abs(error).max() <= 0.501  # half a source pixel
        assert abs(error.mean()) < 0.02


def test_shrinking_an_image_averages_what_each_pixel_covers():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    means = image.reshape(10, 4, 20, 3, 3).mean((1, 3))
    np.testing.assert_allclose(stretch(image, (10, 20)), means, atol=0.5)


def test_shrinking_one_axis_and_enlarging_the_other_averages_too():
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    rows = image.reshape(10, 4, 30, 3).mean(1)
    expected = cv2.resize(rows.astype(np.float32), (60, 10), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(stretch(image, (10, 60)), expected, atol=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("classes", [1, 2, 5, 64, 65, 130])
def test_every_channel_of_a_multilabel_target_is_resized_alone(dtype, classes):
    target = np.random.default_rng(0).integers(0, 2, (9, 14, classes)).astype(dtype)
    small = stretch_target(target, (5, 20))
    assert small.shape == (5, 20, classes)
    assert small.dtype == dtype
    for k in range(classes):
        np.testing.assert_array_equal(
            small[..., k], stretch_target(np.ascontiguousarray(target[..., k]), (5, 20))
        )


def test_the_same_size_gives_equal_pixels_in_a_new_array():
    image, target = coordinates(9, 14)
    for before, after in ((image, stretch(image, (9, 14))), (target, stretch_target(target, (9, 14)))):
        np.testing.assert_array_equal(before, after)
        assert not np.shares_memory(before, after)


def test_a_window_inside_the_picture_is_cut_out():
    image, target = coordinates(20, 30)
    part, part_target = cut(image, target, Window(3, 5, 8, 9), (8, 9), 65535)
    np.testing.assert_array_equal(part, image[3:11, 5:14])
    np.testing.assert_array_equal(part_target, target[3:11, 5:14])


def test_outside_the_picture_the_image_is_black_and_the_target_ignored():
    image, target = coordinates(20, 30)
    part, part_target = cut(image, target, Window(-4, -10, 40, 60), (20, 30), 65535)
    inside = np.zeros((20, 30), bool)
    inside[2:12, 5:20] = True
    np.testing.assert_array_equal(part_target != 65535, inside)
    np.testing.assert_array_equal(part[..., 2] == 255, inside)
    assert (part[~inside] == 0).all()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_window_gives_the_wanted_size_and_only_values_of_the_source(data):
    whole = st.integers(1, 20)
    height, width = data.draw(whole), data.draw(whole)
    window_height, window_width = data.draw(whole), data.draw(whole)
    window = Window(
        data.draw(st.integers(min(0, height - window_height), max(0, height - window_height))),
        data.draw(st.integers(min(0, width - window_width), max(0, width - window_width))),
        window_height,
        window_width,
    )
    size = (data.draw(whole), data.draw(whole))
    image, target = coordinates(height, width)
    part, part_target = cut(image, target, window, size, 65535)
    assert part.shape == (*size, 3)
    assert part_target.shape == size
    assert set(np.unique(part_target)) <= set(np.unique(target)) | {65535}
    assert (part_target != 65535).any()
