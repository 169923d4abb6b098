"""The class-weighted split: promises that hold for any data, and the optimum where it can be tried."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import segkit.data.stratify as module
from segkit.data.divergence import divergence
from segkit.data.stratify import at_random, stratify
from segkit.types import UserError

RATIOS = (0.7, 0.15, 0.15)


@pytest.fixture(scope="module", autouse=True)
def _short_searches():
    """The promises do not depend on how long the search is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BUDGET", 6_000_000)
        yield


def long_tailed(n, classes=6, groups=0, seed=0):
    """Class c shows in about 0.9 / (c + 1) of the images, with very different areas."""
    rng = np.random.default_rng(seed)
    shows = rng.random((n, classes)) < 0.9 / np.arange(1, classes + 1)
    counts = np.rint(shows * rng.lognormal(6, 1, (n, classes))).astype(np.int64)
    return counts, [f"g{i}" for i in rng.integers(0, groups, n)] if groups else [""] * n


@st.composite
def data(draw, most_groups=12):
    """Any counts (classes that nobody shows, images without any class), any groups."""
    n, k = draw(st.integers(3, 24)), draw(st.integers(1, 4))
    cells = draw(st.lists(st.sampled_from([0, 0, 1, 7, 500]), min_size=n * k, max_size=n * k))
    groups = draw(st.lists(st.integers(-3, most_groups - 4), min_size=n, max_size=n))
    # Negative numbers stand for images without a group.
    return np.array(cells, np.int64).reshape(n, k), ["" if g < 0 else f"g{g}" for g in groups]


def rank(counts, groups, parts, ratios):
    """An independent account of what `stratify` prefers: parts that miss a class, then the score."""
    keys = np.array([g or f"image {i}" for i, g in enumerate(groups)])
    active = [p for p, r in enumerate(ratios) if r > 0]
    missing = sum(not np.any(parts == p) for p in active)
    for c in range(counts.shape[1]):
        shows = counts[:, c] > 0
        if len(set(keys[shows])) >= len(active):
            missing += sum(not np.any(shows & (parts == p)) for p in active)
    return missing, divergence(counts, parts, ratios).score


@settings(deadline=None, max_examples=30)
@given(data(), st.integers(0, 3), st.sampled_from([RATIOS, (0.5, 0.5), (0.8, 0.2, 0.0), (0.25,) * 4]))
def test_groups_never_straddle_parts_are_never_empty_and_chance_is_never_better(case, seed, ratios):
    counts, groups = case
    units = len({g or i for i, g in enumerate(groups)})
    if units < sum(r > 0 for r in ratios):
        with pytest.raises(UserError, match=r"groups cannot be divided into \d parts; add groups"):
            stratify(counts, groups, ratios, seed)
        return
    parts = stratify(counts, groups, ratios, seed)
    assert len({(g, p) for g, p in zip(groups, parts, strict=True) if g}) == len({g for g in groups if g})
    assert set(parts) == {p for p, r in enumerate(ratios) if r > 0}
    assert (parts == stratify(counts, groups, ratios, seed)).all()
    chance = rank(counts, groups, at_random(groups, ratios), ratios)
    assert rank(counts, groups, parts, ratios) <= (chance[0], chance[1] + 1e-9)


@settings(deadline=None, max_examples=10)
@given(data(most_groups=6))
def test_few_groups_are_divided_in_the_best_of_all_ways(case):
    counts, _ = case
    groups = [f"g{i % 6}" for i in range(len(counts))]
    names = sorted(set(groups))
    every = (
        np.array([dict(zip(names, p, strict=True))[g] for g in groups])
        for p in product(range(3), repeat=len(names))
    )
    best = min(rank(counts, groups, parts, RATIOS) for parts in every if len(set(parts)) == 3)
    found = rank(counts, groups, stratify(counts, groups, RATIOS), RATIOS)
    assert found[0] == best[0]
    assert found[1] == pytest.approx(best[1], abs=1e-9)


def test_the_local_search_comes_close_to_the_best_of_all_ways(monkeypatch):
    counts, groups = long_tailed(60, groups=10, seed=4)
    best = divergence(counts, stratify(counts, groups, RATIOS), RATIOS).score
    monkeypatch.setattr(module, "ALL", 0)
    assert divergence(counts, stratify(counts, groups, RATIOS), RATIOS).score < 1.02 * best


@settings(deadline=None, max_examples=12)
@given(st.lists(st.integers(3, 9), min_size=2, max_size=6), st.integers(0, 5))
def test_every_class_with_enough_groups_is_on_all_sides(groups_per_class, seed):
    """Each group shows one class, so that it is always possible."""
    classes = np.repeat(np.arange(len(groups_per_class)), groups_per_class)
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(len(classes)), rng.integers(1, 5, len(classes)))
    counts = np.zeros((len(rows), len(groups_per_class)), np.int64)
    counts[np.arange(len(rows)), classes[rows]] = rng.integers(1, 10_000, len(rows))
    parts = stratify(counts, [f"g{r}" for r in rows], RATIOS, seed)
    assert not divergence(counts, parts, RATIOS).missing.any()


