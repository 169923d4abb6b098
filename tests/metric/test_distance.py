import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, distance_transform_edt

from segkit.metric import distance
from segkit.metric.distance import NUMBERS, Widths, compare, distance_to

WIDTHS = Widths(boundary=1.5, surface=1, band=2, trimap=2)
SIDE = st.integers(1, 14)


def maps(seed: int, height: int, width: int, k: int = 4, ignored: float = 0.0):
    """Label maps of blobs and specks, of which the prediction resembles the target."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, k, (-(-height // 3), -(-width // 3)), np.uint8)
    target = coarse.repeat(3, 0).repeat(3, 1)[:height, :width]
    prediction = np.where(rng.random(target.shape) < 0.2, rng.integers(0, k, target.shape), target)
    return target, prediction.astype(np.int64), rng.random(target.shape) >= ignored


def measured(target, prediction, counted=None, k=4, widths=WIDTHS):
    counted = np.ones(target.shape, bool) if counted is None else counted
    return compare(target, prediction, counted, k, widths)


def numbers(target, prediction, c, **options):
    return dict(zip(NUMBERS, measured(target, prediction, **options).score[c].tolist(), strict=True))


def contour_by_erosion(mask, counted):
    """A mask's pixels that erosion takes away, where neither ignored pixels nor the frame erode."""
    return mask & ~binary_erosion(mask | ~counted, border_value=1)


def slowly(target, prediction, counted, k, w):
    """The definitions, class by class, with scipy's exact transform; the trimap's counts apart."""
    score, masks = (
        np.full((k, 7), np.nan),
        [[(m == c) & counted for c in range(k)] for m in (target, prediction)],
    )
    edges = [[contour_by_erosion(mask, counted) for mask in side] for side in masks]
    any_edge = [np.any(side, 0) for side in edges]
    to_any = [distance_transform_edt(~e) if e.any() else np.full(e.shape, np.inf) for e in any_edge]
    for c in range(k):
        (t, p), (te, pe) = (side[c] for side in masks), (side[c] for side in edges)
        if not t.any() and not p.any():
            continue
        if t.any() and p.any() and not te.any():
            continue
        if not t.any() or not p.any() or not pe.any():
            score[c] = [0] * 4 + [np.sqrt(target.shape[0] ** 2 + target.shape[1] ** 2)] * 3
            continue
        recall, precision = distance_transform_edt(~pe)[te], distance_transform_edt(~te)[pe]
        r, q = (recall <= w.boundary).sum() / te.sum(), (precision <= w.boundary).sum() / pe.sum()
        near = [mask & (to < w.band) for mask, to in zip((t, p), to_any, strict=True)]
        zone = to_any[0] < w.trimap
        both = [*recall, *precision]
        score[c] = [
            0 if r + q == 0 else 2 * r * q / (r + q),
            (near[0] & near[1]).sum() / (near[0] | near[1]).sum(),
            (t & p & zone).sum() / ((t | p) & zone).sum(),
            sum(d <= w.surface for d in both) / len(both),
            max(both),
            max(np.quantile(recall, 0.95), np.quantile(precision, 0.95)),
            sum(both) / len(both),
        ]
    return score


@pytest.mark.parametrize("size", [(1, 1), (1, 17), (23, 1), (2, 3), (16, 32), (64, 40), (301, 700)])
@pytest.mark.parametrize("share", [0.5, 0.02, 0.0])
def test_distances_are_those_of_scipys_exact_transform(size, share):
    rng = np.random.default_rng(0)
    points = rng.random(size) < share
    points[rng.integers(size[0]), rng.integers(size[1])] = True
    found = distance_to(points)
    np.testing.assert_allclose(found, distance_transform_edt(~points), atol=1e-4)
    assert found.dtype == np.float32


def test_without_a_point_every_distance_is_infinite():
    assert np.isinf(distance_to(np.zeros((2, 3), bool))).all()


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1), SIDE, SIDE, st.sampled_from([0, 0.05, 0.4]), st.sampled_from([1, 32, 10**9])
)
def test_numbers_are_those_of_erosion_and_scipys_transform(seed, height, width, ignored, sparse):
    """By tree and by transform alike."""
    target, prediction, counted = maps(seed, height, width, ignored=ignored)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distance, "SPARSE", sparse)
        found = measured(target, prediction, counted)
    np.testing.assert_allclose(found.score, slowly(target, prediction, counted, 4, WIDTHS), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), SIDE, SIDE)
