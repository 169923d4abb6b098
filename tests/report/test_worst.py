import numpy as np
import pytest

from segkit.metric.cells import Counts, counts_of
from segkit.metric.overlap import image_scores
from segkit.report.worst import confused_pairs, suspicious_crops, worst_pictures
from segkit.types import LabelSpace

LABELS = LabelSpace(("road", "car", "sky"), ((128, 64, 128), (0, 0, 142), (70, 130, 180)), ((0,), (1,), (2,)))


def counts(cells, index=None) -> Counts:
    cells = np.array(cells, np.int64)
    return counts_of(cells, np.unique(cells[:, 0]) if index is None else np.array(index), 3)


def random_counts(seed, images=40):
    rng = np.random.default_rng(seed)
    cells = [
        (10 + i, t, p, int(rng.integers(1, 1000)))
        for i in range(images)
        for t in range(3)
        for p in range(3)
        if rng.random() < 0.7
    ]
    return counts(cells)


def doubt(index, confidence=0.97):
    return {
        "index": index,
        "target": "car",
        "prediction": "road",
        "box": [1, 2, 30, 40],
        "pixels": 1200,
        "confidence": confidence,
        "score": 29.4,
    }


def test_pairs_are_ranked_by_their_share_of_the_targets_class():
    pairs = confused_pairs(np.array([[9000, 1000, 0], [40, 54, 6], [0, 0, 7]]), LABELS)
    assert [(p.target, p.prediction, p.pixels) for p in pairs] == [
        ("car", "road", 40),
        ("road", "car", 1000),
        ("car", "sky", 6),
    ]
    assert [p.share for p in pairs] == pytest.approx([0.4, 0.1, 0.06])


def test_of_pairs_with_the_same_share_the_one_with_more_pixels_comes_first():
    pairs = confused_pairs(np.array([[9000, 1000, 0], [10, 90, 0], [0, 0, 7]]), LABELS)
    assert [(p.target, p.pixels) for p in pairs] == [("road", 1000), ("car", 10)]


def test_classes_without_target_pixels_are_in_no_pair():
    assert confused_pairs(np.zeros((3, 3), np.int64), LABELS) == []


def test_the_picture_with_the_lowest_miou_comes_first():
    found = random_counts(0)
    scores = image_scores(found.counts)
    first = worst_pictures(found, LABELS)[0]
    assert scores[first.position] == first.numbers["miou"] == np.nanmin(scores)
    wrong = found.counts[..., 1:].sum((1, 2))
    assert wrong[first.position] == wrong[scores == np.nanmin(scores)].max()
    assert first.reason.startswith(f"worst picture 1 of {len(found.index)}: image mIoU")


@pytest.mark.parametrize("most", [1, 5, 12])
def test_pictures_are_bounded_and_there_is_none_twice(most):
    found = random_counts(1)
    chosen = worst_pictures(found, LABELS, [doubt(int(i)) for i in found.index], most)
    assert len(chosen) == most == len({c.position for c in chosen})


def test_each_class_and_pair_and_doubt_has_its_picture():
    """The second picture loses the only car, the third has a label in doubt, the fourth confuses sky."""
    found = counts(
        [
            *[(5, 0, 0, 50), (5, 0, 2, 50)],
            *[(6, 0, 0, 900), (6, 1, 0, 10), (6, 2, 2, 800)],
            *[(7, 0, 0, 900), (7, 2, 2, 99)],
            *[(8, 0, 0, 900), (8, 2, 2, 40), (8, 2, 1, 60)],
        ]
    )
    chosen = {c.position: c for c in worst_pictures(found, LABELS, [doubt(7)])}
    assert "worst of car: IoU 0.000 with 10 pixels of it" in chosen[1].reason
    assert "most pixels of car taken for road: 10" in chosen[1].reason
    assert (
        "label in doubt: car, where road is predicted with confidence 0.970 (1,200 pixels)"
        in chosen[2].reason
    )
    assert "most pixels of sky taken for car: 60" in chosen[3].reason
    assert chosen[2].numbers["confidence"] == 0.97


def test_the_worst_of_a_class_is_among_the_pictures_that_show_it():
    """Predicted where it is not: no picture of that class, however low its IoU is there."""
    found = counts([(0, 0, 1, 500), (1, 1, 1, 5), (1, 1, 0, 5), (1, 0, 0, 90)])
    reasons = {c.position: c.reason for c in worst_pictures(found, LABELS)}
    assert "worst of car" in reasons[1]
    assert "worst of car" not in reasons[0]


def test_a_single_picture_has_all_its_reasons_up_to_three():
    chosen = worst_pictures(counts([(3, 0, 0, 5), (3, 0, 1, 5)]), LABELS, [doubt(3)])
    assert len(chosen) == 1
    assert chosen[0].reason.count(";") == 2


def test_crops_are_the_most_suspicious_regions_in_their_order():
    found = counts([(3, 0, 0, 5), (9, 0, 1, 5)])
    crops = suspicious_crops(found, [doubt(9), doubt(3, 0.9), doubt(9, 0.85)], 2)
    assert [(c.position, c.box) for c in crops] == [(1, (1, 2, 30, 40)), (0, (1, 2, 30, 40))]
    assert crops[0].numbers == {"pixels": 1200, "confidence": 0.97, "score": 29.4}


def test_an_image_without_a_counted_pixel_is_not_the_worst():
    found = counts([(3, 0, 0, 5), (9, 0, 1, 5)], [1, 3, 9])
    assert {c.position for c in worst_pictures(found, LABELS)} == {1, 2}


def test_overlapping_classes_have_no_pairs_but_worst_pictures():
    whole = random_counts(2)
    chosen = worst_pictures(Counts(whole.counts, None, whole.index), LABELS)
    assert len(chosen) == 12
    assert not any("taken for" in c.reason for c in chosen)
