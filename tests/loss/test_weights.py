import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.loss.bce import bce
from segkit.loss.ce import ce
from segkit.loss.weights import SCHEMES, class_weights, loss_share
from segkit.types import LabelSpace, UserError

# Two images of 1000 pixels; class 2 is in the second alone, class 3 nowhere.
COUNTS = np.array([[900, 100, 0, 0], [700, 200, 100, 0]], np.int64)
SHARE = COUNTS.sum(0) / COUNTS.sum()


def scaled(raw: list[float]) -> list[float]:
    """Weights of the three classes that appear, with a mean of 1 over the pixels."""
    return (np.array(raw) / (SHARE[:3] * raw).sum()).tolist()


def test_inverse_gives_each_class_the_same_part_of_the_loss():
    weights = class_weights("inverse", COUNTS)
    assert SHARE[:3] * weights[:3] == pytest.approx([1 / 3] * 3)


def test_median_frequency_divides_by_the_images_that_show_the_class():
    """Frequencies 1600/2000, 300/2000 and 100/1000: the median is 0.15."""
    weights = class_weights("median_frequency", COUNTS)
    assert weights[:3] == pytest.approx(scaled([0.15 / 0.8, 1, 1.5]))


def test_enet_is_the_inverse_logarithm():
    assert class_weights("enet", COUNTS)[:3] == pytest.approx(
        scaled([1 / np.log(1.02 + p) for p in SHARE[:3]])
    )


def test_effective_number_of_ten_thousand_pixels():
    """The shares 0.8, 0.15 and 0.05 stand for 8000, 1500 and 500 pixels."""
    raw = [0.001 / (1 - 0.999**n) for n in (8000, 1500, 500)]
    assert class_weights("effective_number", COUNTS)[:3] == pytest.approx(scaled(raw))


def test_effective_number_does_not_collapse_on_millions_of_pixels():
    weights = class_weights("effective_number", COUNTS * 10**6)
    assert weights == pytest.approx(class_weights("effective_number", COUNTS))
    rare = class_weights("effective_number", np.array([[999_000_000, 1_000_000]]))
    assert rare[1] > 5 * rare[0]


def test_uniform_is_one_for_every_class():
    assert class_weights("uniform", COUNTS) == pytest.approx([1, 1, 1, 1])


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_the_share_of_the_loss_is_what_the_loss_itself_divides(scheme):
    """While all pixels lose the same, the loss divides as its weights do."""
    labels = LabelSpace(tuple("abcd"), ((0, 0, 0),) * 4, tuple((i,) for i in range(4)))
    weights = class_weights(scheme, COUNTS)
    target = torch.tensor(np.repeat(np.arange(4), COUNTS.sum(0)).reshape(1, 1, -1))
    loss = ce(labels, torch.tensor(weights))
    expected = [
        float(loss.weigh(torch.where(target == i, target, labels.ignore_index))[0] / loss.weigh(target)[0])
        for i in range(4)
    ]
    assert loss_share(weights, COUNTS, "multiclass") == pytest.approx(expected)


def test_a_multilabel_class_asks_every_pixel():
    labels = LabelSpace(tuple("abcd"), ((0, 0, 0),) * 4, tuple((i,) for i in range(4)), task="multilabel")
    weights, target = [1.0, 2.0, 3.0, 2.0], torch.zeros(1, 4, 5, 5, dtype=torch.long)
    target[:, 0] = 1
    loss = bce(labels, torch.tensor(weights))
    alone = target.clone()
    alone[:, [0, 1, 3]] = labels.ignore_index
    carried = float(loss.weigh(alone)[0] / loss.weigh(target)[0])
    assert loss_share(weights, COUNTS, "multilabel")[2] == pytest.approx(carried) == pytest.approx(3 / 8)


def test_the_shares_of_no_pixels_are_zeros():
    assert loss_share([1.0, 1.0], np.zeros((3, 2), np.int64), "multiclass") == [0.0, 0.0]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(SCHEMES)),
    st.lists(st.lists(st.integers(0, 10**7), min_size=4, max_size=4), min_size=1, max_size=5),
    st.floats(1, 20) | st.just(1.0),
)
def test_a_scheme_keeps_the_mean_over_the_pixels_and_its_cap(scheme, rows, cap):
    counts = np.array(rows, np.int64)
    if not counts.any():
        return
    weights = np.array(class_weights(scheme, counts, cap))
    assert (counts.sum(0) / counts.sum() * weights).sum() == pytest.approx(1)
    assert (weights > 0).all()
    assert (weights <= cap * (1 + 1e-9)).all()
    rarer_first = np.argsort(counts.sum(0))
    shown = rarer_first[counts.sum(0)[rarer_first] > 0]
    if scheme != "median_frequency":
        assert (np.diff(weights[shown]) <= 1e-9).all()


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_a_class_without_pixels_counts_like_an_average_pixel(scheme):
    assert class_weights(scheme, COUNTS)[3] == 1.0


def test_the_cap_holds_back_a_very_rare_class():
    counts = np.array([[1_000_000, 10]])
    assert class_weights("inverse", counts)[1] == pytest.approx(10)
    assert class_weights("inverse", counts, cap=1e9)[1] == pytest.approx(1_000_010 / 20)


def test_a_list_is_taken_as_it_is():
    assert class_weights([1, 0, 2.5, 300], COUNTS) == [1.0, 0.0, 2.5, 300.0]


@pytest.mark.parametrize(
    "values", [[1.0, 2.0], [], 3, [1, 1, 1, -1], [0, 0, 0, 0], [1, 1, 1, float("nan")], [1, 1, 1, "x"]]
)
def test_a_list_that_does_not_fit_is_refused(values):
    with pytest.raises(UserError, match=r"loss\.class_weights=\["):
        class_weights(values, COUNTS)


@pytest.mark.parametrize(
    ("typed", "meant"), [("invers", "inverse"), ("median", "median_frequency"), ("e-net", "enet")]
)
def test_an_unknown_scheme_names_the_nearest(typed, meant):
    with pytest.raises(UserError, match=f"did you mean {meant}"):
        class_weights(typed, COUNTS)


def test_masks_without_a_labelled_pixel_are_refused():
    with pytest.raises(UserError, match="every training pixel is ignored"):
        class_weights("inverse", np.zeros((2, 3), np.int64))
