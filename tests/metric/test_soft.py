"""Soft overlap equals a plain calculation, and the hard numbers where probabilities are hard."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.metric.counts import OverlapCounts
from segkit.metric.overlap import overlap
from segkit.metric.scored import Scored
from segkit.metric.soft import Soft
from segkit.types import UserError

TASKS = [("multiclass", 4), ("binary", 2), ("multilabel", 3)]


def plainly(some, labels, smooth):
    """(I, P, T) per picture and class, by numpy; then both ratios of each class over all pictures."""
    sums = []
    for p in some:
        probability = labels.probabilities(p.logits[None].double())[0].numpy()
        target = p.target.numpy()
        for k in range(labels.num_classes):
            own = target[k] if labels.task == "multilabel" else target
            valid = own != labels.ignore_index
            real = own == (1 if labels.task == "multilabel" else k)
            sums.append((probability[k][real].sum(), probability[k][valid].sum(), real.sum()))
    both, said, real = np.array(sums).reshape(len(some), -1, 3).sum(0).T
    iou = (both + smooth) / (said + real - both + smooth)
    return iou, (2 * both + smooth) / (said + real + smooth), real


def certain(picture):
    """The same predictions, without a doubt."""
    largest = picture.logits == picture.logits.max(0).values
    hard = largest if picture.labels.task == "multiclass" else picture.logits > 0
    return Scored(1e4 * (2.0 * hard - 1), picture.target, picture.index, picture.labels)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize(("task", "k"), TASKS)
def test_soft_overlap_is_that_of_a_plain_calculation(pictures, task, k, smooth):
    labels = pictures.space(k, task)
    some = [pictures.random(labels, i, index=i) for i in range(3)]
    iou, dice, _ = plainly(some, labels, smooth)
    meter = Soft(labels, smooth=smooth)
    found = meter.numbers(pictures.shown(meter, some))
    assert [r["soft_iou"] for r in found["per_class"].values()] == pytest.approx(iou, rel=1e-6)
    assert [r["soft_dice"] for r in found["per_class"].values()] == pytest.approx(dice, rel=1e-6)
    assert found["mean"]["soft_iou"] == pytest.approx(iou.mean(), rel=1e-6)
    singles = [plainly([p], labels, smooth) for p in some]
    pairs = np.concatenate([i[real > 0] for i, _, real in singles])
    assert found["mean"]["per_image_soft_iou"] == pytest.approx(pairs.mean(), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(TASKS))
def test_probabilities_of_0_and_1_give_the_hard_numbers(pictures, seed, task):
    labels = pictures.space(task[1], task[0])
    some = [certain(pictures.random(labels, [seed, i], index=i)) for i in range(3)]
    soft, hard = Soft(labels), OverlapCounts(labels)
    found = soft.numbers(pictures.shown(soft, some))["per_class"]
    pictures.shown(hard, some)
    expected = overlap(hard.count(), labels)["per_class"]
    for name, row in found.items():
        if expected[name]["pixels"]:
            assert row["soft_iou"] == pytest.approx(expected[name]["iou"], abs=1e-6)
            assert row["soft_dice"] == pytest.approx(expected[name]["dice"], abs=1e-6)


def test_a_class_that_the_target_never_shows_has_no_number_and_no_part_in_the_means(pictures):
    labels = pictures.space(3)
    logits = torch.zeros(3, 1, 2)
    meter = Soft(labels)
    found = meter.numbers(pictures.shown(meter, [Scored(logits, torch.tensor([[0, 1]]), 0, labels)]))
    assert found["per_class"]["c2"]["soft_iou"] is None
    assert found["mean"]["soft_iou"] == pytest.approx((1 / 3) / (2 / 3 + 1 - 1 / 3))


@pytest.mark.parametrize(("task", "k"), TASKS)
def test_where_nothing_counts_nothing_is_claimed(pictures, task, k):
    labels = pictures.space(k, task)
    meter = Soft(labels)
    found = meter.numbers(pictures.shown(meter, [pictures.random(labels, 0, ignored=1.1)]))
    assert set(found["mean"].values()) == {None}
    json.dumps(found, allow_nan=False)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.sampled_from(TASKS))
def test_the_order_of_the_pictures_does_not_matter(pictures, order, task):
    labels = pictures.space(task[1], task[0])
    some = [pictures.random(labels, i, (3, 4 + i), index=i) for i in range(5)]
    one, other = pictures.shown(Soft(labels), some), pictures.shown(Soft(labels), [some[i] for i in order])
    np.testing.assert_array_equal(one["sums"], other["sums"])


@pytest.mark.parametrize("smooth", [-1.0, float("nan"), float("inf")])
def test_an_impossible_smoothing_is_refused(pictures, smooth):
    with pytest.raises(UserError, match=r"metric\.soft\.smooth="):
        Soft(pictures.space(3), smooth=smooth)
