"""Counts without masks: from the cells of each image's confusion matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.metric.cells import Counts, at_parents, counts_of, matrix_of, without
from segkit.types import LabelSpace, UserError


def space(k: int, parents: tuple[str, ...] = ()) -> LabelSpace:
    colors = tuple((c, 0, 0) for c in range(k))
    return LabelSpace(
        tuple(f"c{c}" for c in range(k)), colors, tuple((c,) for c in range(k)), parents=parents
    )


def drawn(seed: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confusion matrices ``[images, K, K]`` with many zeros, their cells, and indices with gaps."""
    rng = np.random.default_rng(seed)
    matrices = rng.integers(0, 9, (4, k, k)) * rng.integers(0, 2, (4, k, k))
    index = np.sort(rng.choice(100, 4, replace=False))
    image, target, prediction = matrices.nonzero()
    cells = np.column_stack([index[image], target, prediction, matrices[image, target, prediction]])
    return matrices, cells, index


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_cells_hold_everything_that_the_matrices_did(seed, k):
    matrices, cells, index = drawn(seed, k)
    counts = counts_of(cells, index, k)
    hit = np.diagonal(matrices, axis1=1, axis2=2)
    expected = np.stack([hit, matrices.sum(1) - hit, matrices.sum(2) - hit], -1)
    np.testing.assert_array_equal(counts.counts, expected)
    np.testing.assert_array_equal(counts.confusion, matrices.sum(0))
    np.testing.assert_array_equal(matrix_of(cells, k), matrices.sum(0))
    np.testing.assert_array_equal(counts.index, index)
    assert counts.counts.dtype == counts.confusion.dtype == np.int64


def test_an_image_without_a_cell_has_a_row_of_zeros():
    counts = counts_of(np.array([[7, 0, 1, 5]]), np.array([3, 7, 9]), 2)
    assert counts.counts.tolist() == [[[0, 0, 0]] * 2, [[0, 0, 5], [0, 5, 0]], [[0, 0, 0]] * 2]


def test_no_image_gives_counts_of_no_image():
    counts = counts_of(np.zeros((0, 4), np.int64), np.zeros(0, np.int64), 3)
    assert counts.counts.shape == (0, 3, 3)
    assert counts.confusion.tolist() == [[0] * 3] * 3


def test_more_pixels_than_32_bits_hold_are_added_up():
    cells = np.array([[0, 0, 0, 2**33], [1, 0, 0, 2**33 + 1]])
    assert matrix_of(cells, 1)[0, 0] == 2**34 + 1


def test_dropping_a_class_leaves_what_is_given_as_it_was():
    _, cells, index = drawn(0, 4)
    counts = counts_of(cells, index, 4)
    before = [a.copy() for a in counts]
    dropped = without(counts, space(4), ["c1"])
    at_parents(counts, space(4, ("p", "p", "q", "")))
    for a, b in zip(counts, before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not dropped.counts[:, 1].any()
    assert not (dropped.cells[:, 1] == 1).any()


def test_dropping_one_class_after_another_is_dropping_both():
    _, cells, index = drawn(1, 5)
    counts = counts_of(cells, index, 5)
    one_by_one = without(without(counts, space(5), ["c3"]), space(5), ["c0"])
    both = without(counts, space(5), ["c0", "c3"])
    kept = [1, 2, 4]
    np.testing.assert_array_equal(one_by_one.counts[:, kept], both.counts[:, kept])
    np.testing.assert_array_equal(one_by_one.cells, both.cells)


def test_categories_come_in_the_order_of_their_first_class_and_have_its_colour():
    _, cells, index = drawn(2, 4)
    _, merged = at_parents(counts_of(cells, index, 4), space(4, ("", "q", "p", "q")))
    assert merged.names == ("q", "p")
    assert merged.colors == ((1, 0, 0), (2, 0, 0))
    assert not any(merged.parents)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_merging_all_classes_makes_every_pixel_right(seed, k):
    matrices, cells, index = drawn(seed, k)
    counts, _ = at_parents(counts_of(cells, index, k), space(k, ("all",) * k))
    assert counts.counts[:, 0].tolist() == [[pixels, 0, 0] for pixels in matrices.sum((1, 2))]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_a_parent_for_each_class_changes_nothing(seed, k):
    _, cells, index = drawn(seed, k)
    fine = counts_of(cells, index, k)
    coarse, _ = at_parents(fine, space(k, tuple(f"p{c}" for c in range(k))))
    for a, b in zip(coarse[:3], fine[:3], strict=True):
        np.testing.assert_array_equal(a, b)


def test_cells_of_one_image_and_pair_are_added_up():
    cells = np.array([[0, 0, 2, 3], [0, 1, 2, 4], [1, 0, 2, 5]])
    counts, _ = at_parents(counts_of(cells, np.array([0, 1]), 3), space(3, ("p", "p", "q")))
    assert counts.cells.tolist() == [[0, 0, 1, 7], [1, 0, 1, 5]]


@pytest.mark.parametrize(
    ("names", "parents", "cells", "message"),
    [
        (["sky"], (), [[0, 0, 0, 1]], "ignore_classes: there is no class 'sky'; there are c0, c1"),
        (["c0"], (), None, "ignore_classes: not for multilabel tasks"),
        ([], ("", ""), [[0, 0, 0, 1]], "level=category: the label space gives its classes no parents"),
        ([], ("p", "p"), None, "level=category: not for multilabel tasks"),
    ],
)
def test_what_counts_cannot_tell_is_one_line(names, parents, cells, message):
    counts = Counts(np.zeros((1, 2, 3), np.int64), None, np.array([0]), cells and np.array(cells))
    with pytest.raises(UserError, match=message) as caught:
        without(counts, space(2), names) if names else at_parents(counts, space(2, parents))
    assert "\n" not in str(caught.value)