def test_the_class_of_a_label_map_has_the_numbers_of_its_mask_alone(seed, height, width):
    """But the trimap is about the borders of all classes."""
    target, prediction, _ = maps(seed, height, width)
    whole = np.delete(measured(target, prediction).score, NUMBERS.index("trimap_iou"), 1)
    for c in range(4):
        mask = measured((target == c).astype(np.uint8), (prediction == c).astype(np.int64), k=2)
        alone = np.delete(mask.score[1], NUMBERS.index("trimap_iou"))
        np.testing.assert_allclose(alone, whole[c], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), SIDE, SIDE)
def test_counts_of_the_trimap_are_those_of_its_pixels(seed, height, width):
    target, prediction, counted = maps(seed, height, width, ignored=0.1)
    edge = np.any([contour_by_erosion((target == c) & counted, counted) for c in range(4)], 0)
    zone = counted & (distance_transform_edt(~edge) < WIDTHS.trimap if edge.any() else False)
    for c, found in enumerate(measured(target, prediction, counted).trimap):
        t, p = (target == c) & zone, (prediction == c) & zone
        assert found.tolist() == [(t & p).sum(), (p & ~t).sum(), (t & ~p).sum()]


@pytest.mark.filterwarnings("ignore")  # its own deprecations
@pytest.mark.parametrize("seed", range(5))
def test_monai_agrees_on_masks_that_do_not_touch_the_frame(seed):
    """MONAI takes the frame as a contour."""
    pytest.importorskip("monai")
    from monai.metrics import (
        compute_average_surface_distance,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    target, prediction = (np.pad(m, 2) for m in maps(seed, 33, 57)[:2])
    t, p = (
        torch.stack([torch.from_numpy(m) == c for c in range(4)])[None].float() for m in (target, prediction)
    )
    found = measured(target, prediction).score[1:]
    expected = {
        "hausdorff": compute_hausdorff_distance(p, t),
        "hd95": compute_hausdorff_distance(p, t, percentile=95),
        "assd": compute_average_surface_distance(p, t, symmetric=True),
        "surface_dice": compute_surface_dice(p, t, [WIDTHS.surface] * 3),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[:, NUMBERS.index(name)], values[0], rtol=1e-5, err_msg=name)


def squares(shift: int = 2, size: int = 4):
    """A square on a ground, and the same moved to the right."""
    target, prediction = np.zeros((10, 12), np.uint8), np.zeros((10, 12), np.int64)
    target[2 : 2 + size, 2 : 2 + size] = 1
    prediction[2 : 2 + size, 2 + shift : 2 + shift + size] = 1
    return target, prediction


def test_two_squares_two_pixels_apart_by_hand():
    """Of 12 contour pixels each, four lie 2 from the other contour, four lie 1 and four lie on it."""
    target, prediction = squares()
    found = numbers(target, prediction, 1, k=2, widths=Widths(boundary=1, surface=0, band=1, trimap=1))
    assert found == pytest.approx(
        {
            "boundary_f1": 8 / 12,
            "boundary_iou": 4 / 20,  # four pixels are on both contours
            "trimap_iou": 6 / 16,  # 12 pixels of the target; of the prediction 6 of these and 4 beside
            "surface_dice": 4 / 12,
            "hausdorff": 2,
            "hd95": 2,
            "assd": 1,
        }
    )
    wide = numbers(target, prediction, 1, k=2, widths=Widths(boundary=2, surface=2, band=2, trimap=50))
    assert wide["boundary_f1"] == wide["surface_dice"] == 1
    assert wide["boundary_iou"] == wide["trimap_iou"] == pytest.approx(8 / 24)  # the whole squares


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 22), min_size=8, max_size=8), st.integers(1, 6))
def test_the_boundary_iou_of_rectangles_is_that_of_erosion(corners, width):
    """Cheng et al.'s code erodes with a square, one pixel of the width at a time."""
    masks = []
    for top, bottom, left, right in (
        sorted(corners[:2]) + sorted(corners[2:4]),
        sorted(corners[4:6]) + sorted(corners[6:]),
    ):
        mask = np.zeros((25, 25), np.uint8)
        mask[top : bottom + 1, left : right + 1] = 1
        masks.append(mask)
    bands = [m - binary_erosion(m, np.ones((3, 3)), iterations=width) for m in masks]
    expected = (bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum()
    found = numbers(masks[0], masks[1].astype(np.int64), 1, k=2, widths=WIDTHS._replace(band=width))
    assert found["boundary_iou"] == pytest.approx(expected)


def test_the_percentile_is_taken_of_each_direction_by_itself():
    """One far pixel is one of five of the prediction, but one of nine of both."""
    target, prediction = np.zeros((2, 120), np.uint8), np.zeros((2, 120), np.int64)
    target[0, :4] = prediction[0, :4] = 1
    prediction[0, 100] = 1
    # Distances of the prediction: 0, 0, 0, 0, 97; of the target: 0, 0, 0, 0.
    found = numbers(target, prediction, 1, k=2)
    assert found["hausdorff"] == 97
    assert found["hd95"] == pytest.approx(0.8 * 97)  # 95 % of the way over four gaps: 3.8
    assert found["assd"] == pytest.approx(97 / 9)


def test_the_frame_is_no_contour():
    """Of two halves of a picture only the line between them is one."""
    target, prediction = np.zeros((6, 20), np.uint8), np.zeros((6, 20), np.int64)
    target[:, 10:], prediction[:, 13:] = 1, 1
    found = numbers(target, prediction, 1, k=2, widths=Widths(boundary=2.9, surface=3, band=1, trimap=1))
    assert (found["hausdorff"], found["hd95"], found["assd"]) == (3, 3, 3)
    assert (found["boundary_f1"], found["surface_dice"], found["boundary_iou"]) == (0, 1, 0)


def test_a_border_to_ignored_pixels_is_no_contour():
    """What is right and wrong beneath them cannot be seen."""
    target, prediction = squares(shift=1)
    counted = np.ones(target.shape, bool)
    counted[:, [2, 5, 6]] = False  # columns where the squares differ, and the last on which they agree
    found = numbers(target, prediction, 1, counted=counted, k=2)
    assert found == dict(zip(NUMBERS, [1, 1, 1, 1, 0, 0, 0], strict=True))


def test_predictions_in_ignored_pixels_are_left_out():
    target, prediction, counted = maps(0, 12, 12, ignored=0.2)
    other = np.where(counted, prediction, 3 - prediction)
    np.testing.assert_array_equal(
        measured(target, prediction, counted).score, measured(target, other, counted).score
    )


@pytest.mark.parametrize("which", ["missed", "invented"])
def test_a_class_that_only_one_shows_has_the_worst_values(which):
    target, _ = squares()
    empty = np.zeros_like(target)
    pair = (target, empty) if which == "missed" else (empty, target)
    assert numbers(*pair, 1, k=2) == dict(zip(NUMBERS, [0] * 4 + [np.hypot(10, 12)] * 3, strict=True))


def test_a_border_that_the_prediction_lacks_is_the_worst_and_one_that_the_target_lacks_is_no_number():
    target, _ = squares()
    empty = np.zeros_like(target)
    assert numbers(target, empty, 0, k=2)["hausdorff"] == np.hypot(10, 12)
    assert all(np.isnan(v) for v in numbers(empty, target, 0, k=2).values())


def test_a_class_that_neither_shows_has_no_number():
    target, prediction = squares()
    found = measured(target, prediction, k=3)
    assert np.isnan(found.score[2]).all()
    assert not found.shown[2].any()
    assert not np.isnan(found.score[:2]).any()


@pytest.mark.parametrize("size", [(1, 1), (4, 5)])
def test_a_picture_that_is_all_ignored_has_no_number(size):
    blank = np.zeros(size, np.uint8)
    found = measured(blank, blank, np.zeros(size, bool), k=2)
    assert np.isnan(found.score).all()
    assert not found.shown.any()
    assert not found.trimap.any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), SIDE, SIDE)
