import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score
from torchmetrics.classification import MulticlassJaccardIndex

from segkit.metric.counts import OverlapCounts
from segkit.metric.overlap import Counts, overlap
from segkit.types import LabelSpace

# One prediction that has eight published "mIoUs".
GOLDEN_TARGET = [[[0, 0, 0, 1], [0, 0, 1, 2]], [[0, 0, 0, 0], [0, 0, 1, 1]]]
GOLDEN_PREDICTION = [[[0, 0, 1, 1], [0, 0, 1, 0]], [[0, 0, 0, 0], [0, 0, 0, 1]]]


def space(k: int, task: str = "multiclass") -> LabelSpace:
    return LabelSpace(
        tuple(f"c{i}" for i in range(k)), ((0, 0, 0),) * k, tuple((i,) for i in range(k)), task=task
    )


def numbers(prediction, target, labels: LabelSpace) -> dict:
    metric = OverlapCounts(labels)
    target = torch.as_tensor(target)
    for i, (p, t) in enumerate(zip(torch.as_tensor(prediction), target, strict=True)):
        metric.update(SimpleNamespace(prediction=p, target=t, index=i))
    return overlap(metric.count(), labels)


def test_the_golden_example_has_our_three_of_its_eight_mious():
    mean = numbers(GOLDEN_PREDICTION, GOLDEN_TARGET, space(4))["mean"]
    # By hand: class 0 has 10 of 13 pixels, class 1 has 3 of 5, class 2 has 0 of 1.
    assert mean["miou"] == pytest.approx((10 / 13 + 3 / 5 + 0) / 3)
    assert mean["per_image_miou"] == pytest.approx((4 / 6 + 2 / 3 + 0 + 6 / 7 + 1 / 2) / 5)
    assert mean["micro_iou"] == pytest.approx(13 / 19)
    rounded = {k: round(mean[k], 3) for k in ("miou", "per_image_miou", "micro_iou")}
    assert rounded == {"miou": 0.456, "per_image_miou": 0.538, "micro_iou": 0.684}


def test_the_other_numbers_of_the_golden_example():
    result = numbers(GOLDEN_PREDICTION, GOLDEN_TARGET, space(4))
    mean = result["mean"]
    assert mean["pixel_accuracy"] == pytest.approx(13 / 16)
    assert mean["mean_class_accuracy"] == pytest.approx((10 / 11 + 3 / 4 + 0) / 3)
    assert mean["fw_iou"] == pytest.approx((11 * 10 / 13 + 4 * 3 / 5 + 0) / 16)
    assert mean["dice"] == pytest.approx((20 / 23 + 6 / 8 + 0) / 3)
    assert result["per_class"]["c1"] == {
        "iou": pytest.approx(3 / 5),
        "dice": pytest.approx(6 / 8),
        "precision": pytest.approx(3 / 4),
        "recall": pytest.approx(3 / 4),
        "pixels": 4,
        "images": 2,
    }


def test_an_absent_class_has_no_number_and_is_in_no_mean():
    result = numbers(GOLDEN_PREDICTION, GOLDEN_TARGET, space(4))
    assert result["per_class"]["c3"] == {
        "iou": None,
        "dice": None,
        "precision": None,
        "recall": None,
        "pixels": 0,
        "images": 0,
    }
    assert result["protocol"]["classes"] == ["c0", "c1", "c2"]
    assert result["protocol"]["absent_classes"] == ["c3"]


def test_ships_that_are_all_missed():
    """5 of 100 pixels are ship, everything is predicted background."""
    target = torch.zeros(1, 10, 10, dtype=torch.int64)
    target[0, 0, :5] = 1
    mean = numbers(torch.zeros_like(target), target, space(2, "binary"))["mean"]
    assert round(mean["miou"], 3) == 0.475
    assert round(mean["dice"], 3) == 0.487
    assert mean["foreground_iou"] == 0


def test_a_class_that_is_only_predicted_counts_as_zero():
    result = numbers([[[0, 1]]], [[[0, 0]]], space(3))
    assert result["per_class"]["c1"]["iou"] == 0
    assert result["mean"]["miou"] == pytest.approx((1 / 2 + 0) / 2)
    assert result["mean"]["mean_class_accuracy"] == pytest.approx(1 / 2)  # the target shows c0 alone


def test_a_prediction_on_ignored_pixels_alone_leaves_the_class_absent():
    result = numbers([[[0, 1]]], [[[0, 255]]], space(2))
    assert result["per_class"]["c1"]["iou"] is None
    assert result["mean"]["miou"] == 1


