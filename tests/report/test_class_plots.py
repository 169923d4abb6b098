import csv
import math

import numpy as np
import pytest
from PIL import Image

from segkit.report.bars import class_iou_bars
from segkit.report.confusion import confusion
from segkit.types import LabelSpace

LABELS = LabelSpace(("road", "car", "sky"), ((128, 64, 128), (0, 0, 142), (70, 130, 180)), ((0,), (1,), (2,)))


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def many(count):
    colors = tuple((i * 5 % 256, i * 37 % 256, i * 91 % 256) for i in range(count))
    return LabelSpace(
        tuple(f"class number {i}" for i in range(count)), colors, tuple((i,) for i in range(count))
    )


def test_an_absent_class_has_no_part_in_the_mean(tmp_path):
    path = class_iou_bars([0.5, math.nan, 0.9], LABELS, tmp_path, "run")
    assert rows(path.with_suffix(".csv")) == [
        {"class": "road", "iou": "0.500000"},
        {"class": "car", "iou": ""},
        {"class": "sky", "iou": "0.900000"},
        {"class": "mean", "iou": "0.700000"},
    ]


def test_bars_have_the_colours_of_the_classes_in_class_order(tmp_path):
    picture = np.asarray(Image.open(class_iou_bars([0.9, 0.9, 0.9], LABELS, tmp_path, "run")).convert("RGB"))
    tops = [np.argwhere((picture == color).all(2))[:, 0].min() for color in LABELS.colors]
    assert tops == sorted(tops)


def test_no_class_present_still_gives_a_plot(tmp_path):
    assert class_iou_bars([math.nan] * 3, LABELS, tmp_path, "run").is_file()


def test_confusion_rows_are_shares_of_the_target(tmp_path):
    matrix = np.array([[6, 2, 0], [0, 0, 0], [1, 0, 9]])
    cells = rows(confusion(matrix, LABELS, tmp_path, "run").with_suffix(".csv"))
    assert cells[0] == {"target": "road", "prediction": "road", "pixels": "6", "share": "0.750000"}
    assert cells[1] == {"target": "road", "prediction": "car", "pixels": "2", "share": "0.250000"}
    assert [c["share"] for c in cells if c["target"] == "car"] == ["", "", ""]


def test_huge_counts_stay_exact(tmp_path):
    matrix = np.diag([2**60 + 1, 5, 5])
    assert rows(confusion(matrix, LABELS, tmp_path, "run").with_suffix(".csv"))[0]["pixels"] == str(2**60 + 1)


@pytest.mark.parametrize("count", [2, 40])
def test_cells_are_wide_enough_for_their_numbers(tmp_path, monkeypatch, count):
    figures = []
    monkeypatch.setattr("segkit.report.confusion.write_figure", lambda path, figure: figures.append(figure))
    confusion(7 * np.eye(count, dtype=int), many(count), tmp_path, "run")
    figure = figures[0]
    figure.canvas.draw()
    axes = figure.axes[0]
    cell = axes.get_window_extent().width / count
    widths = [t.get_window_extent().width for t in axes.texts if t.get_text() == "100"]
    assert len(widths) == count
    assert max(widths) < cell
