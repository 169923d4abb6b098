import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segkit.analysis.balance import _quantile, balance
from segkit.data.scan import GRID


@pytest.fixture
def street(data_of, blobs_of, classes_of):
    """Nine images of five classes in two sizes, one without a mask, one that cannot be read."""
    labels = classes_of(5)
    images, targets = blobs_of(labels, 6, 48, 64)
    more, others = blobs_of(labels, 3, 64, 96, seed=1)
    images, targets = [*images, *more], [*targets, *others]
    targets[2] = None
    images[4] = None
    data = data_of(labels, images, targets)
    return data, images, targets


def test_shares_images_and_ignored_pixels_agree_with_plain_counting(street):
    data, _, targets = street
    found = balance(data.samples, data.facts, data.labels)
    assert list(found["parts"]) == ["all", "train", "val", "test"]
    for part, numbers in found["parts"].items():
        held = [t for s, t in zip(data.samples, targets, strict=True) if part in ("all", s.split)]
        held = [t for t in held if t is not None]
        every = np.concatenate([t.ravel() for t in held])
        labelled = every[every != 255]
        assert numbers["masks"] == len(held)
        assert numbers["pixels"] == len(labelled)
        assert numbers["ignored_share"] == pytest.approx((every == 255).mean())
        for k, row in enumerate(numbers["classes"]):
            assert row["pixels"] == (labelled == k).sum()
            assert row["share"] == pytest.approx((labelled == k).mean())
            assert row["images"] == sum((t == k).any() for t in held)
            assert row["image_share"] == pytest.approx(np.mean([(t == k).any() for t in held]))


def test_regions_agree_with_scipy_and_quartiles_lie_within_a_factor_of_two(street):
    data, _, targets = street
    rows = balance(data.samples, data.facts, data.labels)["parts"]["all"]["classes"]
    for k, row in enumerate(rows):
        sizes = []
        for target in targets:
            if target is not None:
                regions, _ = ndimage.label(target == k)
                sizes += np.bincount(regions.ravel())[1:].tolist()
        about = row["region_pixels"]
        assert row["regions"] == len(sizes) == sum(n for _, n in about["bins"])
        assert about["at_least"] <= min(sizes) < 2 * about["at_least"]
        assert about["at_most"] / 2 < max(sizes) <= about["at_most"]
        for name, q in (("lower_quartile", 0.25), ("median", 0.5), ("upper_quartile", 0.75)):
            true = np.quantile(sizes, q, method="inverted_cdf")
            assert true / 2 <= about[name] <= 2 * true


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 2**40), min_size=1, max_size=30), st.sampled_from((0.25, 0.5, 0.75)))
def test_a_quantile_of_any_sizes_lies_in_the_bin_of_the_true_one(sizes, q):
    bins = np.bincount([s.bit_length() - 1 for s in sizes], minlength=63)
    true = np.quantile(sizes, q, method="inverted_cdf")
    assert true / 2 <= _quantile(bins, q) * (1 + 1e-9)
    assert _quantile(bins, q) <= 2 * true * (1 + 1e-9)


def test_classes_that_meet_are_counted_in_pairs(street):
    data, _, targets = street
    together = balance(data.samples, data.facts, data.labels)["together"]
    held = [t for t in targets if t is not None]
    for i in range(5):
        with_i = [t for t in held if (t == i).any()]
        for j in range(5):
            both = sum((t == j).any() for t in with_i)
            assert together["images"][i][j] == both
            assert together["share"][i][j] == pytest.approx(both / len(with_i))


def test_a_class_lies_where_its_pixels_are(data_of, classes_of):
    """Upper half class 0, lower half class 1, of which the left is ignored in one of two images."""
    top_down = np.repeat(np.array([0, 1], np.uint8), GRID // 2)[:, None] * np.ones((1, GRID), np.uint8)
    holed, other = top_down.copy(), np.ones((GRID, GRID), np.uint8)
    holed[GRID // 2 :, : GRID // 2] = 255
    images = [np.zeros((GRID, GRID, 3), np.uint8)] * 2
    data = data_of(classes_of(2), images, [holed, other])
    upper, lower = np.array(balance(data.samples, data.facts, data.labels)["position"], float)
    assert (upper[: GRID // 2] == 0.5).all()
    assert (upper[GRID // 2 :] == 0).all()
    assert (lower[: GRID // 2] == 0.5).all()
    assert (lower[GRID // 2 :] == 1).all()


def test_channels_are_those_of_all_pixels_of_images_of_any_size(street):
    data, images, _ = street
    pixels = np.concatenate([im.reshape(-1, 3) for im in images if im is not None]).astype(float)
    numbers = balance(data.samples, data.facts, data.labels)["parts"]["all"]
    assert numbers["channels"]["mean_255"] == pytest.approx(pixels.mean(0))
    assert numbers["channels"]["std_255"] == pytest.approx(pixels.std(0))
    assert numbers["channels"]["std"] == pytest.approx(pixels.std(0) / 255)
    sizes = [{"height": 48, "width": 64, "images": 5}, {"height": 64, "width": 96, "images": 3}]
    assert numbers["image_sizes"] == sizes


def test_overlapping_classes_share_the_labelled_pixels(data_of, classes_of):
    """Class 0 everywhere, class 1 in a quarter, of a picture whose last row is ignored."""
    target = np.zeros((8, 8, 2), np.uint8)
    target[..., 0], target[:4, :4, 1], target[7] = 1, 1, 255
    data = data_of(classes_of(2, "multilabel"), [np.zeros((8, 8, 3), np.uint8)], [target])
    found = balance(data.samples, data.facts, data.labels)
    rows = found["parts"]["all"]["classes"]
    assert [row["pixels"] for row in rows] == [56, 16]
    assert [row["share"] for row in rows] == [1, pytest.approx(16 / 56)]
    assert found["together"]["images"] == [[1, 1], [1, 1]]


def test_no_readable_mask_still_gives_strict_json(data_of, classes_of):
    data = data_of(classes_of(3), [np.zeros((4, 4, 3), np.uint8), None], [None, None], ["", ""])
    found = balance(data.samples, data.facts, data.labels)
    assert list(found["parts"]) == ["all"]
    assert found["parts"]["all"]["classes"][1]["share"] is None
    assert found["together"]["share"][0] == [None] * 3
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_balance_is_plain_and_strict(street):
    data, _, _ = street
    found = balance(data.samples, data.facts, data.labels)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