def random_masks(seed: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Three images in which each class may be missing, some pixels ignored."""
    rng = np.random.default_rng(seed)
    shown = rng.integers(0, k, max(1, k - 1))
    target = rng.choice([*shown, 255], (3, 4, 5))
    target[0, 0, 0] = shown[0]
    return rng.choice(rng.integers(0, k, k), (3, 4, 5)), target


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_macro_and_micro_numbers_are_those_of_scikit_learn(seed, k):
    prediction, target = random_masks(seed, k)
    mean = numbers(prediction, target, space(k))["mean"]
    t, p = target[target != 255], prediction[target != 255]
    for ours, theirs in [("miou", jaccard_score), ("dice", f1_score), ("precision", precision_score)]:
        assert mean[ours] == pytest.approx(theirs(t, p, average="macro", zero_division=0))
    assert mean["recall"] == pytest.approx(recall_score(t, p, average="macro", zero_division=0))
    assert mean["fw_iou"] == pytest.approx(jaccard_score(t, p, average="weighted", zero_division=0))
    assert mean["micro_iou"] == pytest.approx(jaccard_score(t, p, average="micro"))
    assert mean["pixel_accuracy"] == pytest.approx(accuracy_score(t, p))
    shown = np.unique(t)
    expected = recall_score(t, p, average=None, labels=shown, zero_division=0).mean()
    assert mean["mean_class_accuracy"] == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_numbers_per_class_are_those_of_scikit_learn(seed, k):
    prediction, target = random_masks(seed, k)
    per_class = numbers(prediction, target, space(k))["per_class"]
    t, p = target[target != 255], prediction[target != 255]
    options = {"average": None, "labels": range(k), "zero_division": 0}
    rates = {"iou": jaccard_score, "dice": f1_score, "precision": precision_score, "recall": recall_score}
    for rate, theirs in rates.items():
        for c, expected in enumerate(theirs(t, p, **options)):
            ours = per_class[f"c{c}"][rate]
            assert (ours is None) if c not in {*t, *p} else ours == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_miou_is_torchmetrics_jaccard_index(seed, k):
    prediction, target = random_masks(seed, k)
    jaccard = MulticlassJaccardIndex(k, ignore_index=255, average="macro")
    expected = jaccard(torch.from_numpy(prediction), torch.from_numpy(target)).item()
    assert numbers(prediction, target, space(k))["mean"]["miou"] == pytest.approx(expected, rel=1e-5)


def test_per_image_miou_skips_images_that_show_nothing():
    target = torch.tensor([[[0, 0, 1, 1]], [[255, 255, 255, 255]]])
    prediction = torch.tensor([[[0, 0, 1, 1]], [[0, 1, 0, 1]]])
    assert numbers(prediction, target, space(2))["mean"]["per_image_miou"] == 1


def test_binary_reports_the_foreground_under_its_name(binary):
    result = numbers([[[0, 1, 1, 0]]], [[[0, 1, 0, 0]]], binary)
    assert result["mean"]["foreground_iou"] == result["per_class"]["cell"]["iou"] == 1 / 2
    assert result["mean"]["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert "cell" in result["protocol"]["foreground_iou"]


def test_multilabel_has_no_pixel_accuracy():
    counts = Counts(np.array([[[3, 1, 2], [0, 0, 4]]], np.int64), None, np.array([0]))
    result = overlap(counts, space(2, "multilabel"))
    assert result["mean"]["miou"] == pytest.approx((3 / 6 + 0) / 2)
    assert result["mean"]["pixel_accuracy"] is None
    assert result["per_class"]["c1"]["pixels"] == 4


def test_no_image_gives_no_numbers():
    counts = Counts(np.zeros((0, 2, 3), np.int64), np.zeros((2, 2), np.int64), np.zeros(0, np.int64))
    result = overlap(counts, space(2))
    assert set(result["mean"].values()) == {None}
    assert result["protocol"]["images"] == 0


@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel"])
def test_every_mean_has_its_protocol_and_all_of_it_is_json(task):
    counts = Counts(np.array([[[3, 1, 2], [5, 2, 1]]], np.int64), None, np.array([0]))
    result = overlap(counts, space(2, task))
    assert set(result["mean"]) <= set(result["protocol"])
    assert json.loads(json.dumps(result, allow_nan=False)) == result
