"""Paired differences: worked by hand, wrong as rarely as promised, plain in words."""

import math

import numpy as np
import pytest
from scipy import stats

from segkit.metric.cells import Counts
from segkit.metric.interval import units_of
from segkit.metric.paired import chance, difference, differences, holm, measured, needed, verdict
from segkit.metric.protocol import Protocol
from segkit.types import LabelSpace


def space(k):
    names, colors = tuple(f"c{i}" for i in range(k)), ((0, 0, 0),) * k
    return LabelSpace(names, colors, tuple((i,) for i in range(k)))


def found_of(hits, size=400):
    """Counts of images that show each class with ``size`` pixels, of which ``hits`` are found."""
    counts = np.zeros((*hits.shape, 3), np.int64)
    counts[..., 0], counts[..., 2] = hits, size - hits
    return Counts(counts, None, np.arange(len(hits)))


def runs_of(*hits, units):
    k = hits[0].shape[1]
    return [measured(found_of(h), space(k), Protocol(), units, 500) for h in hits]


def test_a_paired_difference_worked_by_hand():
    """One class, four images of 100 pixels: A finds 50, 60, 70, 80 of them, B ten, 0, 20, 10 more.

    IoU 260 / 400 and 300 / 400: a difference of 0.1. Each image has the same size, so that the
    difference of a resample is the mean of the drawn (0.1, 0, 0.2, 0.1); their variance with n - 1 is
    0.02 / 3, so that the standard error is sqrt(0.02 / 3 / 4) = 0.0408248, and t(0.975, 3) = 3.182446.
    """
    units = units_of([""] * 4)
    a, b = np.array([[50], [60], [70], [80]]), np.array([[60], [60], [90], [90]])
    first, second = ([measured(found_of(h, 100), space(1), Protocol(), units)] for h in (a, b))
    entry = differences(first, second, units)["mean"]["miou"]
    assert (entry["a"], entry["b"]) == (pytest.approx(0.65), pytest.approx(0.75))
    assert entry["difference"] == pytest.approx(0.1)
    assert entry["freedom"] == 3
    assert entry["standard_error"] == pytest.approx(0.0408248, rel=0.03)  # 2,000 resamples
    reach = 3.182446 * entry["standard_error"]
    assert entry["interval"] == pytest.approx([0.1 - reach, 0.1 + reach])
    t = 0.1 / entry["standard_error"]
    assert entry["p"] == pytest.approx(2 * stats.t.sf(t, 3))
    # Not better only where all four draws are the second image: 1 of 256 resamples, which is a tie.
    assert entry["probability"] == pytest.approx(1 - 0.5 / 256, abs=0.002)
    assert entry["seeds_error"] is None


def test_repeats_add_the_spread_of_seeds_as_welch_and_satterthwaite_do():
    """No image spread at all: the t test with unequal variances (Welch) of the repeats is left."""
    a, b, flat = [0.50, 0.54, 0.52], [0.60, 0.50, 0.58, 0.61], np.zeros(50)
    entry = difference((a, flat + np.mean(a)), (b, flat + np.mean(b)), 10**9)
    theirs = stats.ttest_ind(b, a, equal_var=False)
    assert entry["p"] == pytest.approx(theirs.pvalue)
    assert entry["freedom"] == pytest.approx(theirs.df)
    assert entry["probability"] == pytest.approx(1 - theirs.pvalue / 2)
    interval = theirs.confidence_interval(0.95)
    assert entry["interval"] == pytest.approx([interval.low, interval.high])


def test_a_recipe_that_was_run_once_is_given_the_spread_of_the_other():
    a, b = [0.5], [0.6, 0.62, 0.64]
    entry = difference((a, np.full(9, 0.5)), (b, np.full(9, 0.62)), 10**9)
    assert entry["seeds_error"] == pytest.approx(0.02 * math.sqrt(1 + 1 / 3))
    assert entry["freedom"] == pytest.approx(2)


def test_identical_runs_differ_by_exactly_nothing():
    units = units_of([""] * 30)
    hits = np.random.default_rng(0).integers(100, 400, (30, 3))
    a, b = runs_of(hits, hits, units=units)
    found = differences([a], [b], units)
    for entry in [*found["mean"].values(), *found["per_class"].values()]:
        assert (entry["difference"], entry["interval"], entry["p"]) == (0, [0, 0], 1)
        assert entry["probability"] == 0.5
    said = verdict(found["mean"]["miou"], units, ("A", "B"))
    assert said.better is None
    assert said.sentence == "no difference that these 30 images can show: mIoU is the same in every resample"


