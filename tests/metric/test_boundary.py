import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.metric.boundary import Boundary
from segkit.metric.distance import DISTANCES, NUMBERS, SCORES
from segkit.metric.scored import Scored
from segkit.types import LabelSpace, UserError

MEAN = {*NUMBERS, "trimap_iou_dataset"}


def space(k: int, task: str = "multiclass") -> LabelSpace:
    return LabelSpace(
        tuple(f"c{i}" for i in range(k)), ((0, 0, 0),) * k, tuple((i,) for i in range(k)), task=task
    )


def square(left: int, size: tuple[int, int] = (10, 12), value: int = 1) -> torch.Tensor:
    """A square of 4x4 on a ground; no square for a negative place."""
    mask = torch.zeros(size, dtype=torch.uint8)
    if left >= 0:
        mask[2:6, left : left + 4] = value
    return mask


def feed(meter, *pictures, index=None):
    for i, (target, prediction) in enumerate(pictures):
        meter.update(
            SimpleNamespace(
                target=target, prediction=prediction.long(), index=i if index is None else index[i]
            )
        )
    return meter


def numbers(meter):
    return meter.numbers(meter.compute())


def test_a_class_is_the_mean_over_the_images_that_show_it_and_the_mean_is_over_classes():
    """Shifted by two: Hausdorff 2, average 1. By none: 0. A missed square: the diagonal."""
    pictures = [
        (square(2), square(4)),
        (square(2), square(2)),
        (square(2), square(-1)),
        (square(-1), square(-1)),
    ]
    found = numbers(feed(Boundary(space(3), boundary_tolerance=1, surface_tolerance=0), *pictures))
    worst = np.hypot(10, 12)
    one = found["per_class"]["c1"]
    assert one["hausdorff"] == pytest.approx((2 + 0 + worst) / 3)
    assert one["assd"] == pytest.approx((1 + 0 + worst) / 3)
    assert one["boundary_f1"] == pytest.approx((8 / 12 + 1 + 0) / 3)
    assert one["surface_dice"] == pytest.approx((4 / 12 + 1 + 0) / 3)
    assert (one["images"], one["missed"], one["invented"], one["without_border"]) == (3, 1, 0, 0)
    ground = found["per_class"]["c0"]
    assert (ground["images"], ground["missed"], ground["without_border"]) == (3, 0, 1)
    assert found["mean"]["assd"] == pytest.approx((one["assd"] + ground["assd"]) / 2)
    nothing = dict.fromkeys(MEAN) | {"images": 0, "missed": 0, "invented": 0, "without_border": 0}
    assert found["per_class"]["c2"] == nothing
    assert set(found["mean"]) == MEAN


def test_the_trimap_of_the_data_set_adds_up_pixels():
    meter = Boundary(space(2), trimap_width=1)
    found = numbers(feed(meter, (square(2), square(4)), (square(2), square(2))))["per_class"]["c1"]
    assert found["trimap_iou"] == pytest.approx((6 / 16 + 1) / 2)
    assert found["trimap_iou_dataset"] == pytest.approx((6 + 12) / (16 + 12))


def test_distances_may_be_shares_of_each_images_own_diagonal():
    pictures = [(square(2), square(4)), (square(2, (30, 40)), square(-1, (30, 40)))]
    found = numbers(feed(Boundary(space(2), unit="diagonal"), *pictures))["per_class"]["c1"]
    assert found["hausdorff"] == pytest.approx((2 / np.hypot(10, 12) + 1) / 2)
    assert (
        found["boundary_iou"]
        == numbers(feed(Boundary(space(2)), *pictures))["per_class"]["c1"]["boundary_iou"]
    )


def test_a_share_is_that_of_the_diagonal_of_the_image():
    """3x4 times ten: the diagonal is 50 pixels, two of them are 4 %."""
    pair = square(2, (30, 40)), square(4, (30, 40))
    for share, pixels in (("4%", 2), ("3.99%", 1.99), ("2%", 1)):
        by_share, by_pixels = (
            numbers(feed(Boundary(space(2), width, width, band, band), pair))["mean"]
            for width, band in ((share, "4.2%"), (pixels, 2))
        )
        assert by_share == by_pixels


def test_missing_more_never_scores_better():
    """In MONAI a missed structure has no number, so that missing all but the easy ones pays."""
    found = [
        numbers(feed(Boundary(space(2)), (square(2), square(3)), (square(2), square(left))))["mean"]
        for left in (2, 4, 6, -1)
    ]
    for better, worse in pairwise(found):
        assert all(better[name] < worse[name] for name in DISTANCES)
        assert all(better[name] >= worse[name] for name in SCORES)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(4)))
def test_order_does_not_matter(order):
    pictures = [(square(2), square(i, value=i % 2 + 1)) for i in range(4)]
    plain = feed(Boundary(space(3)), *pictures).compute()
    mixed = feed(Boundary(space(3)), *(pictures[i] for i in order), index=order).compute()
    for name in plain:
        np.testing.assert_array_equal(plain[name], mixed[name])


def test_numbers_come_from_stored_rows_alone(tmp_path):
    meter = feed(Boundary(space(2)), (square(2), square(4)), (square(2), square(-1)))
    np.savez(tmp_path / "rows.npz", **meter.compute())
    with np.load(tmp_path / "rows.npz") as rows:
        assert Boundary(space(2)).numbers(dict(rows)) == numbers(meter)