def test_a_perfect_prediction_is_one_and_zero(seed, height, width):
    target, _, counted = maps(seed, height, width, ignored=0.1)
    score = measured(target, target, counted).score
    score = score[~np.isnan(score[:, 0])]
    assert (score == [1, 1, 1, 1, 0, 0, 0]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 14), st.integers(4, 14))
def test_target_and_prediction_may_change_places(seed, height, width):
    """Where both show a class with a border; the trimap is that of the target."""
    target, prediction, counted = maps(seed, height, width, ignored=0.1)
    there, back = (
        np.delete(measured(*pair, counted).score, 2, 1)
        for pair in [(target, prediction), (prediction, target)]
    )
    both = ~np.isnan(there) & ~np.isnan(back)
    assume(both.any())
    np.testing.assert_array_equal(there[both], back[both])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), SIDE, SIDE)
def test_mirrored_and_turned_pictures_have_the_same_numbers(seed, height, width):
    picture = maps(seed, height, width, ignored=0.1)
    expected = measured(*picture)
    for turn in (np.fliplr, np.flipud, np.transpose, np.rot90):
        found = measured(*map(turn, picture))
        np.testing.assert_allclose(found.score, expected.score, rtol=1e-12)
        np.testing.assert_array_equal(found.trimap, expected.trimap)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
def test_other_names_for_the_classes_change_nothing(seed, order):
    target, prediction, counted = maps(seed, 9, 13, ignored=0.1)
    place = np.array(order)
    found = measured(place[target], place[prediction], counted)
    np.testing.assert_array_equal(found.score[place], measured(target, prediction, counted).score)
