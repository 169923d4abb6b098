import json

import numpy as np
import pytest

from segkit.analysis.weights import weights_table
from segkit.loss.weights import SCHEMES, class_weights

COUNTS = np.array([[900_000, 99_900, 100], [700_000, 299_900, 100]], np.int64)


def test_the_laboratory_shows_what_training_would_use(classes_of):
    table = weights_table(COUNTS, classes_of(3))
    assert [s["name"] for s in table["schemes"]] == list(SCHEMES)
    for scheme in table["schemes"]:
        weights = [c["weight"] for c in scheme["classes"]]
        assert weights == class_weights(scheme["key"].removeprefix("loss.class_weights="), COUNTS)


def test_every_scheme_keeps_the_mean_and_divides_the_whole_loss(classes_of):
    share = COUNTS.sum(0) / COUNTS.sum()
    for scheme in weights_table(COUNTS, classes_of(3))["schemes"]:
        weights = np.array([c["weight"] for c in scheme["classes"]])
        assert weights @ share == pytest.approx(1)
        assert [c["loss_share"] for c in scheme["classes"]] == pytest.approx((weights * share).tolist())


def test_a_weight_that_the_cap_holds_back_says_so(classes_of):
    """Class 2 has a ten-thousandth of the pixels: `inverse` wants 3333 and may have 10."""
    table = {s["name"]: s["classes"] for s in weights_table(COUNTS, classes_of(3))["schemes"]}
    assert [c["capped"] for c in table["inverse"]] == [False, False, True]
    assert table["inverse"][2]["weight"] == pytest.approx(10)
    assert [c["capped"] for c in table["uniform"]] == [False] * 3


def test_overlapping_classes_carry_their_weight(classes_of):
    schemes = weights_table(COUNTS, classes_of(3, "multilabel"))["schemes"]
    assert [c["loss_share"] for c in schemes[0]["classes"]] == pytest.approx([1 / 3] * 3)


def test_no_labelled_pixel_leaves_nothing_to_weigh(classes_of):
    table = weights_table(np.zeros((2, 3), np.int64), classes_of(3))
    assert table["schemes"] == []
    assert "no training mask" in table["missing"]


def test_the_table_is_plain_and_strict(classes_of):
    table = weights_table(COUNTS, classes_of(3))
    assert json.loads(json.dumps(table, allow_nan=False)) == table


def test_a_class_that_training_does_not_show_is_marked(classes_of):
    classes = weights_table(np.array([[5, 0, 9]]), classes_of(3))["schemes"][1]["classes"]
    assert [c["known"] for c in classes] == [True, False, True]
    assert classes[1]["weight"] == 1
