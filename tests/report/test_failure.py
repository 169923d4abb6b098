import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from segkit.metric.failure import Failure
from segkit.report.failure import KINDS, error_bars, score_histogram, size_dots
from segkit.types import LabelSpace

LABELS = LabelSpace(("road", "car", "sky"), ((128, 64, 128), (0, 0, 142), (70, 130, 180)), ((0,), (1,), (2,)))


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def numbers():
    target, prediction = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.int64)
    target[5:15, 5:15], prediction[5:15, 6:16] = 1, 1
    target[20:30, 5:15] = 1
    meter = Failure(LABELS)
    meter.update(
        SimpleNamespace(
            target=torch.from_numpy(target), prediction=torch.from_numpy(prediction),
            confidence=torch.ones(40, 60), index=0,
        )
    )  # fmt: skip
    return meter.numbers(meter.compute())


def test_kinds_of_errors_are_shares_of_the_wrong_pixels_of_a_class(numbers, tmp_path):
    path = error_bars(numbers, tmp_path, "run")
    found = {(r["class"], r["kind"]): r for r in rows(path.with_suffix(".csv"))}
    assert len(found) == 4 * len(KINDS)
    assert found["car", "missed"] == {
        "class": "car", "kind": "missed", "pixels": "100", "share_of_wrong": f"{100 / 110:.6f}",
    }  # fmt: skip
    assert found["all", "boundary"]["pixels"] == "20"
    assert found["sky", "missed"]["share_of_wrong"] == ""


def test_bars_show_the_kinds_in_their_colours(numbers, tmp_path):
    picture = np.asarray(Image.open(error_bars(numbers, tmp_path, "run")).convert("RGB"))
    for kind in ("boundary", "missed"):
        color = [int(KINDS[kind][i : i + 2], 16) for i in (1, 3, 5)]
        assert (picture == color).all(2).sum() > 1000


def test_objects_have_a_line_for_each_class_and_size(numbers, tmp_path):
    found = {(r["class"], r["size"]): r for r in rows(size_dots(numbers, tmp_path, "r").with_suffix(".csv"))}
    assert len(found) == 4 * 4
    car = found["car", "large"]
    assert (car["objects"], car["found"], car["from"], car["to"]) == ("2", "1", "0.03", "")
    assert float(car["iou"]) == pytest.approx(90 / 110 / 2)
    assert found["sky", "tiny"]["iou"] == ""


def test_the_worst_twentieth_of_the_images_is_marked(tmp_path):
    scores = np.append(np.linspace(0.2, 0.9, 40), np.nan)
    path = score_histogram(scores, [f"image {i}" for i in range(41)], tmp_path, "run")
    found = rows(path.with_suffix(".csv"))
    assert len(found) == 40
    assert [r["image"] for r in found if r["worst"] == "1"] == ["image 0", "image 1"]


@pytest.mark.parametrize("scores", [[], [np.nan], [0.0], [1.0, 1.0], [0.5]])
def test_few_images_and_extreme_scores_still_give_a_plot(scores, tmp_path):
    assert score_histogram(np.array(scores), ["a", "b"], tmp_path, "run").is_file()


def test_a_picture_without_errors_and_objects_gives_plots(tmp_path):
    meter = Failure(LABELS)
    blank = torch.full((4, 4), 255, dtype=torch.uint8)
    meter.update(SimpleNamespace(target=blank, prediction=torch.zeros(4, 4, dtype=torch.int64), index=0))
    numbers = meter.numbers(meter.compute())
    assert error_bars(numbers, tmp_path, "run").is_file()
    assert size_dots(numbers, tmp_path, "run").is_file()