def test_no_image_is_no_number():
    meter = Boundary(space(2))
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        rows = meter.compute()
    assert set(meter.numbers(rows)["mean"].values()) == {None}


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 1)])
def test_tiny_pictures_and_ignored_ones_have_no_number(size):
    blank = torch.zeros(size, dtype=torch.uint8)
    found = numbers(feed(Boundary(space(2)), (blank, blank), (blank + 255, blank)))
    assert set(found["mean"].values()) == {None}
    assert found["per_class"]["c0"]["without_border"] == 1


def test_overlapping_classes_are_masks_of_their_own():
    """Plane by plane as if each were a binary task; each with its own ignored pixels."""
    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.choice([0, 1, 255], (3, 9, 12), p=[0.5, 0.4, 0.1]).astype(np.uint8))
    prediction = torch.from_numpy(rng.integers(0, 2, (3, 9, 12)))
    rows = feed(Boundary(space(3, "multilabel")), (target, prediction)).compute()
    for c in range(3):
        alone = feed(Boundary(space(2, "binary")), (target[c], prediction[c])).compute()
        for name in ("score", "shown", "trimap"):
            np.testing.assert_array_equal(rows[name][0, c], alone[name][0, 1])
        assert rows["diagonal"].tolist() == [np.hypot(9, 12)]


def test_a_binary_task_measures_ground_and_foreground_from_one_logit():
    target = square(2)
    logits = torch.where(square(4) == 1, 3.0, -3.0)[None]
    meter = Boundary(space(2, "binary"))
    meter.update(Scored(logits, target, 0, meter.labels))
    assert numbers(meter)["per_class"]["c1"]["hausdorff"] == 2
    assert numbers(meter)["per_class"]["c0"]["hausdorff"] == 2


def test_more_classes_than_a_byte_holds():
    target, prediction = square(2).int() * 299, square(4).int() * 299
    target[9] = 65535
    found = numbers(feed(Boundary(space(300)), (target, prediction)))["per_class"]
    assert found["c299"]["hausdorff"] == 2
    assert found["c1"]["hausdorff"] is None


def test_the_protocol_defines_every_number_with_its_widths():
    meter = Boundary(space(2), boundary_tolerance="1.5%", surface_tolerance=1, band_width=3, unit="diagonal")
    protocol = numbers(feed(meter, (square(2), square(4))))["protocol"]
    assert set(protocol) >= MEAN
    assert protocol["boundary_tolerance"] == "1.5 % of the diagonal of the image"
    assert protocol["surface_tolerance"] == "1 pixel"
    assert protocol["band_width"] == "3 pixels"
    assert (
        protocol["trimap_width"] == "1 % of the diagonal of the image, rounded to a whole pixel, at least 1"
    )
    assert "shares of the diagonal" in protocol["unit"]
    assert protocol["images"] == 1


@pytest.mark.parametrize("width", ["abc", "2px", "-1", -1, "-1%", "nan", "inf", "%", ""])
@pytest.mark.parametrize("key", ["boundary_tolerance", "surface_tolerance", "band_width", "trimap_width"])
def test_a_width_that_is_none_is_refused(key, width):
    with pytest.raises(UserError, match=rf"^metric\.boundary\.{key}={width}: give pixels.* or a share"):
        Boundary(space(2), **{key: width})


@pytest.mark.parametrize("width", [0, 0.5, "0%"])
def test_a_band_holds_the_contour_at_least_and_a_tolerance_may_be_nothing(width):
    with pytest.raises(UserError, match="at least 1"):
        Boundary(space(2), band_width=width)
    assert Boundary(space(2), boundary_tolerance=width).boundary_tolerance.pixels(100) == float(
        str(width).rstrip("%")
    )


def test_a_unit_that_is_none_is_refused():
    with pytest.raises(UserError, match=r"metric\.boundary\.unit=mm: choose pixel, diagonal"):
        Boundary(space(2), unit="mm")


def test_evaluation_writes_numbers_and_rows(finished, command, tmp_path):
    options = ("metric=boundary", "metric.boundary.boundary_tolerance=1.5%", "metric.boundary.unit=diagonal")
    done = command("evaluate", f"run={finished}", "split=val", "hydra.run.dir=here", *options, cwd=tmp_path)
    assert done.code == 0, done.err
    written = json.loads((tmp_path / "here" / "metrics.json").read_text())["boundary"]
    assert written["protocol"]["boundary_tolerance"] == "1.5 % of the diagonal of the image"
    with np.load(tmp_path / "here" / "counts.npz") as stored:
        rows = {
            name.removeprefix("boundary/"): stored[name] for name in stored if name.startswith("boundary/")
        }
        labels = space(len(stored["classes"]))
    again = Boundary(labels, boundary_tolerance="1.5%", unit="diagonal").numbers(rows)
    assert again["mean"] == written["mean"]
    assert 0 < written["mean"]["hausdorff"] <= 1


def test_a_width_that_is_none_is_refused_in_one_line(finished, command, tmp_path):
    done = command(
        "evaluate", f"run={finished}", "metric=boundary", "metric.boundary.band_width=2px", cwd=tmp_path
    )
    assert done.code == 2
    assert done.err.strip().count("\n") == 0
    assert "metric.boundary.band_width=2px: give pixels" in done.err
