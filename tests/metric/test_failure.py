import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segkit.metric.failure import Failure
from segkit.metric.regions import near, regions
from segkit.metric.scored import Scored
from segkit.types import LabelSpace, UserError

KINDS = ("boundary", "missed", "invented", "confused")


def space(k: int, task: str = "multiclass") -> LabelSpace:
    return LabelSpace(
        tuple(f"c{i}" for i in range(k)), ((0, 0, 0),) * k, tuple((i,) for i in range(k)), task=task
    )


def picture(target, prediction, index=0, confidence=0.9):
    """What a network that is that sure everywhere says of a picture."""
    sure = np.broadcast_to(np.asarray(confidence, np.float32), prediction.shape)
    return SimpleNamespace(
        target=torch.from_numpy(target.copy()),
        prediction=torch.from_numpy(prediction.astype(np.int64)),
        confidence=torch.from_numpy(sure.copy()),
        index=index,
    )


def numbers(target, prediction, labels=None, **options):
    meter = Failure(labels or space(3), **options)
    meter.update(picture(target, prediction))
    return meter.numbers(meter.compute())


def blank(value=0, size=(60, 80)):
    return np.full(size, value, np.uint8)


def with_square(top, left, side=20, value=1, size=(60, 80)):
    mask = blank(size=size)
    mask[top : top + side, left : left + side] = value
    return mask


def random_masks(seed, k, size=(9, 13), ignore=255):
    """Patches rather than noise, so that there are objects."""
    rng = np.random.default_rng(seed)
    target = np.kron(rng.integers(0, k, (3, 5)), np.ones((3, 3), int))[: size[0], : size[1]].astype(np.uint8)
    prediction = np.where(rng.random(target.shape) < 0.3, rng.integers(0, k, target.shape), target)
    prediction = np.roll(prediction, rng.integers(0, 3), 1)
    target[rng.random(target.shape) < 0.1] = ignore
    return target, prediction.astype(np.uint8)


# ---- kinds of errors ------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.sampled_from([1, 2, 0.1]), st.sampled_from([0.1, 1]))
def test_the_four_kinds_add_up_to_all_wrong_pixels_of_each_class(seed, k, distance, share):
    target, prediction = random_masks(seed, k)
    found = numbers(target, prediction, space(k), distance=distance, share=share)
    wrong = (target != 255) & (target != prediction)
    assert found["errors"]["total"] == wrong.sum() == sum(found["errors"][kind] for kind in KINDS)
    for c in range(k):
        for key, classes in (("errors_per_class", target), ("errors_per_prediction", prediction)):
            row = found[key][f"c{c}"]
            assert row["total"] == (wrong & (classes == c)).sum() == sum(row[kind] for kind in KINDS)


def reference_kind(target, prediction, y, x, distance, share):
    """The docstring of `divide`, word by word, for one wrong pixel."""
    counted = target != 255
    window = (
        slice(max(0, y - distance), y + distance + 1),
        slice(max(0, x - distance), x + distance + 1),
    )
    t, p, c = target[window], prediction[window], counted[window]
    if (c & (t == prediction[y, x])).any() and (c & (p == target[y, x])).any():
        return "boundary"
    real = ndimage.label(counted & (target == target[y, x]))[0]
    claimed = ndimage.label(counted & (prediction == prediction[y, x]))[0]
    found = (prediction[real == real[y, x]] == target[y, x]).mean() >= share
    true = (target[claimed == claimed[y, x]] == prediction[y, x]).mean() >= share
    return {(False, True): "missed", (True, False): "invented"}.get((found, true), "confused")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 2))
def test_every_wrong_pixel_has_the_kind_that_the_definition_gives_it(seed, k, distance):
    target, prediction = random_masks(seed, k)
    counts = dict.fromkeys(KINDS, 0)
    for y, x in np.argwhere((target != 255) & (target != prediction)):
        counts[reference_kind(target, prediction, y, x, distance, 0.3)] += 1
    found = numbers(target, prediction, space(k), distance=distance, share=0.3)["errors"]
    assert {kind: found[kind] for kind in KINDS} == counts


