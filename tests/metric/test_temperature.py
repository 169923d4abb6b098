"""A temperature that was put in comes out again."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.metric.scored import Scored
from segkit.metric.temperature import LogitSample, fit_temperature

TASKS = [("multiclass", 4), ("binary", 2), ("multilabel", 3)]


def honest(labels, seed, size, index, factor):
    """A picture whose target is drawn from its own probabilities, its logits then made louder."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(labels.num_logits, *size)) * 2)
    if labels.task == "multiclass":
        cumulated = logits.softmax(0).cumsum(0).numpy()
        target = torch.from_numpy((rng.random(size) > cumulated).sum(0).clip(max=len(logits) - 1))
    else:
        target = torch.from_numpy(rng.random(logits.shape)) < logits.sigmoid()
        target = target[0] if labels.task == "binary" else target
    return Scored(logits.float() * factor, target.to(torch.uint8), index, labels)


def fitted(labels, pictures, shown, images=None):
    return fit_temperature(shown(LogitSample(labels, images or len(pictures)), pictures)["pixels"], labels)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("task", "k"), TASKS)
def test_the_factor_that_made_logits_louder_is_found_again(pictures, task, k, factor):
    labels = pictures.space(k, task)
    found = fitted(labels, [honest(labels, i, (50, 60), i, factor) for i in range(20)], pictures.shown)
    assert found.temperature == pytest.approx(factor, rel=0.03)
    assert found.images == 20
    assert found.ece[1] < 0.015
    if factor != 1:
        assert found.nll[1] < found.nll[0]
        assert found.ece[1] < found.ece[0] / 3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3), st.sampled_from(TASKS))
def test_the_likelihood_of_the_fitted_pixels_never_falls(pictures, seed, factor, task):
    labels = pictures.space(task[1], task[0])
    found = fitted(labels, [honest(labels, [seed, i], (8, 9), i, factor) for i in range(2)], pictures.shown)
    assert found is None or found.nll[1] <= found.nll[0]


def test_no_temperature_nearby_is_better(pictures):
    labels = pictures.space(4)
    some = [honest(labels, i, (20, 30), i, 1.5) for i in range(4)]
    found = fitted(labels, some, pictures.shown)
    for near in (0.98, 1.02):
        losses = [
            torch.nn.functional.cross_entropy(
                p.logits.double()[None] / (found.temperature * near), p.target.long()[None]
            )
            for p in some
        ]
        assert np.mean(losses) > found.nll[1]


def test_the_sample_is_the_same_in_any_order_and_of_a_bounded_size(pictures):
    labels = pictures.space(4)
    some = [honest(labels, i, (60, 70), i, 1.0) for i in range(4)]
    one, other = (pictures.shown(LogitSample(labels, 4), p)["pixels"] for p in (some, some[::-1]))
    np.testing.assert_array_equal(one, other)
    assert np.bincount(one[:, 0].astype(int)).tolist() == [2000] * 4
    many = LogitSample(pictures.space(150), 2000)
    assert many.most * 2000 * 152 <= 2**22 + 2000 * 152 * 16


def test_small_pictures_give_all_that_counts_with_the_logits_at_the_size_of_the_target(pictures):
    labels = pictures.space(3)
    target = torch.tensor([[0, 255, 2, 1], [255, 1, 1, 0]], dtype=torch.uint8)
    logits = torch.randn(3, 1, 2, generator=torch.Generator().manual_seed(0))
    picture = Scored(logits, target, 7, labels)
    rows = pictures.shown(LogitSample(labels, 1), [picture])["pixels"]
    large = torch.nn.functional.interpolate(logits[None], (2, 4), mode="bilinear")[0]
    assert rows[:, 0].tolist() == [7] * 6
    assert rows[:, 1].tolist() == [0, 2, 1, 1, 1, 0]
    np.testing.assert_array_equal(rows[:, 2:], large[:, target != 255].T)


@pytest.mark.parametrize(("task", "k"), TASKS)
def test_where_nothing_counts_there_is_no_temperature(pictures, task, k):
    labels = pictures.space(k, task)
    assert fitted(labels, [pictures.random(labels, 0, ignored=1.1)], pictures.shown) is None


def test_logits_that_are_always_right_or_know_nothing_have_no_temperature(pictures):
    labels = pictures.space(2, "binary")
    target = torch.tensor([[0, 1, 0, 1]], dtype=torch.uint8)
    for logits in ([-1.0, 1, -2, 2], [1.0, -1, 2, -2], [float("nan"), 1, 1, 1]):
        picture = Scored(torch.tensor(logits).reshape(1, 1, 4), target, 0, labels)
        assert fitted(labels, [picture], pictures.shown) is None
