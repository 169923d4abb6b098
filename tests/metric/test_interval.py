"""Bootstrap intervals: the same numbers as without weights, and coverage that holds."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from segkit.metric.cells import Counts, counts_of
from segkit.metric.interval import (
    Resampled,
    draw,
    interval_of,
    intervals,
    t_quantile,
    units_of,
    weights_of,
)
from segkit.metric.overlap import overlap
from segkit.metric.protocol import Protocol, apply
from segkit.types import LabelSpace


def space(k, task="multiclass", parents=()):
    names, colors = tuple(f"c{i}" for i in range(k)), ((0, 0, 0),) * k
    return LabelSpace(names, colors, tuple((i,) for i in range(k)), task=task, parents=parents)


def random_counts(n, k, seed=0, absent=()):
    """Confusion matrices of n images, of which each shows some of the classes."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 40, (n, k, k)) * (rng.random((n, k, k)) < 0.5) + 60 * np.eye(k, dtype=np.int64)
    shown = rng.random((n, k)) < 0.6
    shown[1:2] = False  # all of an image is ignored
    pixels = pixels * shown[:, :, None] * shown[:, None]
    pixels[:, list(absent)] = 0
    pixels[:, :, list(absent)] = 0
    image, target, prediction = pixels.nonzero()
    cells = np.stack([image, target, prediction, pixels[image, target, prediction]], 1).astype(np.int64)
    return counts_of(cells, np.arange(n), k)


def drawn_by_hand(counts, rows):
    """The counts of a data set in which image ``rows[i]`` is number i."""
    cells = [
        np.column_stack(
            [
                np.full((counts.cells[:, 0] == row).sum(), i),
                counts.cells[counts.cells[:, 0] == row][:, 1:],
            ]
        )
        for i, row in enumerate(rows)
    ]
    return counts_of(np.concatenate(cells), np.arange(len(rows)), counts.counts.shape[1])


PROTOCOLS = [
    Protocol(),
    Protocol(aggregate="image"),
    Protocol(aggregate="pair"),
    Protocol(absent="zero", aggregate="image"),
    Protocol(absent="one"),
    Protocol(ignore_classes=("c1",)),
    Protocol(level="category"),
]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=str)
@pytest.mark.parametrize("groups", [False, True])
def test_a_resample_has_the_numbers_of_the_data_set_that_was_drawn(protocol, groups):
    labels = space(4, parents=("a", "a", "b", "b"))
    counts = random_counts(23, 4)
    units = units_of([f"g{i // 3}" if groups else "" for i in range(23)])
    weights = next(weights_of(units, 5, 1))
    seen, merged = apply(protocol, counts, labels)
    found = Resampled(seen.counts, merged, protocol, units).at(weights)
    for row, drawn in enumerate(weights):
        images = [i for i in range(23) for _ in range(int(drawn[units.of[i]]))]
        expected = overlap(drawn_by_hand(counts, images), labels, protocol)
        assert {n: v[row] for n, v in found.mean.items()} == pytest.approx(expected["mean"], abs=1e-12)
        for c, name in enumerate(merged.names):
            for rate, values in found.per_class.items():
                if (number := expected["per_class"].get(name, {}).get(rate)) is not None:
                    assert values[row, c] == pytest.approx(number, abs=1e-12)


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_every_number_of_a_task_has_an_interval_under_its_own_name(task):
    labels, counts = space(2, task), random_counts(20, 2)
    found, numbers = intervals(counts, labels), overlap(counts, labels)
    assert found["mean"].keys() == numbers["mean"].keys()
    assert found["per_class"].keys() == numbers["per_class"].keys()
    for name, value in numbers["mean"].items():
        if value is None:
            assert found["mean"][name] is None
        else:
            assert found["mean"][name][0] <= value <= found["mean"][name][1]


def test_the_tails_are_widened_as_hesterberg_says():
    """n = 10: t(0.975, 9) = 2.262157 and sqrt(10 / 9) = 1.054093 give a tail of Phi(-2.384524)."""
    values = np.linspace(0, 1, 100_001)
    assert t_quantile(0.975, 9) == pytest.approx(stats.t.ppf(0.975, 9))
    assert interval_of(values, 10) == pytest.approx([0.008551, 1 - 0.008551], abs=2e-5)
    assert interval_of(values, 10**9) == pytest.approx([0.025, 0.975], abs=1e-5)