def test_a_square_that_is_a_little_off_is_a_boundary_error_only():
    found = numbers(with_square(20, 30), with_square(20, 32), distance=2)["errors"]
    assert found == {"boundary": 80, "missed": 0, "invented": 0, "confused": 0, "total": 80}


def test_a_square_that_is_off_by_more_than_the_band_is_more_than_a_boundary_error():
    found = numbers(with_square(20, 30), with_square(20, 35), distance=2)["errors"]
    assert found["boundary"] < found["total"] == 200
    assert found["confused"] == 200 - found["boundary"]


def test_a_square_that_nothing_was_predicted_for_is_missed():
    found = numbers(with_square(20, 30), blank())
    assert found["errors"] == {"boundary": 0, "missed": 400, "invented": 0, "confused": 0, "total": 400}
    assert found["errors_per_class"]["c1"]["missed"] == 400
    assert found["errors_per_prediction"]["c0"]["missed"] == 400


def test_a_missed_object_thinner_than_the_band_is_missed_and_no_boundary_error():
    target = blank()
    target[10:50, 40:42] = 1
    assert numbers(target, blank(), distance=4)["errors"]["missed"] == 80


def test_a_square_that_is_not_there_is_invented():
    found = numbers(blank(), with_square(20, 30))
    assert found["errors"] == {"boundary": 0, "missed": 0, "invented": 400, "confused": 0, "total": 400}
    assert found["errors_per_class"]["c0"]["invented"] == 400
    assert found["errors_per_prediction"]["c1"]["invented"] == 400


def test_two_large_regions_that_are_swapped_are_confused():
    target, prediction = blank(0), blank(1)
    target[:, 40:], prediction[:, 40:] = 1, 0
    found = numbers(target, prediction, distance=2)["errors"]
    assert found["confused"] == 60 * 76  # all but two columns on each side of the border
    assert found["boundary"] == 60 * 4


def test_an_object_with_another_name_is_confused():
    found = numbers(with_square(20, 30, value=1), with_square(20, 30, value=2))["errors"]
    assert found == {"boundary": 0, "missed": 0, "invented": 0, "confused": 400, "total": 400}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_is_predicted_at_ignored_pixels_changes_nothing(seed):
    target, prediction = random_masks(seed, 4)
    other = prediction.copy()
    other[target == 255] = np.random.default_rng(seed).integers(0, 4, (target == 255).sum())
    options = {"suspicious_area": 1, "suspicious_confidence": 0.0}
    assert numbers(target, other, space(4), **options) == numbers(target, prediction, space(4), **options)


def test_a_picture_without_a_counted_pixel_has_no_errors_and_no_objects():
    found = numbers(blank(255), blank(1))
    assert found["errors"]["total"] == 0
    assert found["size"]["tiny"] == {"objects": 0, "found": 0, "recall": None, "iou": None}
    assert found["suspicious"] == []


def test_a_picture_of_one_pixel_is_an_object():
    found = numbers(blank(1, (1, 1)), blank(2, (1, 1)))
    assert found["errors"]["confused"] == 1
    assert sum(row["objects"] for row in found["size_per_class"]["c1"].values()) == 1


@pytest.mark.parametrize(("k", "ignore"), [(40, 255), (300, 65535)])
def test_many_classes_are_looked_at_like_few(k, ignore):
    """More than a word of bits, and more than 8 bits of class indices."""
    labels = space(k)
    target = with_square(20, 30, value=1).astype(labels.dtype) * (k - 1)
    prediction = np.roll(target, 2, 1)
    target[:5], prediction[40:, :20] = ignore, k - 2
    counted = picture(target.astype(np.int32), prediction)
    meter = Failure(labels, distance=2)
    meter.update(counted)
    found = meter.numbers(meter.compute())
    assert found["errors"] == {
        "boundary": 80,
        "missed": 0,
        "invented": 400,
        "confused": 0,
        "total": 480,
    }
    assert found["errors_per_prediction"][f"c{k - 2}"]["invented"] == 400


