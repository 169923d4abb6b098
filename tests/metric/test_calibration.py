"""Calibration agrees with torchmetrics, scikit-learn and a calculation by hand."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.classification import BinaryCalibrationError, MulticlassCalibrationError

from segkit.metric.calibration import Calibration
from segkit.metric.scored import Scored
from segkit.types import UserError

TASKS = [("multiclass", 4), ("binary", 2), ("multilabel", 3)]


def numbers(meter, pictures, shown):
    return meter.numbers(shown(meter, pictures))


def flat(pictures):
    """Probabilities ``[n, K]`` of all valid pixels, and their targets ``[n]``."""
    rows = [(p.logits.softmax(0)[:, p.counted].T, p.target[p.counted]) for p in pictures]
    return torch.cat([p for p, _ in rows]), torch.cat([t for _, t in rows]).long()


def certain(pictures, probability, right):
    """A binary picture of which ``right`` of 10 pixels are what is predicted with a probability."""
    logit = math.log(probability / (1 - probability))
    target = torch.tensor([[1] * right + [0] * (10 - right)], dtype=torch.uint8)
    return Scored(torch.full((1, 1, 10), logit), target, 0, pictures.space(2, "binary"))


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_error_of_the_predicted_class_is_that_of_torchmetrics(pictures, bins):
    labels = pictures.space(4)
    some = [pictures.random(labels, i, index=i) for i in range(5)]
    probability, target = flat(some)
    theirs = MulticlassCalibrationError(4, n_bins=bins, norm="l1")(probability, target)
    ours = numbers(Calibration(labels, bins=bins), some, pictures.shown)["ece"]
    assert ours == pytest.approx(theirs.item(), abs=1e-6)


def test_the_error_of_each_class_is_that_of_torchmetrics_for_one_class_against_the_rest(pictures):
    labels = pictures.space(4)
    some = [pictures.random(labels, i, index=i) for i in range(5)]
    probability, target = flat(some)
    found = numbers(Calibration(labels), some, pictures.shown)
    theirs = [
        BinaryCalibrationError(n_bins=15, norm="l1")(probability[:, k], (target == k).long()).item()
        for k in range(4)
    ]
    assert [row["ece"] for row in found["per_class"].values()] == pytest.approx(theirs, abs=1e-6)
    assert found["classwise_ece"] == pytest.approx(np.mean(theirs), abs=1e-6)


def test_likelihood_and_brier_score_are_those_of_scikit_learn(pictures):
    labels = pictures.space(4)
    some = [pictures.random(labels, i, index=i) for i in range(5)]
    probability, target = (x.double().numpy() for x in flat(some))
    probability /= probability.sum(1, keepdims=True)
    found = numbers(Calibration(labels), some, pictures.shown)
    assert found["nll"] == pytest.approx(log_loss(target, probability, labels=range(4)), rel=1e-6)
    each = [brier_score_loss(target == k, probability[:, k]) for k in range(4)]
    assert found["brier"] == pytest.approx(sum(each), rel=1e-6)


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_every_sigmoid_is_scored_as_scikit_learn_scores_it(pictures, task):
    labels = pictures.space(2 if task == "binary" else 3, task)
    some = [pictures.random(labels, i, index=i) for i in range(5)]
    many = task == "multilabel"
    kept = [p.counted if many else p.counted[None] for p in some]
    target = torch.cat([(p.target if many else p.target[None])[m] for p, m in zip(some, kept, strict=True)])
    positive = torch.cat([p.logits.sigmoid()[m] for p, m in zip(some, kept, strict=True)])
    found = numbers(Calibration(labels), some, pictures.shown)
    assert found["nll"] == pytest.approx(log_loss(target, positive.double()), rel=1e-5)
    assert found["brier"] == pytest.approx(brier_score_loss(target, positive.double()), rel=1e-6)
    said = positive >= 0.5
    sure, hit = torch.where(said, positive, 1 - positive), (said.int() == target).long()
    theirs = BinaryCalibrationError(n_bins=15, norm="l1")(sure, hit).item()
    assert found["ece"] == pytest.approx(theirs, abs=1e-6)


def test_a_hand_worked_example(pictures):
    """Ten pixels, sure to 0.9, right in six: error 0.3; the score and the likelihood follow."""
    found = numbers(
        Calibration(pictures.space(2, "binary"), bins=10), [certain(pictures, 0.9, 6)], pictures.shown
    )
    assert found["ece"] == pytest.approx(0.3)
    assert found["classwise_ece"] == pytest.approx(0.3)
    assert found["brier"] == pytest.approx(0.6 * 0.01 + 0.4 * 0.81)
    assert found["nll"] == pytest.approx(-0.6 * math.log(0.9) - 0.4 * math.log(0.1))
    (full,) = (b for b in found["reliability"] if b["pixels"])
    assert full["pixels"] == 10
    assert (full["confidence"], full["accuracy"]) == pytest.approx((0.9, 0.6))
    assert full["low"] < 0.9 <= full["high"] + 1e-6


@pytest.mark.parametrize("right", [6, 7, 9])
def test_what_is_right_as_often_as_it_says_has_no_error(pictures, right):
    found = numbers(
        Calibration(pictures.space(2, "binary")), [certain(pictures, right / 10, right)], pictures.shown
    )
    assert found["ece"] == pytest.approx(0, abs=1e-6)
    assert found["classwise_ece"] == pytest.approx(0, abs=1e-6)


def test_certainty_and_its_opposite_fall_into_the_outer_bins(pictures):
    labels = pictures.space(2, "binary")
    logits = torch.tensor([[[200.0, -200.0]]])
    found = numbers(
        Calibration(labels, bins=5), [Scored(logits, torch.tensor([[1, 0]]), 0, labels)], pictures.shown
    )
    assert [b["pixels"] for b in found["reliability"]] == [0, 0, 0, 0, 2]
    assert (found["ece"], found["brier"], found["nll"]) == (0, 0, 0)


def test_a_target_that_is_thought_impossible_has_a_finite_likelihood(pictures):
    """exp(-300) is 0 in float32; the logits still know how wrong it was."""
    labels = pictures.space(3)
    logits = torch.tensor([300.0, 0.0, -10.0])[:, None, None]
    picture = Scored(logits, torch.tensor([[1]]), 0, labels)
    assert numbers(Calibration(labels), [picture], pictures.shown)["nll"] == pytest.approx(300)


@pytest.mark.parametrize(("task", "k"), TASKS)
def test_ignored_pixels_change_nothing(pictures, task, k):
    labels = pictures.space(k, task)
    whole = pictures.random(labels, 0, (6, 9), ignored=0)
    target = torch.nn.functional.pad(whole.target, (0, 4), value=labels.ignore_index)
    logits = torch.nn.functional.pad(whole.logits, (0, 4), value=3.0)
    padded = Scored(logits, target, 0, labels)
    first, second = (numbers(Calibration(labels), [p], pictures.shown) for p in (whole, padded))
    assert first["ece"] == pytest.approx(second["ece"], rel=1e-12)
    assert first["nll"] == pytest.approx(second["nll"], rel=1e-12)
    assert first["brier"] == pytest.approx(second["brier"], rel=1e-12)
    assert [b["pixels"] for b in first["reliability"]] == [b["pixels"] for b in second["reliability"]]


@pytest.mark.parametrize(("task", "k"), TASKS)
def test_where_nothing_counts_nothing_is_claimed(pictures, task, k):
    labels = pictures.space(k, task)
    found = numbers(Calibration(labels), [pictures.random(labels, 0, ignored=1.1)], pictures.shown)
    for name in ("ece", "classwise_ece", "nll", "brier"):
        assert found[name] is None
    json.dumps(found, allow_nan=False)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.sampled_from(TASKS), st.sampled_from([1.0, 1.7]))
def test_the_order_of_the_pictures_does_not_matter(pictures, order, task, temperature):
    labels = pictures.space(task[1], task[0])
    some = [pictures.random(labels, i, (3, 4 + i), index=i, temperature=temperature) for i in range(5)]
    one = pictures.shown(Calibration(labels), some)
    other = pictures.shown(Calibration(labels), [some[i] for i in order])
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


@pytest.mark.parametrize(("task", "k"), TASKS)
def test_a_temperature_divides_the_logits_and_the_numbers_as_trained_are_kept_beside(pictures, task, k):
    labels = pictures.space(k, task)
    plain = pictures.random(labels, 0)
    divided = Scored(plain.logits / 1.7, plain.target, 0, labels)
    warm = numbers(Calibration(labels), [pictures.random(labels, 0, temperature=1.7)], pictures.shown)
    trained, expected = (numbers(Calibration(labels), [p], pictures.shown) for p in (plain, divided))
    assert warm["temperature"] == 1.7
    assert "as_trained" not in trained
    for name in ("ece", "classwise_ece", "nll", "brier"):
        assert warm[name] == pytest.approx(expected[name], rel=1e-5)
        assert warm["as_trained"][name] == trained[name]
        assert warm[name] != trained[name]


def test_slices_of_classes_change_no_number(pictures, monkeypatch):
    labels = pictures.space(7)
    whole = numbers(Calibration(labels), [pictures.random(labels, 0)], pictures.shown)
    monkeypatch.setattr("segkit.metric.scored.SLICE", 2 * 6 * 9)
    sliced = numbers(Calibration(labels), [pictures.random(labels, 0)], pictures.shown)
    for name in ("ece", "classwise_ece", "nll", "brier"):
        assert sliced[name] == pytest.approx(whole[name], rel=1e-6)


def test_more_than_255_classes_are_no_special_case(pictures):
    labels = pictures.space(300)
    some = pictures.random(labels, 0, (20, 20))
    probability, target = flat([some])
    found = numbers(Calibration(labels), [some], pictures.shown)
    assert found["nll"] == pytest.approx(
        -probability[range(len(target)), target].log().mean().item(), rel=1e-5
    )


@pytest.mark.parametrize("bins", [0, -3, 1001])
def test_an_impossible_number_of_bins_is_refused(pictures, bins):
    with pytest.raises(UserError, match=f"metric.calibration.bins={bins}: give a number from 1 to 1000"):
        Calibration(pictures.space(3), bins=bins)
