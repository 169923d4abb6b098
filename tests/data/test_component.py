import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from segkit.data.component import (
    count_regions,
    count_values,
    find_overlapping,
    find_regions,
    find_runs,
    relabel,
    translate,
)
from segkit.data.labels import read_labels

MASKS = st.tuples(st.integers(1, 14), st.integers(1, 14)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 255]))
)


def reference(mask, num_classes):
    """Sizes of the 4-connected regions of each class, by scipy."""
    sizes = []
    for k in range(num_classes):
        region, _ = ndimage.label(mask == k)
        sizes.append(sorted(np.bincount(region.ravel())[1:].tolist()))
    return sizes


def found(mask, num_classes):
    regions = find_regions(find_runs(mask), num_classes)
    return [sorted(regions.sizes[regions.classes == k].tolist()) for k in range(num_classes)]


def spiral(size):
    """Two winding arms, one pixel wide: links that run through the whole picture."""
    mask = np.zeros((size, size), np.uint8)
    y = x = 0
    dy, dx = 0, 1
    mask[0, 0] = 1
    for length in [size - 1, *(n for n in range(size - 1, 1, -2) for _ in (0, 1))]:
        for _ in range(length):
            y, x = y + dy, x + dx
            mask[y, x] = 1
        dy, dx = dx, -dy
    return mask


@settings(max_examples=300, deadline=None, database=None)
@given(MASKS)
def test_regions_are_those_of_scipy(mask):
    assert found(mask, 3) == reference(mask, 3)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.6, 0.95])
def test_regions_of_noise_are_those_of_scipy(share):
    rng = np.random.default_rng(0)
    mask = np.where(rng.random((130, 170)) < share, 0, rng.choice([1, 2, 255], (130, 170))).astype(np.uint8)
    assert found(mask, 3) == reference(mask, 3)


@pytest.mark.parametrize("turns", range(4))
def test_a_spiral_is_one_region(turns):
    mask = np.rot90(spiral(41), turns)
    assert found(mask, 2) == reference(mask, 2)
    assert len(found(mask, 2)[1]) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
def test_a_single_row_or_column_has_regions(shape):
    mask = np.random.default_rng(1).integers(0, 3, shape).astype(np.uint8)
    assert found(mask, 3) == reference(mask, 3)


def test_regions_that_touch_at_a_corner_are_two():
    assert found(np.array([[1, 0], [0, 1]], np.uint8), 2) == [[1, 1], [1, 1]]


@settings(max_examples=100, deadline=None, database=None)
@given(MASKS, st.sampled_from([np.uint8, np.uint16, np.uint32, np.int64]))
def test_values_are_counted_as_numpy_counts_them(mask, dtype):
    runs = find_runs(mask.astype(dtype))
    values, pixels = count_values(runs)
    expected = np.unique(mask, return_counts=True)
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(pixels, expected[1])
    meanings = np.arange(len(values))[::-1]
    translated = translate(runs.value, values, meanings)
    assert dict(zip(runs.value, translated, strict=True)) == dict(zip(values, meanings, strict=True))


@settings(max_examples=100, deadline=None, database=None)
@given(MASKS)
def test_merged_values_have_the_runs_of_the_merged_mask(mask):
    table = np.array([5, 5, 7, *[0] * 252, 7], np.uint8)
    runs = find_runs(mask)
    one, other = relabel(runs, table[runs.value]), find_runs(table[mask])
    for name in ("value", "start", "length"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_regions_are_counted_by_powers_of_two():
    mask = np.zeros((9, 9), np.uint8)
    mask[0, 0] = 1  # 1 pixel: 2^0
    mask[2, :2] = mask[4, :3] = 1  # 2 and 3 pixels: 2^1
    mask[6, :4] = 2  # 4 pixels: 2^2
    counts, rows = count_regions(find_regions(find_runs(mask), 3), 3)
    assert counts.tolist() == [1, 3, 1]
    assert rows.tolist() == [[0, 6, 1], [1, 0, 1], [1, 1, 2], [2, 2, 1]]


@settings(max_examples=100, deadline=None, database=None)
@given(MASKS)
def test_classes_that_overlap_have_regions_of_their_own(mask):
    labels = read_labels({"task": "multilabel", "names": ["a", "b"], "ids": [[1, 2], [2]], "rest": "none"})
    target = labels.encode(mask)
    runs = find_runs(mask)
    absent = labels.encode(runs.value) != 1
    regions = find_overlapping(relabel(runs, absent[:, k]) for k in range(2))
    assert count_regions(regions, 2)[0].tolist() == [ndimage.label(target[..., k] == 1)[1] for k in range(2)]
