import numpy as np

from segkit.metric.cells import Counts
from segkit.metric.interval import intervals
from segkit.metric.overlap import overlap
from segkit.report.table import table
from segkit.types import LabelSpace

ABOUT = {"split": "test", "resolution": "native"}


def drawn(images, groups=()):
    names = ("construction vehicle, large", "sky", "unseen")
    labels = LabelSpace(names, ((0, 0, 0),) * 3, ((0,), (1,), (2,)))
    values = np.random.default_rng(0).integers(1, 2**40 // images, (images, 3, 3))
    values[:, 2] = 0
    counts = Counts(values, None, np.arange(images))
    found = {**overlap(counts, labels), "interval": intervals(counts, labels, groups=groups)}
    return table(found, ABOUT).splitlines(), found


def test_the_interval_stands_beside_the_iou_and_the_table_fits_a_terminal():
    lines, found = drawn(40)
    low, high = found["interval"]["per_class"]["sky"]["iou"]
    assert f"{found['per_class']['sky']['iou']:.4f}  [{low:.3f}, {high:.3f}]" in lines[2]
    low, high = found["interval"]["mean"]["miou"]
    assert f"[{low:.3f}, {high:.3f}]" in lines[4]
    assert "95 % interval: bootstrap over 40 images" in lines
    assert max(map(len, lines[:5])) <= 100
    assert lines[3].split()[:3] == ["unseen", "-", "-"]


def test_few_groups_are_said_to_be_few():
    lines, _ = drawn(40, [f"s{i % 4}" for i in range(40)])
    assert "95 % interval: bootstrap over 4 groups (4 groups only: the interval is rough)" in lines


def test_one_image_has_a_table_without_intervals():
    lines, _ = drawn(1)
    assert "95 % interval: bootstrap over 1 image (1 image only: there is no interval)" in lines
    assert lines[2].split()[2] == "-"