# ---- tools ----------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_regions_are_those_that_scipy_finds_class_by_class(seed, height, width):
    rng = np.random.default_rng(seed)
    values, counted = rng.integers(0, 3, (height, width)), rng.random((height, width)) < 0.9
    found = regions(values, counted)
    assert (found.ids > 0).tolist() == counted.tolist()
    total = 0
    for value in range(3):
        theirs, count = ndimage.label((values == value) & counted)
        total += count
        for label in range(1, count + 1):
            ids = np.unique(found.ids[theirs == label])
            assert len(ids) == 1
            assert (found.value[ids[0]], found.area[ids[0]]) == (value, (theirs == label).sum())
    assert total == len(found.area) - 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from([3, 70]))
def test_near_is_a_maximum_filter_of_each_class(seed, distance, k):
    rng = np.random.default_rng(seed)
    values, counted = rng.integers(0, k, (11, 17)).astype(np.uint8), rng.random((11, 17)) < 0.9
    where, wanted = np.arange(11 * 17), rng.integers(0, k, 11 * 17).astype(np.uint8)
    expected = [
        ndimage.maximum_filter((values == c) & counted, 2 * distance + 1, mode="constant").ravel()[i]
        for i, c in zip(where, wanted, strict=True)
    ]
    assert near(values, counted, distance, where, wanted).tolist() == expected


# ---- objects by size ------------------------------------------------------------------


def test_objects_by_size_of_a_picture_worked_by_hand():
    """10 x 10 squares of class 1: one right, one half seen, one missed; a large one of class 2."""
    target, prediction = blank(size=(100, 100)), blank(size=(100, 100))
    target[0:10, 0:10] = prediction[0:10, 0:10] = 1
    target[0:10, 30:40] = 1
    prediction[0:10, 30:35] = prediction[10:20, 30:35] = 1  # 50 pixels inside, 50 below
    target[0:10, 60:70] = 1
    target[50:90, 10:50] = 2
    prediction[50:90, 10:40] = 2
    found = numbers(target, prediction, size_names=["small", "large"], size_limits=[0.05])
    ones = found["size_per_class"]["c1"]
    assert ones["small"] == {
        "objects": 3,
        "found": 2,
        "recall": pytest.approx(150 / 300),
        "iou": pytest.approx((1 + 50 / 150 + 0) / 3),
    }
    assert ones["large"] == {"objects": 0, "found": 0, "recall": None, "iou": None}
    assert found["size_per_class"]["c2"]["large"] == {
        "objects": 1,
        "found": 1,
        "recall": pytest.approx(0.75),
        "iou": pytest.approx(0.75),
    }
    assert found["size"]["large"]["objects"] == 2  # the background is one
    assert found["sizes"] == [
        {"name": "small", "from": 0, "to": 0.05},
        {"name": "large", "from": 0.05, "to": None},
    ]


def test_the_iou_of_an_object_looks_at_all_predicted_regions_that_overlap_it():
    target, prediction = with_square(20, 30), with_square(20, 30)
    prediction[29:31] = 0  # cut in two
    prediction[0:5, 0:5] = 1  # elsewhere: not this object's
    found = numbers(target, prediction, size_names=["any"], size_limits=[])["size_per_class"]["c1"]["any"]
    assert found["iou"] == found["recall"] == pytest.approx(360 / 400)


def test_limits_in_pixels_part_objects_of_pictures_of_any_size():
    meter = Failure(space(2), size_names=["small", "large"], size_limits=[400])
    for i, (side, size) in enumerate([(19, (60, 80)), (20, (60, 80)), (20, (300, 500))]):
        mask = with_square(5, 5, side, size=size)
        meter.update(picture(mask, mask, i))
    counts = meter.numbers(meter.compute())["size_per_class"]["c1"]
    assert (counts["small"]["objects"], counts["large"]["objects"]) == (1, 2)