def test_a_run_that_was_made_worse_is_said_to_be_worse():
    units = units_of([""] * 60)
    hits = np.random.default_rng(0).integers(150, 400, (60, 3))
    worse = hits.copy()
    worse[:, 1] = worse[:, 1] * 8 // 10
    a, b = runs_of(hits, worse, units=units)
    found = differences([a], [b], units)
    said = verdict(found["mean"]["miou"], units, ("A", "B"))
    assert said.better == "a"
    assert said.sentence.startswith("B is worse by 0.0")
    assert "on these 60 images; one run each" in said.sentence
    assert found["per_class"]["c1"]["p_holm"] < 0.001
    assert found["per_class"]["c0"]["p_holm"] == 1
    back = verdict(differences([b], [a], units)["mean"]["miou"], units, ("A", "B"))
    assert (back.better, back.sentence[:11]) == ("b", "B is better")


def equal_models(rng, images, group=None):
    """Two models that are equally good: what one finds of an image is no better founded than the other."""
    base = rng.beta(6, 4, (images, 3))
    own = rng.normal(0, 0.08, (2, images, 3))
    if group is not None:  # images of a group favour the same model
        base, own = base, own + rng.normal(0, 0.08, (2, group.max() + 1, 3))[:, group]
    return [rng.binomial(400, np.clip(base + o, 0.02, 0.98)) for o in own]


@pytest.mark.parametrize("images", [8, 40])
def test_equal_models_are_called_different_in_5_of_100_data_sets(images):
    rng, units, wrong = np.random.default_rng(images), units_of([""] * images), 0
    for _ in range(500):
        a, b = runs_of(*equal_models(rng, images), units=units)
        wrong += verdict(differences([a], [b], units)["mean"]["miou"], units, ("A", "B")).better is not None
    assert 0.02 <= wrong / 500 <= 0.08


def test_equal_models_on_grouped_images_are_told_apart_by_chance_only_if_groups_are_drawn():
    rng, group = np.random.default_rng(5), np.arange(120) // 10
    right, naive = units_of([f"s{g}" for g in group]), units_of([""] * 120)
    wrong = {"group": 0, "image": 0}
    for _ in range(300):
        hits = equal_models(rng, 120, group)
        for units in (right, naive):
            a, b = runs_of(*hits, units=units)
            said = verdict(differences([a], [b], units)["mean"]["miou"], units, ("A", "B"))
            wrong[units.word] += said.better is not None
    assert 0.02 <= wrong["group"] / 300 <= 0.08
    assert wrong["image"] / 300 > 0.15


def test_equal_recipes_with_three_seeds_each_are_called_different_in_5_of_100():
    """Each run has a quality of its own (its seed), which images alone do not cover."""
    rng, units = np.random.default_rng(9), units_of([""] * 60)
    covered, alone = 0, 0
    for _ in range(300):
        base, runs = rng.beta(6, 4, (60, 3)), []
        for _ in range(6):
            quality = base + rng.normal(0, 0.03) + rng.normal(0, 0.05, (60, 3))
            runs += runs_of(rng.binomial(400, np.clip(quality, 0.02, 0.98)), units=units)
        for a, b in ((runs[:3], runs[3:]), (runs[:1], runs[3:4])):
            said = verdict(differences(a, b, units)["mean"]["miou"], units, ("A", "B"))
            covered += len(a) == 3 and said.better is not None
            alone += len(a) == 1 and said.better is not None
    assert 0.01 <= covered / 300 <= 0.08
    assert alone / 300 > 0.3  # which is why a verdict on single runs says that seeds are not covered


def test_as_many_images_as_it_says_tell_the_difference_in_80_of_100():
    """The number from one data set of 30 images, tried on data sets of that size."""
    rng = np.random.default_rng(4)

    def data(images):
        base = rng.beta(6, 4, (images, 2))
        a, b = base + rng.normal(0, 0.1, (2, images, 2))
        return [rng.binomial(400, np.clip(p, 0.02, 0.98)) for p in (a, b + 0.012)]

    units = units_of([""] * 400)  # for a good estimate of the standard error
    entry = differences(*([r] for r in runs_of(*data(400), units=units)), units)["mean"]["miou"]
    entry = {**entry, "difference": 0.012}
    images = needed(entry, 400)
    enough, told = units_of([""] * images), 0
    for _ in range(150):
        a, b = runs_of(*data(images), units=enough)
        told += verdict(differences([a], [b], enough)["mean"]["miou"], enough, ("A", "B")).better == "b"
    assert 0.70 <= told / 150 <= 0.92


