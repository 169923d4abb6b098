import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.augment.crop import RandomCrop, check_classes
from segkit.types import UserError

IGNORE = 255


def windows(rule, target, size, fit="crop", count=200):
    return [rule.window(target, size, fit, IGNORE, np.random.default_rng(i)) for i in range(count)]


def seen(target, window):
    rows = slice(max(window.top, 0), window.top + window.height)
    return target[rows, max(window.left, 0) : window.left + window.width]


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    low=st.floats(0.2, 4),
    ratio=st.floats(1, 4),
    fit=st.sampled_from(["stretch", "crop"]),
    seed=st.integers(0, 2**32),
)
def test_a_window_lies_in_the_picture_or_holds_all_of_it(height, width, size, low, ratio, fit, seed):
    target = np.zeros((height, width), np.uint8)
    rule = RandomCrop((low, low * ratio))
    top, left, rows, columns = rule.window(target, size, fit, IGNORE, np.random.default_rng(seed))
    for start, length, source in ((top, rows, height), (left, columns, width)):
        assert length >= 1
        assert min(0, source - length) <= start <= max(0, source - length)


def test_without_scale_stretch_takes_the_whole_picture_and_crop_takes_size():
    target = np.zeros((30, 50), np.uint8)
    assert set(windows(RandomCrop(), target, (8, 12), "stretch")) == {(0, 0, 30, 50)}
    crops = windows(RandomCrop(), target, (8, 12))
    assert {(w.height, w.width) for w in crops} == {(8, 12)}
    assert {w.top for w in crops} == set(range(23))  # every place is possible


def test_scale_is_uniform_on_a_logarithmic_axis():
    target = np.zeros((1000, 1000), np.uint8)
    drawn = [w.height for w in windows(RandomCrop((0.5, 2.0)), target, (400, 400), count=2000)]
    shares, _ = np.histogram(np.log2(400 / np.array(drawn)), bins=4, range=(-1.001, 1.001))
    assert shares.sum() == 2000
    assert np.abs(shares / 2000 - 0.25).max() < 0.04


def test_zooming_out_of_a_stretched_picture_keeps_its_proportions():
    (window,) = windows(RandomCrop((0.5, 0.5)), np.zeros((30, 50), np.uint8), (8, 8), "stretch", 1)
    assert (window.height, window.width) == (60, 100)


def rare_target() -> np.ndarray:
    target = np.zeros((60, 80), np.uint8)
    target[:, 40:] = 1
    target[50:52, 7:9] = 2
    target[:5] = IGNORE
    return target


def test_a_directed_crop_shows_the_classes_of_a_picture_equally_often():
    target, rule = rare_target(), RandomCrop(class_prob=1.0)
    crops = windows(rule, target, (16, 16), count=600)
    rare = np.mean([(seen(target, w) == 2).any() for w in crops])
    chance = np.mean(
        [(seen(target, w) == 2).any() for w in windows(RandomCrop(), target, (16, 16), count=600)]
    )
    assert chance < 0.1
    assert 0.28 < rare < 0.5  # a third by choice, some more by chance


def test_the_drawn_pixel_lies_anywhere_in_the_window():
    target = np.zeros((100, 100), np.uint8)
    target[50, 60] = 3
    rule = RandomCrop(class_prob=1.0, classes=[3])
    places = {(50 - w.top, 60 - w.left) for w in windows(rule, target, (4, 5), count=400)}
    assert places == {(i, j) for i in range(4) for j in range(5)}


def test_only_the_given_classes_are_drawn_and_absent_ones_change_nothing():
    target = rare_target()
    crops = windows(RandomCrop(class_prob=1.0, classes=[2, 9]), target, (16, 16))
    assert all((seen(target, w) == 2).any() for w in crops)
    absent = windows(RandomCrop(class_prob=1.0, classes=[9]), target, (16, 16))
    assert np.mean([(seen(target, w) == 2).any() for w in absent]) < 0.2


def test_class_prob_is_the_share_of_directed_crops():
    target = np.zeros((300, 300), np.uint8)
    target[0, 0] = 1
    crops = windows(RandomCrop(class_prob=0.3, classes=[1]), target, (4, 4), count=1000)
    assert abs(np.mean([(seen(target, w) == 1).any() for w in crops]) - 0.3) < 0.05


def test_a_directed_crop_knows_multilabel_and_uint16_targets():
    rare = rare_target()
    several = np.stack([(rare == k) for k in range(3)], 2).astype(np.uint8)
    several[rare == IGNORE] = IGNORE
    wide = rare.astype(np.uint16)
    wide[rare == 2] = 700
    for target, index, value in ((several, 2, 1), (wide, 700, 700)):
        for window in windows(RandomCrop(class_prob=1.0, classes=[index]), target, (8, 8), count=50):
            part = seen(target, window)
            assert ((part if target.ndim == 2 else part[..., index]) == value).any()


