import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.data.sampler import (
    ClassPlan,
    EpochSampler,
    class_probabilities,
    frequency_table,
    order,
)
from segkit.types import UserError

KINDS = ("class_balanced", "rare_first")


def expected_draws(*options):
    """How often each sample is drawn per epoch on average."""
    return ClassPlan(*options).expected.sum(1)


def _draws(sampler):
    return [d for batch in sampler for d in batch]


def test_the_order_is_a_permutation_that_changes_with_seed_and_epoch():
    orders = [order(seed, epoch, 50) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert all(sorted(o) == list(range(50)) for o in orders)
    assert len({tuple(o) for o in orders}) == 6
    assert order(1, 2, 50) == orders[5]


@given(samples=st.integers(1, 60), batch=st.integers(1, 9), other=st.integers(1, 9), epoch=st.integers(0, 3))
def test_the_order_of_samples_does_not_depend_on_the_batch_size(samples, batch, other, epoch):
    a, b = EpochSampler(samples, batch, seed=3), EpochSampler(samples, other, seed=3)
    a.epoch = b.epoch = epoch
    assert _draws(a) == _draws(b)
    assert len(list(a)) == len(a)


@given(samples=st.integers(1, 60), batch=st.integers(1, 5), world=st.integers(1, 4), window=st.integers(1, 4))
def test_the_window_of_all_processes_holds_the_samples_of_one_process_with_a_larger_window(
    samples, batch, world, window
):
    one = _draws(EpochSampler(samples, batch, seed=0))
    ranks = [list(EpochSampler(samples, batch, 0, rank, world)) for rank in range(world)]
    assert len({len(r) for r in ranks}) == 1  # the same number of micro-batches everywhere
    for first in range(0, len(ranks[0]), window):
        together = [d for r in ranks for b in r[first : first + window] for d in b if d.counted]
        start = first * batch * world
        assert {d.index for d in together} == {d.index for d in one[start : start + window * batch * world]}


@given(samples=st.integers(1, 60), world=st.integers(1, 7))
def test_each_sample_counts_once_over_all_processes(samples, world):
    draws = [d for rank in range(world) for d in _draws(EpochSampler(samples, 4, 0, rank, world))]
    assert sorted(d.index for d in draws if d.counted) == list(range(samples))


@given(samples=st.integers(1, 60), batch=st.integers(1, 6), data=st.data())
def test_a_start_within_the_epoch_leaves_out_exactly_what_came_before(samples, batch, data):
    sampler = EpochSampler(samples, batch, seed=5)
    whole = list(sampler)
    sampler.start = data.draw(st.integers(0, len(whole)))
    assert list(sampler) == whole[sampler.start :]


def _counts(seed, samples, classes):
    """Long-tailed pixels per class; the last class is shown by few samples, or by none."""
    rng = np.random.default_rng(seed)
    shown = rng.random((samples, classes)) < 0.9 / np.arange(1, classes + 1)
    shown[0, 0] = True
    return shown * rng.integers(1, 5000, (samples, classes))


@st.composite
def _plans(draw):
    counts = _counts(draw(st.integers(0, 99)), draw(st.integers(1, 40)), draw(st.integers(1, 6)))
    kind, temperature = draw(st.sampled_from(KINDS)), draw(st.floats(0.01, 2))
    return ClassPlan(counts, kind, temperature, empty_counts=draw(st.booleans()))


def test_the_uniform_order_stays_what_it_was():
    assert order(0, 0, 8) == [1, 6, 5, 3, 0, 4, 7, 2]
    assert [tuple(d) for d in _draws(EpochSampler(3, 2, seed=1))] == [
        (0, 0, True, 0, -1),
        (2, 0, True, 0, -1),
        (1, 0, True, 0, -1),
    ]


def test_class_balanced_draws_every_class_equally_often_by_hand():
    # Class 0 is in three samples, class 1 in one: each has half of the 3 draws.
    counts = [[5, 0], [5, 1], [5, 0]]
    np.testing.assert_allclose(expected_draws(counts, "class_balanced"), [0.5, 0.5 + 1.5, 0.5])
    np.testing.assert_allclose(expected_draws(counts, "uniform"), [1, 1, 1])


def test_rare_first_is_the_softmax_of_daformer_by_hand():
    counts = np.array([[60, 0, 10], [20, 10, 0]])  # shares 0.8, 0.1, 0.1
    weight = np.exp((1 - np.array([0.8, 0.1, 0.1])) / 0.5)
    chance = weight / weight.sum()
    np.testing.assert_allclose(class_probabilities(counts, "rare_first", 0.5), chance)
    expected = 2 * np.array([chance[0] / 2 + chance[2], chance[0] / 2 + chance[1]])
    np.testing.assert_allclose(expected_draws(counts, "rare_first", 0.5), expected)


def test_a_warm_softmax_is_class_balanced_and_a_cold_one_draws_the_rarest_class_alone():
    counts = _counts(0, 50, 4)
    balanced = class_probabilities(counts, "class_balanced", 1.0)
    np.testing.assert_allclose(class_probabilities(counts, "rare_first", 1e6), balanced, rtol=1e-5)
    cold = class_probabilities(counts, "rare_first", 1e-3)
    assert cold[np.argmin(counts.sum(0))] == pytest.approx(1, abs=1e-4)


@given(_plans(), st.integers(0, 5))
def test_an_epoch_draws_as_often_as_there_are_samples_and_each_of_them_a_floor_or_ceiling_of_its_share(
    plan, epoch
):
    draws = plan.draw(3, epoch)
    samples, classes = plan.counts.shape
    assert len(draws) == samples
    seen = np.zeros((samples, classes + 1))
    for d in draws:
        seen[d.index, d.focus] += 1  # a focus of -1 is the last column
        assert d.focus == -1 or plan.counts[d.index, d.focus] > 0
    for times, expected in ((seen, plan.expected), (seen.sum(1), plan.expected.sum(1))):
        assert (times >= np.floor(expected - 1e-9)).all()
        assert (times <= np.ceil(expected + 1e-9)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_over_many_epochs_is_the_expected_number_of_draws(kind):
    counts, epochs = _counts(1, 30, 5), 4000
    counts[7] = 0  # ignored everywhere
    plan = ClassPlan(counts, kind, 0.3)
    assert plan.expected.sum() == pytest.approx(30)
    seen = np.zeros_like(plan.expected)
    for epoch in range(epochs):
        for d in plan.draw(0, epoch):
            seen[d.index, d.focus] += 1
    error = np.sqrt(np.maximum(plan.expected, 0.01) / epochs)  # of a mean whose variance is at most that
    assert (np.abs(seen / epochs - plan.expected) < 4.5 * error).all()
    np.testing.assert_allclose((seen / epochs).sum(1), expected_draws(counts, kind, 0.3), atol=0.05)
    assert seen[7].sum() == 0


def test_equal_steps_draw_a_class_more_evenly_than_independent_draws():
    plan = ClassPlan(_counts(2, 400, 6), "class_balanced")
    drawn = np.array(
        [np.bincount([d.focus for d in plan.draw(0, e)], minlength=6) for e in range(100)], float
    )
    independent = np.sqrt(400 * (1 / 6) * (5 / 6))
    assert (drawn.std(0) < 1.1 * independent).all()
    assert drawn[:, -1].std() < 0.5 * independent  # the rarest class


@given(_plans(), st.integers(1, 9), st.integers(1, 9), st.integers(0, 3))
def test_weighted_draws_do_not_depend_on_the_batch_size(plan, batch, other, epoch):
    a, b = (EpochSampler(len(plan.counts), size, seed=3, plan=plan) for size in (batch, other))
    a.epoch = b.epoch = epoch
    assert _draws(a) == _draws(b)
    assert len(list(a)) == len(a)


@given(_plans(), st.integers(1, 5), st.integers(1, 7))
def test_weighted_draws_of_all_processes_are_those_of_one_and_the_rest_is_not_counted(plan, batch, world):
    samples = len(plan.counts)
    one = _draws(EpochSampler(samples, batch, 0, plan=plan))
    ranks = [list(EpochSampler(samples, batch, 0, rank, world, plan)) for rank in range(world)]
    assert len({len(r) for r in ranks}) == 1
    counted = [d for r in ranks for b in r for d in b if d.counted]
    assert sorted(counted) == sorted(one)


@given(_plans(), st.integers(1, 6), st.data())
def test_weighted_draws_go_on_within_the_epoch(plan, batch, data):
    sampler = EpochSampler(len(plan.counts), batch, seed=5, plan=plan)
    whole = list(sampler)
    sampler.start = data.draw(st.integers(0, len(whole)))
    assert list(sampler) == whole[sampler.start :]


def test_weighted_draws_change_with_seed_and_epoch_and_number_their_repeats():
    plan = ClassPlan([[9, 0]] * 11 + [[9, 9]], "class_balanced")
    epochs = [plan.draw(seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len({tuple(e) for e in epochs}) == 6
    assert plan.draw(1, 2) == epochs[-1]
    for draws in epochs:
        repeats = [d.repeat for d in draws if d.index == 11]
        assert len(repeats) >= 6  # made for the class that it alone shows
        assert repeats == list(range(len(repeats)))


def test_a_labelled_sample_without_classes_is_drawn_once_and_an_ignored_one_never():
    counts = [[3, 0], [0, 3], [0, 0], [0, 0]]
    labelled = ClassPlan(counts, "class_balanced", empty_counts=True)
    np.testing.assert_allclose(labelled.expected, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
    once = [(0, 0), (1, 1), (2, -1), (3, -1)]
    assert Counter((d.index, d.focus) for d in labelled.draw(0, 0)) == Counter(once)
    np.testing.assert_allclose(expected_draws(counts, "class_balanced"), [2, 2, 0, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_training_does_not_show_does_no_harm_at_any_temperature(kind):
    plan = ClassPlan(np.array([[5, 0], [7, 0]]), kind, 1e-3)
    assert plan.expected.tolist() == [[1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_training_does_not_show_changes_nothing(kind):
    counts = _counts(4, 20, 3)
    more = np.insert(counts, 1, 0, axis=1)
    np.testing.assert_allclose(expected_draws(more, kind), expected_draws(counts, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_training_without_any_class_is_refused_unless_that_is_what_is_taught(kind):
    nothing = np.zeros((4, 3), int)
    with pytest.raises(UserError, match=f"data.sampler={kind}: no training mask shows a class"):
        ClassPlan(nothing, kind)
    assert sorted(d.index for d in ClassPlan(nothing, kind, empty_counts=True).draw(0, 0)) == [0, 1, 2, 3]


def test_the_table_says_how_often_each_class_will_be_seen():
    plan = ClassPlan([[5, 0], [5, 1], [5, 0]], "class_balanced")
    lines = frequency_table(plan, ("road", "bicycle")).splitlines()
    assert re.split(r" {2,}", lines[0]) == ["class", "uniform", "expected", "made for it", "most repeats"]
    assert lines[1].split() == ["road", "3", "3.0", "1.5", "2"]
    assert lines[2].split() == ["bicycle", "1", "2.0", "1.5", "2"]
    assert len({len(line) for line in lines}) == 1
