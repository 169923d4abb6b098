"""What must not change an overlap number, and what must change it in a known way."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.metric.cells import Counts
from segkit.metric.counts import OverlapCounts
from segkit.metric.overlap import overlap
from segkit.metric.protocol import Protocol
from segkit.types import LabelSpace

aggregates = st.sampled_from(["dataset", "image", "pair"])
absents = st.sampled_from(["exclude", "zero", "one"])
seeds = st.integers(0, 2**32 - 1)


def space(k: int, task: str = "multiclass") -> LabelSpace:
    names, ids = tuple(f"c{i}" for i in range(k)), tuple((i,) for i in range(k))
    return LabelSpace(names, ((0, 0, 0),) * k, ids, task=task)


def counted(prediction, target, labels: LabelSpace) -> Counts:
    metric = OverlapCounts(labels)
    for i, (p, t) in enumerate(zip(torch.as_tensor(prediction), torch.as_tensor(target), strict=True)):
        metric.update(SimpleNamespace(prediction=p, target=t, index=i))
    return metric.count()


def drawn(seed: int, k: int, n: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Images in which each class may be missing, some pixels ignored."""
    rng = np.random.default_rng(seed)
    shape = (n, 4, 5)
    return rng.choice(rng.integers(0, k, k), shape), rng.choice([*rng.integers(0, k, k), 255], shape)


def assert_same_numbers(a: dict, b: dict) -> None:
    assert a["mean"] == pytest.approx(b["mean"], nan_ok=True)
    assert a["per_class"] == b["per_class"]


@settings(max_examples=40, deadline=None)
@given(seeds, st.permutations(range(4)), aggregates, absents)
def test_the_order_of_images_changes_no_number(seed, order, aggregate, absent):
    prediction, target = drawn(seed, 4, n=4)
    labels, protocol = space(4), Protocol(aggregate=aggregate, absent=absent)
    first = overlap(counted(prediction, target, labels), labels, protocol)
    assert_same_numbers(overlap(counted(prediction[order], target[order], labels), labels, protocol), first)


@settings(max_examples=40, deadline=None)
@given(seeds, st.permutations(range(5)), aggregates, absents)
def test_renumbering_classes_moves_their_numbers_and_no_mean(seed, order, aggregate, absent):
    prediction, target = drawn(seed, 5)
    labels, protocol = space(5), Protocol(aggregate=aggregate, absent=absent)
    table = np.full(256, 255)
    table[:5] = order
    first = overlap(counted(prediction, target, labels), labels, protocol)
    moved = overlap(counted(table[prediction], table[target], labels), labels, protocol)
    assert moved["mean"] == pytest.approx(first["mean"])
    assert all(moved["per_class"][f"c{order[c]}"] == first["per_class"][f"c{c}"] for c in range(5))


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 5), aggregates, st.sampled_from(["exclude", "one"]))
def test_a_perfect_prediction_scores_one_in_every_number(seed, k, aggregate, absent):
    _, target = drawn(seed, k)
    target[0, 0, 0] = 0
    labels, protocol = space(k), Protocol(aggregate=aggregate, absent=absent)
    result = overlap(counted(np.where(target == 255, 0, target), target, labels), labels, protocol)
    assert set(result["mean"].values()) == {1.0}
    rates = ("iou", "dice", "precision", "recall")
    assert {row[r] for row in result["per_class"].values() for r in rates} <= {1.0, None}


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 5))
def test_swapping_prediction_and_target_swaps_precision_and_recall_alone(seed, k):
    prediction, target = drawn(seed, k)
    target = np.where(target == 255, 0, target)
    labels = space(k)
    one, other = (
        overlap(counted(*pair, labels), labels) for pair in ((prediction, target), (target, prediction))
    )
    for name in ("miou", "dice", "micro_iou", "pixel_accuracy", "per_image_miou", "worst5_miou"):
        assert one["mean"][name] == pytest.approx(other["mean"][name])
    assert one["mean"]["precision"] == pytest.approx(other["mean"]["recall"])
    for c in labels.names:
        assert one["per_class"][c]["iou"] == other["per_class"][c]["iou"]
        assert one["per_class"][c]["precision"] == other["per_class"][c]["recall"]


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 30), aggregates)
def test_images_that_are_ignored_whole_change_no_number(seed, blank, aggregate):
    prediction, target = drawn(seed, 3, n=20)
    labels, protocol = space(3), Protocol(aggregate=aggregate)
    first = overlap(counted(prediction, target, labels), labels, protocol)
    more = np.concatenate([target, np.full((blank, 4, 5), 255)])
    again = overlap(counted(np.concatenate([prediction, more[-blank:] * 0]), more, labels), labels, protocol)
    assert_same_numbers(again, first)
    assert again["protocol"]["images"] == 20 + blank


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_numbers_of_the_data_set_do_not_see_where_one_image_ends(seed):
    prediction, target = drawn(seed, 4)
    labels = space(4)
    apart = overlap(counted(prediction, target, labels), labels)
    whole = overlap(counted(prediction.reshape(1, 12, 5), target.reshape(1, 12, 5), labels), labels)
    by_image = ("per_image_miou", "worst5_miou")
    assert {n: v for n, v in apart["mean"].items() if n not in by_image} == {
        n: v for n, v in whole["mean"].items() if n not in by_image
    }


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(2, 5), aggregates, absents, st.sampled_from(["multiclass", "binary", "multilabel"]))
def test_every_number_lies_between_zero_and_one(seed, k, aggregate, absent, task):
    rng = np.random.default_rng(seed)
    k = 2 if task == "binary" else k
    top, shape = (2, (3, k, 4, 5)) if task == "multilabel" else (k, (3, 4, 5))
    prediction, target = rng.integers(0, top, shape), rng.choice([*range(top), 255], shape)
    labels, protocol = space(k, task), Protocol(aggregate=aggregate, absent=absent)
    result = overlap(counted(prediction, target, labels), labels, protocol)
    rows = [result["mean"], *({**row, "pixels": 0, "images": 0} for row in result["per_class"].values())]
    assert all(value is None or 0 <= value <= 1 for row in rows for value in row.values())


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(2, 5))
def test_dice_is_iou_in_another_dress_for_each_class_but_not_for_means(seed, k):
    prediction, target = drawn(seed, k)
    for row in overlap(counted(prediction, target, space(k)), space(k))["per_class"].values():
        if row["iou"] is not None:
            assert row["dice"] == pytest.approx(2 * row["iou"] / (1 + row["iou"]))


@pytest.mark.parametrize(
    ("images", "worst"), [(40, (0 + 1 / 40) / 2), (10, 0.0), (1, 0.0), (60, (0 + 1 + 2) / 3 / 60)]
)
def test_the_worst_five_percent_are_at_least_one_image(images, worst):
    """Image i has an IoU of i / images, in its only class; they come in no order."""
    score = np.random.default_rng(0).permutation(images)
    counts = np.zeros((images, 2, 3), np.int64)
    counts[:, 0, 0], counts[:, 0, 2] = score, images - score
    mean = overlap(Counts(counts, None, np.arange(images)), space(2))["mean"]
    assert mean["worst5_miou"] == pytest.approx(worst)