# ---- suspicious labels ----------------------------------------------------------------


def fault(index=0):
    """A sure network that is right, but one square is labelled as class 2; elsewhere it errs in doubt."""
    prediction = with_square(20, 30, 20)
    prediction[45:55, 50:70] = 2
    target, confidence = prediction.copy(), np.full(prediction.shape, 0.99)
    target[20:40, 30:40] = 2  # the fault
    target[45:55, 50:70], confidence[45:55, 50:70] = 0, 0.85  # the network's own error
    return picture(target, prediction, index, confidence)


def test_a_label_fault_that_a_sure_network_sees_comes_first():
    meter = Failure(space(3))
    meter.update(fault(7))
    first, second = meter.numbers(meter.compute())["suspicious"]
    assert (first["index"], first["target"], first["prediction"]) == (7, "c2", "c1")
    assert first["box"] == [20, 30, 20, 10]
    assert first["pixels"] == 200
    assert first["confidence"] == pytest.approx(0.99)
    assert first["score"] == pytest.approx(0.95 * 200**0.5, rel=1e-4)
    assert (second["target"], second["prediction"]) == ("c0", "c2")


def test_disagreement_of_an_unsure_network_is_not_suspicious():
    meter = Failure(space(3), suspicious_confidence=0.95)
    meter.update(fault())
    assert [row["pixels"] for row in meter.numbers(meter.compute())["suspicious"]] == [200]


def test_disagreement_along_a_border_is_not_suspicious():
    found = numbers(with_square(20, 30), with_square(20, 32), distance=2, suspicious_area=1)
    assert found["suspicious"] == []


def test_at_most_so_many_regions_of_a_picture_are_kept_the_best_ones():
    target, prediction, confidence = blank(), blank(), np.full((60, 80), 0.99)
    for i in range(7):
        prediction[10:20, 11 * i : 11 * i + 9] = 1
        confidence[10:20, 11 * i : 11 * i + 9] = 0.85 + 0.02 * i
    meter = Failure(space(2), suspicious=3)
    meter.update(picture(target, prediction, 0, confidence))
    assert [row["box"][1] for row in meter.numbers(meter.compute())["suspicious"]] == [66, 55, 44]
    none = Failure(space(2), suspicious=0)
    none.update(picture(target, prediction, 0, confidence))
    assert none.numbers(none.compute())["suspicious"] == []


def test_confidence_is_asked_for_only_where_a_region_is_large_enough():
    class Lazy(SimpleNamespace):
        @property
        def confidence(self):
            raise AssertionError("nobody should ask")

    mask = torch.from_numpy(with_square(20, 30))
    Failure(space(2)).update(Lazy(target=mask, prediction=mask.long(), index=0))


# ---- the table ------------------------------------------------------------------------


def tables_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(5)))
def test_the_order_of_pictures_does_not_matter(seed, order):
    shown = [picture(*random_masks(seed + i, 4), i, 0.95) for i in range(5)]
    tables = []
    for places in (range(5), order):
        meter = Failure(space(4), suspicious_area=1)
        for i in places:
            meter.update(shown[i])
        tables.append(meter.compute())
    tables_equal(*tables)
    assert len(tables[0]["suspicious"])


def test_numbers_of_several_pictures_are_the_sums_of_their_own():
    shown = [picture(*random_masks(i, 4), i) for i in range(3)]
    whole = Failure(space(4))
    totals = []
    for one in shown:
        whole.update(one)
        own = Failure(space(4))
        own.update(one)
        totals.append(own.numbers(own.compute())["errors"]["total"])
    found = whole.numbers(whole.compute())
    assert found["errors"]["total"] == sum(totals)
    json.dumps(found, allow_nan=False)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_pictures_are_no_errors():
    meter = Failure(space(3))
    assert meter.numbers(meter.compute())["errors"]["total"] == 0


