from __future__ import annotations

import cv2
import numpy as np
import pytest

from segkit.analysis.shift import REACH, Match, _common, _is_off, _peak, borders, compare
from segkit.data.streets import scene

SCENES = [scene(3, i, 128, 256) for i in range(12)]


def move(target, down, right):
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float64)
    size = target.shape[1::-1]
    return cv2.warpAffine(target, matrix, size, flags=cv2.INTER_NEAREST, borderValue=255)


def test_borders_are_marked_on_both_sides():
    target = np.zeros((4, 6), np.uint8)
    target[:, 3:] = 1
    assert borders(target).tolist() == [[0, 0, 1, 1, 0, 0]] * 4


def test_borders_of_overlapping_classes_are_those_of_any():
    target = np.zeros((4, 6, 2), np.uint8)
    target[:, 3:, 1] = 1
    target[2:, :, 0] = 1
    both = np.zeros((4, 6))
    both[:, 2:4] = both[1:3] = 1
    assert (borders(target) == both).all()


def test_the_score_is_the_mean_gradient_under_moved_borders():
    """By hand: one vertical border, one vertical edge three pixels to the right of it."""
    image = np.zeros((80, 160, 3), np.uint8)
    image[:, 83:] = 200
    target = np.zeros((80, 160), np.uint8)
    target[:, 80:] = 1
    score = compare(image, np.repeat(target, 1, 0))
    assert score is None  # 2 * 48 pixels of border are too few
    target[:, 20:22] = target[:, 40:42] = target[:, 60:62] = 2  # borders on nothing
    score = compare(image, target)
    assert score.shape == (2 * REACH + 1,) * 2
    columns = score.mean(0)
    assert np.allclose(score, columns)  # nothing changes from row to row
    assert abs(columns.argmax() - REACH - 3) <= 1


@pytest.mark.parametrize(("down", "right"), [(0, 0), (6, 4), (-5, 9), (12, 0), (-3, -8)])
def test_the_peak_lies_where_the_mask_belongs(down, right):
    hits = 0
    for image, target in SCENES:
        y, x = _peak(compare(image, move(target, down, right)))
        hits += np.hypot(y + down, x + right) <= 2
    assert hits >= 10


def test_sound_masks_are_not_off_and_moved_ones_are():
    assert not any(_is_off(compare(*pair)) for pair in SCENES)
    assert sum(_is_off(compare(image, move(target, 10, 5))) for image, target in SCENES) >= 9


def test_a_slope_that_ends_at_the_rim_is_no_peak():
    score = np.add.outer(np.zeros(2 * REACH + 1), np.arange(2 * REACH + 1.0)) ** 6
    assert abs(_peak(score)[1]) == REACH
    assert not _is_off(score)
    assert _common([Match(0, 1.0, score)])[1] == []


def test_what_cannot_be_compared_is_left_out():
    assert compare(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8)) is None  # small
    assert compare(np.zeros((96, 96, 3), np.uint8), SCENES[0][1][:96, :96]) is None  # without edges
    assert compare(SCENES[0][0], np.zeros((128, 256), np.uint8)) is None  # without borders