def test_a_plain_mean_has_scipys_percentile_interval():
    """Image aggregate of one class with IoU x: the mean over images is the mean of x."""
    hits = np.random.default_rng(3).integers(20, 90, 80)
    counts = np.zeros((80, 2, 3), np.int64)
    counts[:, 0, 0], counts[:, 0, 2] = hits, 100 - hits
    drawn = draw(
        Counts(counts, None, np.arange(80)),
        space(2),
        Protocol(aggregate="image"),
        units_of([""] * 80),
        20_000,
    )
    ours = interval_of(drawn.mean["miou"], 10**9)  # nothing is widened
    theirs = stats.bootstrap(
        (hits / 100,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert ours == pytest.approx([theirs.low, theirs.high], abs=1.5e-3)
    assert drawn.mean["miou"].std() == pytest.approx((hits / 100).std() / np.sqrt(80), rel=0.02)


def test_the_intervals_are_the_same_each_time_and_for_any_order_of_chunks(monkeypatch):
    counts, labels = random_counts(40, 3), space(3)
    first = intervals(counts, labels)
    assert intervals(counts, labels) == first
    monkeypatch.setattr("segkit.metric.interval.ROOM", 40 * 64)
    chunked = intervals(counts, labels)
    assert chunked["mean"]["miou"] == pytest.approx(first["mean"]["miou"], abs=5e-3)


def test_one_image_or_one_group_has_no_interval():
    for n, groups, words in ((1, [""], "1 image only"), (5, ["a"] * 5, "1 group only")):
        found = intervals(random_counts(n, 3), space(3), groups=groups)
        assert set(found["mean"].values()) == {None}
        assert found["per_class"]["c0"]["iou"] is None
        assert found["warning"] == f"{words}: there is no interval"


def test_few_groups_are_warned_of():
    found = intervals(random_counts(70, 3), space(3), groups=[f"s{i % 7}" for i in range(70)])
    assert (found["unit"], found["units"]) == ("group", 7)
    assert found["warning"] == "7 groups only: the interval is rough"
    assert intervals(random_counts(70, 3), space(3))["warning"] is None


def test_an_image_without_a_group_is_its_own():
    units = units_of(["", "a", "", "a"])
    assert (units.count, units.word) == (3, "group")
    assert units.of[1] == units.of[3]
    assert units_of(["a", "b"]).word == "image"
    assert units_of([]).count == 0


def test_a_class_that_one_image_shows_has_no_interval_and_one_that_none_shows_neither():
    counts = random_counts(12, 4, absent=(2, 3))
    one = np.array([[5, 2, 2, 40], [5, 2, 0, 10]])
    counts = counts_of(np.concatenate([counts.cells, one]), counts.index, 4)
    found = intervals(counts, space(4))["per_class"]
    assert found["c2"]["iou"] is None
    assert found["c3"]["iou"] is None
    assert found["c0"]["iou"] is not None


def test_no_image_and_ignored_pixels_alone_are_no_error():
    empty = Counts(np.zeros((0, 3, 3), np.int64), None, np.zeros(0, np.int64), np.zeros((0, 4), np.int64))
    assert intervals(empty, space(3))["mean"]["miou"] is None
    blank = random_counts(4, 3)._replace(counts=np.zeros((4, 3, 3), np.int64))
    assert intervals(blank, space(3))["mean"]["miou"] is None


def test_the_category_level_has_intervals_of_its_own():
    labels, counts = space(4, parents=("a", "a", "b", "b")), random_counts(30, 4)
    found = intervals(counts, labels, replace(Protocol(), level="category"))
    assert set(found["per_class"]) == {"a", "b"}


def population(rng, images, groups, classes=3):
    """Beta-binomial hits: images of a group share its difficulty; the true IoU is known.

    An image shows 400 pixels of each class, of which a share p is found and nothing is
    invented, so that IoU = p summed over images; p is a group's beta variable plus its own.
    """
    alpha, beta = np.array([6.0, 3.0, 8.0])[:classes], np.array([4.0, 3.0, 2.0])[:classes]
    group = rng.integers(0, groups, images) if groups else np.arange(images)
    shared = rng.beta(alpha, beta, (max(images, groups), classes))[group]
    hits = rng.binomial(400, shared)
    counts = np.zeros((images, classes, 3), np.int64)
    counts[..., 0], counts[..., 2] = hits, 400 - hits
    return counts, group, alpha / (alpha + beta)


def coverage(simulations, images, groups, grouped, seed=0):
    """Share of simulations in which the interval holds the truth: of mIoU, and of the classes."""
    rng, labels = np.random.default_rng(seed), space(3)
    held, classes = 0, np.zeros(3)
    for number in range(simulations):
        counts, group, truth = population(rng, images, groups)
        units = units_of([str(g) if grouped else "" for g in group])
        drawn = draw(Counts(counts, None, np.arange(images)), labels, Protocol(), units, 1000, seed=number)
        low, high = interval_of(drawn.mean["miou"], units.count)
        held += low <= truth.mean() <= high
        for c in range(3):
            low, high = interval_of(drawn.per_class["iou"][:, c], int(drawn.shown_by[c]))
            classes[c] += low <= truth[c] <= high
    return held / simulations, classes / simulations


def test_the_interval_covers_the_truth_in_95_of_100_data_sets_of_30_images():
    held, classes = coverage(800, images=30, groups=0, grouped=False, seed=1)
    assert 0.92 <= held <= 0.98
    assert ((classes >= 0.92) & (classes <= 0.98)).all()


def test_groups_are_covered_by_drawing_groups_and_not_by_drawing_images():
    held, _ = coverage(400, images=300, groups=25, grouped=True, seed=1)
    assert 0.92 <= held <= 0.98
    alone, _ = coverage(300, images=300, groups=25, grouped=False, seed=1)
    assert alone < 0.75