def test_a_networks_logits_are_looked_at_at_the_size_of_the_target():
    logits = torch.zeros(2, 6, 8)
    logits[1, 2:4, 3:5] = 8
    scored = Scored(logits, torch.zeros(60, 80, dtype=torch.uint8), 0, space(2))
    meter = Failure(space(2))
    meter.update(scored)
    found = meter.numbers(meter.compute())
    assert found["errors"]["invented"] == int(scored.prediction.sum()) > 0
    assert 0.8 <= found["suspicious"][0]["confidence"] <= 1


def test_a_binary_task_has_background_and_foreground():
    labels = space(2, "binary")
    scored = Scored(torch.full((1, 60, 80), -5.0), torch.from_numpy(with_square(20, 30)), 0, labels)
    meter = Failure(labels)
    meter.update(scored)
    found = meter.numbers(meter.compute())
    assert found["errors_per_class"]["c1"]["missed"] == 400
    assert found["suspicious"][0]["target"] == "c1"
    assert found["suspicious"][0]["confidence"] == pytest.approx(1 / (1 + np.exp(-5)), rel=1e-5)


def test_labels_that_overlap_are_looked_at_one_by_one():
    labels = space(3, "multilabel")
    target = np.stack([with_square(20, 30), with_square(25, 35), blank()])
    prediction = np.stack([with_square(20, 30), blank(), with_square(0, 0)])
    target[:, 50:] = 255
    found = numbers(target, prediction, labels)
    assert found["errors_per_class"]["c0"]["total"] == 0
    assert found["errors_per_class"]["c1"]["missed"] == found["errors_per_class"]["c1"]["total"] == 400
    assert found["errors_per_class"]["c2"]["invented"] == found["errors_per_class"]["c2"]["total"] == 400
    assert found["errors_per_prediction"] is None
    assert "not defined" in found["protocol"]["errors_per_prediction"]
    assert found["size_per_class"]["c0"]["large"]["objects"] == 1  # the label, not its absence
    names = [(row["target"], row["prediction"]) for row in found["suspicious"]]
    assert sorted(names) == [("c1", "no c1"), ("no c2", "c2")]


def test_the_confidence_of_a_doubted_label_is_that_of_its_own_plane():
    labels = space(2, "multilabel")
    logits = torch.stack([torch.full((60, 80), -6.0), torch.full((60, 80), -3.0)])
    target = torch.zeros(2, 60, 80, dtype=torch.uint8)
    target[0, :20, :20], target[1, 30:50, 30:50] = 1, 1
    meter = Failure(labels)
    meter.update(Scored(logits, target, 0, labels))
    found = {row["target"]: row["confidence"] for row in meter.numbers(meter.compute())["suspicious"]}
    expected = {"c0": 1 / (1 + np.exp(-6)), "c1": 1 / (1 + np.exp(-3))}
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distance": 0}, "metric.failure.distance=0: give a share below 1, or pixels from 1 on"),
        ({"suspicious_area": -1}, "metric.failure.suspicious_area=-1"),
        ({"share": 1.5}, "metric.failure.share=1.5: give a number above 0 and at most 1"),
        ({"suspicious": -1}, "metric.failure.suspicious=-1: give 0 .none. or more"),
        ({"suspicious_confidence": 1.0}, "metric.failure.suspicious_confidence=1.0: give a number from 0"),
        ({"size_limits": [0.1]}, "1 limits part 2 sizes; size_names gives 4"),
        ({"size_names": ["a", "a", "b", "c"]}, "3 different names"),
        ({"size_limits": [0.1, 0.05, 0.2]}, "give ascending areas"),
        ({"size_limits": [0.1, 5, 10]}, "all below 1"),
    ],
)
def test_an_option_without_meaning_is_one_line(options, message):
    with pytest.raises(UserError, match=message) as caught:
        Failure(space(3), **options)
    assert "\n" not in str(caught.value)