def focused(rule, target, focus, fit="crop", size=(16, 16), count=60):
    made = (
        rule.window(target, size, fit, IGNORE, np.random.default_rng(i), focus=focus) for i in range(count)
    )
    return [seen(target, w) for w in made]


@pytest.mark.parametrize(
    ("fit", "scale"), [("crop", (1.0, 1.0)), ("crop", (0.5, 2.0)), ("stretch", (2.0, 4.0))]
)
def test_a_focused_crop_shows_its_class_wherever_it_lies(fit, scale):
    target = rare_target()
    assert all((part == 2).any() for part in focused(RandomCrop(scale), target, 2, fit))
    assert not all((part == 2).any() for part in focused(RandomCrop(scale), target, None, fit))


def test_a_focus_wins_over_the_classes_that_crops_are_directed_at():
    rule = RandomCrop(class_prob=1.0, classes=[1])
    assert all((part == 2).any() for part in focused(rule, rare_target(), 2))


def test_a_focus_that_the_picture_does_not_show_changes_nothing():
    target = rare_target()
    for rule in (RandomCrop(), RandomCrop((0.5, 2.0), class_prob=0.5, max_ratio=0.8)):
        for i in range(20):
            without, absent = (
                rule.window(target, (16, 16), "crop", IGNORE, np.random.default_rng(i), focus=focus)
                for focus in (None, 9)
            )
            assert without == absent


def test_a_focused_crop_that_one_class_fills_is_drawn_again_around_the_focus():
    target = np.zeros((40, 200), np.uint8)
    target[:, 100:] = 1
    parts = focused(RandomCrop(max_ratio=0.75), target, 1, size=(20, 60), count=200)
    assert all((p == 1).any() for p in parts)
    once = np.mean([(p == 0).mean() >= 0.25 for p in focused(RandomCrop(), target, 1, size=(20, 60))])
    assert np.mean([(p == 0).mean() >= 0.25 for p in parts]) > once + 0.2


def test_a_focus_knows_multilabel_and_uint16_targets():
    rare = rare_target()
    several = np.stack([(rare == k) for k in range(3)], 2).astype(np.uint8)
    wide = rare.astype(np.uint16)
    wide[rare == 2] = 700
    assert all((part[..., 2] == 1).any() for part in focused(RandomCrop(), several, 2))
    assert all((part == 700).any() for part in focused(RandomCrop(), wide, 700))


@pytest.mark.parametrize("several", [False, True])
def test_crops_that_one_class_fills_are_drawn_again(several):
    target = np.zeros((40, 200), np.uint8)
    target[:, 100:] = 1
    shown = np.stack([target == 0, target == 1], 2).astype(np.uint8) if several else target

    def mixed(rule):
        parts = [seen(target, w) for w in windows(rule, shown, (20, 60))]
        return np.mean([max(np.mean(p == 0), np.mean(p == 1)) <= 0.75 for p in parts])

    once = mixed(RandomCrop())
    assert once < 0.4
    assert mixed(RandomCrop(max_ratio=0.75)) > 1 - (1 - once) ** 10 - 0.05


def test_a_picture_without_valid_pixels_is_cropped_all_the_same():
    target = np.full((20, 20), IGNORE, np.uint8)
    assert len(windows(RandomCrop(class_prob=1.0, max_ratio=0.5), target, (8, 8), count=5)) == 5


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"scale": [2.0, 0.5]}, "augment.scale"),
        ({"scale": [0.0, 1.0]}, "augment.scale"),
        ({"scale": [1.0]}, "augment.scale"),
        ({"scale": [1.0, float("nan")]}, "augment.scale"),
        ({"class_prob": 1.5}, "augment.crop_class_prob"),
        ({"classes": [-1]}, "augment.crop_classes"),
        ({"classes": []}, "augment.crop_classes"),
        ({"max_ratio": 0.0}, "augment.crop_max_ratio"),
        ({"max_ratio": 1.1}, "augment.crop_max_ratio"),
    ],
)
def test_a_value_out_of_range_is_named(arguments, word):
    with pytest.raises(UserError, match=word) as error:
        RandomCrop(**arguments)
    assert "\n" not in str(error.value)


def test_classes_that_the_data_does_not_have_are_named():
    check_classes(None, 3)
    check_classes([0, 2], 3)
    with pytest.raises(UserError, match=r"crop_classes=\[2, 3\]: the classes are 0 to 2; leave out 3$"):
        check_classes([2, 3], 3)