def entry_of(d, images, seeds=None, n=100):
    error = math.hypot(images, seeds or 0)
    reach = 1.96 * error
    return {
        "difference": d,
        "interval": [d - reach, d + reach],
        "standard_error": error,
        "images_error": images,
        "seeds_error": seeds,
    }


def test_the_sentence_names_the_images_that_would_be_needed():
    said = verdict(entry_of(0.004, 0.00507), units_of([""] * 233), ("A", "B"))
    assert said.needed == 2900  # 233 (2.8 * 0.00507 / 0.004)^2 = 2935
    assert said.sentence == (
        "no difference that these 233 images can show: +0.0040 [-0.0059, +0.0139] in mIoU; "
        "about 2,900 images like these would be needed to tell a difference of that size; "
        "one run each: what another seed would give is not in the interval"
    )
    grouped = verdict(entry_of(0.004, 0.004), units_of([f"g{i // 10}" for i in range(120)]), ("A", "B"))
    assert "these 12 groups (120 images) can show" in grouped.sentence
    assert "about 94 groups like these" in grouped.sentence


def test_more_images_do_not_help_where_seeds_differ_as_much():
    said = verdict(entry_of(0.004, 0.002, 0.01), units_of([""] * 50), ("A", "B"), (3, 3))
    assert said.needed is None
    assert "the spread of few seeds hides it: run more seeds" in said.sentence
    assert "covers images and seeds (3 and 3 runs)" in said.sentence


def test_few_seeds_are_what_hides_a_difference_that_the_images_show():
    """Two seeds against one: t has one degree of freedom, and more images are no help."""
    entry = difference(([0.17, 0.2], np.full(9, 0.185)), ([0.06], np.full(9, 0.06)), 40)
    said = verdict(entry, units_of([""] * 40), ("A", "B"), (2, 1))
    assert (said.better, said.needed) == (None, None)
    assert "run more seeds" in said.sentence
    assert -1 <= entry["interval"][0] < 0 < entry["interval"][1] <= 1


def test_one_image_cannot_tell():
    units = units_of([""])
    a, b = runs_of(np.array([[100, 200]]), np.array([[120, 230]]), units=units)
    said = verdict(differences([a], [b], units)["mean"]["miou"], units, ("A", "B"))
    assert said.sentence == "1 image cannot tell: mIoU differs by +0.062, without interval"


def test_repeats_are_said_to_differ_by_chance():
    assert chance(["A", "B"], [0.5, 0.5113]) == (
        "no difference between recipes: A and B are repeats of one; what differs is chance (seed): "
        "mIoU spreads by 0.0080 (standard deviation over 2 runs)"
    )


def test_holms_correction_worked_by_hand():
    """Holm: the smallest of 4 times 4, then times 3 ..., never falling, at most 1."""
    assert holm([0.01, 0.04, None, 0.03, 0.5]) == pytest.approx([0.04, 0.09, None, 0.09, 0.5])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_class_that_one_run_does_not_have_has_no_difference():
    units = units_of([""] * 5)
    counts = np.zeros((5, 2, 3), np.int64)
    counts[:, 0, 0] = 50
    claims = counts.copy()
    claims[:, 1, 1] = 7  # an absent class that the second run predicts
    runs = [measured(Counts(c, None, np.arange(5)), space(2), Protocol(), units) for c in (counts, claims)]
    entry = differences(runs[:1], runs[1:], units)["per_class"]["c1"]
    assert (entry["difference"], entry["interval"], entry["p_holm"]) == (None, None, None)


def test_ignored_classes_are_not_compared():
    units = units_of([""] * 5)
    cells = np.array([[i, c, c, 5] for i in range(5) for c in range(3)])
    counts = np.zeros((5, 3, 3), np.int64)
    counts[..., 0] = 5
    run = measured(
        Counts(counts, None, np.arange(5), cells), space(3), Protocol(ignore_classes=("c1",)), units
    )
    assert list(differences([run], [run], units)["per_class"]) == ["c0", "c2"]
