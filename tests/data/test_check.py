from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segkit.data.check import check, class_counts, count_pixels
from segkit.data.folder import folder
from segkit.data.labels import read_labels
from segkit.types import LabelSpace, Sample, UserError

LABELS = read_labels({"names": ["a", "b", "c"]})
RNG = np.random.default_rng(0)


@pytest.fixture
def root(tmp_path):
    for i in range(6):
        for folder_name, value in (
            ("images", RNG.integers(0, 256, (5, 7))),
            ("masks", RNG.choice([0, 1, 255], (5, 7))),
        ):
            (tmp_path / folder_name).mkdir(exist_ok=True)
            Image.fromarray(value.astype(np.uint8)).save(tmp_path / folder_name / f"{i}.png")
    return tmp_path


class Generated:
    """A source without files whose last sample cannot be read."""

    def __init__(self, labels: LabelSpace, targets):
        self.labels, self.targets = labels, targets
        self.samples = [Sample(str(i), Path()) for i in range(len(targets))]

    def read(self, sample):
        target = self.targets[int(sample.name)]
        if target is None:
            raise UserError("cannot draw")
        return np.zeros((*target.shape[:2], 3), np.uint8), target


def test_sound_data_passes(root):
    check(folder(root, LABELS))


def test_every_pair_of_sizes_is_compared_whatever_the_limit(root):
    for i in (1, 3):
        Image.fromarray(np.zeros((5, 8), np.uint8)).save(root / "masks" / f"{i}.png")
    with pytest.raises(
        UserError, match=r"images/1.png is 7x5 .*is 8x5; .* \(and 1 more samples have a fault\)"
    ):
        check(folder(root, LABELS), limit=0)


def test_unknown_ids_are_found_in_the_masks_that_are_read(root):
    Image.fromarray(np.full((5, 7), 9, np.uint8)).save(root / "masks" / "5.png")
    source = folder(root, LABELS)
    with pytest.raises(UserError, match=r"masks/5.png holds ids .* 9 \(35 pixels\)"):
        check(source, limit=2)  # evenly spread: the first and the last
    with pytest.raises(UserError, match=r"masks/5.png"):
        check(source, limit=None)
    check(source, limit=1)


def test_a_missing_file_is_named(root):
    source = folder(root, LABELS)
    (root / "images" / "2.png").unlink()
    with pytest.raises(UserError, match=r"images/2.png does not exist"):
        check(source)


def test_binary_masks_whose_foreground_is_ignored_are_found(root):
    for i in range(6):
        Image.fromarray(RNG.choice([0, 255], (5, 7)).astype(np.uint8)).save(root / "masks" / f"{i}.png")
    with pytest.raises(UserError, match=r"hold only 0 and 255, .*use data.labels=binary"):
        check(folder(root, LABELS))
    check(folder(root, "binary"))


def test_generated_samples_are_not_made_only_to_be_checked():
    check(Generated(LABELS, [None]))  # reading this one would raise


def test_pixels_of_each_class_are_counted_in_the_order_of_the_samples(root):
    source = folder(root, LABELS)
    chosen = source.samples[::-1]
    expected = [[(source.read(s)[1] == k).sum() for k in range(3)] for s in chosen]
    counts = count_pixels(source, chosen)
    assert counts.dtype == np.int64
    assert counts.tolist() == expected


def test_a_sample_without_a_mask_counts_nothing(root):
    source = folder(root, LABELS)
    assert count_pixels(source, [source.samples[0]._replace(mask=None)]).tolist() == [[0, 0, 0]]


def test_any_source_can_be_counted():
    target = np.array([[0, 2], [2, 255]], np.uint8)
    assert count_pixels(Generated(LABELS, [target]), Generated(LABELS, [target]).samples).tolist() == [
        [1, 0, 2]
    ]


def test_multilabel_counts_ones_per_channel():
    labels = read_labels({"task": "multilabel", "names": ["a", "b"]})
    target = np.array([[[1, 0], [1, 1], [255, 255]]], np.uint8)
    assert class_counts(target, labels).tolist() == [2, 1]


def test_many_classes_are_counted_without_the_ignore_index():
    labels = read_labels({"names": [f"c{i}" for i in range(300)], "ignore": [65535]})
    target = labels.encode(np.array([[299, 255, 255, 65535]], np.uint16))
    counts = class_counts(target, labels)
    assert counts.sum() == 3
    assert counts[[255, 299]].tolist() == [2, 1]


def test_counts_beyond_the_whole_numbers_of_float32_stay_exact():
    target = np.zeros((4097, 4097), np.uint8)  # 2^24 + 8193 pixels
    assert class_counts(target, LABELS).tolist() == [4097 * 4097, 0, 0]
