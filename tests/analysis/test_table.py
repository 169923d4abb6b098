import numpy as np
import pytest

from segkit.analysis.balance import balance
from segkit.analysis.table import WIDTH, analysis_table, fault_counts
from segkit.analysis.weights import weights_table
from segkit.data.fault import Fault

FAULTS = [
    Fault(
        "shifted",
        "masks lie beside the edges",
        "look",
        tuple(f"/a/b/{i}.png" for i in range(9)),
        (),
        "suspicion",
    ),
    Fault(
        "size",
        "image and mask differ in size",
        "give each image a mask of its own size",
        ("/a/b/c.png",),
        ("c",),
    ),
]


@pytest.fixture
def text_of(data_of, blobs_of):
    def draw(labels, faults=(), count=8):
        data = data_of(labels, *blobs_of(labels, count))
        found = balance(data.samples, data.facts, labels)
        train = np.array([s.split == "train" for s in data.samples])
        return analysis_table(labels, found, weights_table(data.facts.pixels[train], labels), faults)

    return draw


def test_errors_come_before_suspicions_with_their_fix(text_of, classes_of):
    text = text_of(classes_of(3), FAULTS)
    assert text.startswith("faults: 1 error, 1 suspicion\n  error: size (1 file)\n")
    assert "    fix: give each image a mask of its own size\n    in /a/b: c.png\n" in text
    assert "in /a/b: 0.png, 1.png, 2.png and 6 more" in text


@pytest.mark.parametrize("count", [2, 19, 150, 400])
def test_no_line_is_longer_than_the_terminal(count, text_of, classes_of):
    labels = classes_of(count)
    names = tuple(f"a class with a very long name, number {i}" for i in range(count))
    labels = type(labels)(names, labels.colors, labels.ids)
    long = Fault(
        "unreadable", "damaged " * 30, "replace it", tuple(f"/{'f' * 120}/{'x' * 150}{i}" for i in range(5))
    )
    text = text_of(labels, [*FAULTS, long])
    assert max(map(len, text.splitlines())) <= WIDTH
    assert len(text.splitlines()) < 130


def test_shares_and_weights_stand_in_the_rows_of_their_classes(data_of, classes_of):
    """Class 0 has 12 of 16 pixels in train, class 1 four; val shows class 1 alone."""
    labels = classes_of(2)
    train, val = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)
    train[0] = 1
    data = data_of(labels, [np.zeros((4, 4, 3), np.uint8)] * 2, [train, val], ["train", "val"])
    found = balance(data.samples, data.facts, labels)
    lines = analysis_table(labels, found, weights_table(data.facts.pixels[:1], labels), []).splitlines()
    assert lines[0] == "faults: no fault"
    assert " ".join(lines[4].split()) == "class 0 37.5 % 1 75.0 % 1 0 % 0"
    assert " ".join(lines[5].split()) == "class 1 62.5 % 2 25.0 % 1 100.0 % 1"
    weights = next(line for line in lines[7:] if line.startswith("class 1"))
    assert weights.split()[2:6] == ["1.00", "25%", "2.00", "50%"]


def test_many_classes_show_both_ends(text_of, classes_of):
    text = text_of(classes_of(150))
    assert "... 120 classes between these are in analysis.json" in text


def test_a_class_that_training_lacks_has_no_weight(text_of, classes_of):
    row = [line for line in text_of(classes_of(150)).splitlines() if line.endswith("   -")]
    assert row


def test_no_training_mask_is_said(classes_of, data_of):
    labels = classes_of(2)
    data = data_of(labels, [np.zeros((4, 4, 3), np.uint8)], [None], [""])
    found = balance(data.samples, data.facts, labels)
    text = analysis_table(labels, found, weights_table(np.zeros((0, 2), np.int64), labels), [])
    assert "class weights: no training mask has a labelled pixel" in text


def test_names_cannot_move_the_cursor(text_of, classes_of):
    fault = Fault("unreadable", "broken", "remove it", ("/a/\x1b[2J\nb.png",))
    assert "\x1b" not in text_of(classes_of(2), [fault])


def test_faults_are_counted_by_severity():
    assert fault_counts([*FAULTS, *FAULTS]) == "2 errors, 2 suspicions"
    assert fault_counts([]) == "no fault"