@pytest.mark.parametrize("seed", range(3))
def test_a_class_of_three_images_among_thousands_is_in_every_part(seed):
    counts, groups = long_tailed(3000, seed=seed)
    rare = np.zeros((3000, 1), np.int64)
    rare[np.random.default_rng(seed).choice(3000, 3, replace=False)] = 5
    parts = stratify(np.hstack([counts, rare]), groups, RATIOS)
    assert sorted(parts[rare[:, 0] > 0]) == [0, 1, 2]


def test_a_class_in_one_group_alone_goes_to_training_and_spoils_nothing():
    counts, groups = long_tailed(400, seed=1)
    only = np.zeros((400, 1), np.int64)
    only[7] = 1000
    parts = stratify(np.hstack([counts, only]), groups, RATIOS)
    found = divergence(np.hstack([counts, only]), parts, RATIOS)
    assert parts[7] == 0
    assert found.worst == 1  # none of it where a share was due
    assert found.classes[:-1].max() < 0.03
    assert found.missing[:, -1].tolist() == [False, True, True]


@pytest.mark.parametrize("groups", [0, 60])
def test_worst_and_mean_are_far_below_chance(groups):
    counts, names = long_tailed(900, groups=groups)
    found = divergence(counts, stratify(counts, names, RATIOS), RATIOS)
    rng = np.random.default_rng(0)
    chances = []
    for _ in range(20):
        order = rng.permutation(len(names))
        parts = np.empty(len(names), np.int64)
        parts[order] = at_random([names[i] for i in order], RATIOS)
        chances.append(divergence(counts, parts, RATIOS))
    assert found.worst < 0.3 * np.median([d.worst for d in chances])
    assert found.mean < 0.3 * np.median([d.mean for d in chances])


@settings(deadline=None, max_examples=40)
@given(data(), st.lists(st.integers(-1, 2), min_size=24, max_size=24), st.integers(0, 3))
def test_what_is_fixed_stays_and_new_samples_join_their_group(case, fixed, seed):
    counts, groups = case
    fixed = np.array(fixed[: len(groups)])
    if (fixed < 0).all():
        fixed[0] = 1
    parts = stratify(counts, groups, RATIOS, seed, fixed=fixed)
    assert (parts[fixed >= 0] == fixed[fixed >= 0]).all()
    for name in {g for g in groups if g}:
        old = {f for f, g in zip(fixed, groups, strict=True) if g == name and f >= 0}
        new = {p for p, f, g in zip(parts, fixed, groups, strict=True) if g == name and f < 0}
        assert len(new) <= 1
        assert not old or new <= old
    assert ((parts >= 0) & (parts <= 2)).all()


def test_new_samples_make_up_for_what_the_fixed_ones_lack():
    counts, groups = long_tailed(600, seed=2)
    fixed = np.full(600, -1)
    fixed[:200] = 0  # training has too much of everything
    found = divergence(counts, stratify(counts, groups, RATIOS, fixed=fixed), RATIOS)
    assert found.worst < 0.05


def test_a_work_limit_ends_the_search_and_the_result_is_still_the_same(monkeypatch):
    counts, groups = long_tailed(500, seed=3)
    monkeypatch.setattr(module, "BUDGET", 200_000)
    first, again = (stratify(counts, groups, RATIOS) for _ in range(2))
    assert (first == again).all()
    assert divergence(counts, first, RATIOS).worst < 0.1


@pytest.mark.parametrize("k", [5, 10])
def test_many_parts_are_as_alike_as_few(k):
    counts, groups = long_tailed(4000, seed=5)
    found = divergence(counts, stratify(counts, groups, [1 / k] * k), [1 / k] * k)
    assert found.worst < 0.05
    assert found.size < 0.03


def test_masks_that_show_nothing_are_divided_by_number_alone():
    counts = np.zeros((40, 3), np.int64)
    parts = stratify(counts, [""] * 40, RATIOS)
    assert np.bincount(parts).tolist() == [28, 6, 6]
    assert stratify(counts, [""] * 40, (1, 0, 0)).tolist() == [0] * 40
    assert len(stratify(counts[:0], [], RATIOS)) == 0


def test_the_divergence_of_an_example_worked_by_hand():
    """Two classes, ratios 1/2 and 1/2. Class 0: pixels 30 | 10, images 2 | 1. Class 1: 5 | 5, 1 | 1."""
    counts = np.array([[10, 5, 0], [20, 0, 0], [10, 5, 0], [0, 0, 0]])
    found = divergence(counts, np.array([0, 0, 1, 1]), (0.5, 0.5))
    assert found.pixels[:2].tolist() == [0.5, 0]  # 30 / 40 is 1.5 times a half
    assert found.images[:2] == pytest.approx([1 / 3, 0])  # 2 / 3 is 4 / 3 times a half
    assert found.classes[:2] == pytest.approx([5 / 12, 0])
    assert np.isnan(found.classes[2])
    assert (found.worst, found.mean, found.size) == pytest.approx((5 / 12, 5 / 24, 0))
    assert not found.missing.any()
    assert divergence(counts, np.array([0, 0, 0, 1]), (0.5, 0.5)).missing.tolist() == [
        [False] * 3,
        [True, True, False],
    ]
