import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.data.count import class_counts, count_pixels
from segkit.data.folder import folder
from segkit.data.labels import read_labels
from segkit.data.source import FileSource
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
    """A source without files."""

    def __init__(self, labels: LabelSpace, targets):
        self.labels, self.targets = labels, targets
        self.samples = [Sample(str(i), Path()) for i in range(len(targets))]

    def read(self, sample):
        target = self.targets[int(sample.name)]
        return np.zeros((*target.shape[:2], 3), np.uint8), target


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_pixels_of_each_class_are_counted_in_the_order_of_the_samples(root, workers):
    source = folder(root, LABELS)
    chosen = source.samples[::-1]
    expected = [[(source.read(s)[1] == k).sum() for k in range(3)] for s in chosen]
    counts = count_pixels(source, chosen, workers=workers)
    assert counts.dtype == np.int64
    assert counts.tolist() == expected


def test_a_sample_without_a_mask_counts_nothing(root):
    source = folder(root, LABELS)
    assert count_pixels(source, [source.samples[0]._replace(mask=None)]).tolist() == [[0, 0, 0]]


def test_no_samples_have_no_counts(root):
    assert count_pixels(folder(root, LABELS), []).shape == (0, 3)


def test_any_source_can_be_counted():
    source = Generated(LABELS, [np.array([[0, 2], [2, 255]], np.uint8)])
    assert count_pixels(source, source.samples).tolist() == [[1, 0, 2]]


@pytest.mark.parametrize(
    "spec",
    [
        {"names": ["a", "b"], "ids": [[0, 300], 70000], "ignore": [5], "rest": "ignore"},
        {"names": ["a", "b"], "ids": [[0, 300], 5], "ignore": [], "rest": "b"},
        {"names": ["a", "b"], "ids": [[0, 5], [5, 300]], "ignore": [1], "rest": "none", "task": "multilabel"},
    ],
)
def test_merged_missing_and_overlapping_ids_are_counted_as_the_target_shows_them(tmp_path, spec):
    labels = read_labels(spec)
    mask = RNG.choice([0, 1, 5, 300, 70000], (9, 11)).astype(np.int32)
    for name, picture in (("images/a.png", np.zeros((9, 11, 3), np.uint8)), ("masks/a.tif", mask)):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(picture).save(tmp_path / name)
    source = folder(tmp_path, labels)
    target = source.read_target(source.samples[0])
    assert count_pixels(source, source.samples).tolist() == [class_counts(target, labels).tolist()]


def test_the_first_mask_with_a_fault_is_named_with_its_likely_cause(root):
    for i, value in ((4, 7), (2, 9)):
        Image.fromarray(np.full((5, 7), value, np.uint8)).save(root / "masks" / f"{i}.png")
    source = folder(root, LABELS)
    for workers in (1, None):
        with pytest.raises(UserError, match=r"masks/2.png holds ids .* 9 \(35 pixels\); .*add them to"):
            count_pixels(source, source.samples, workers=workers)
    (root / "masks" / "0.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"masks/0.png cannot be read: it is empty"):
        count_pixels(source, source.samples)


def test_counts_are_kept_until_a_mask_changes(root, tmp_path, monkeypatch):
    source, cache = folder(root, LABELS), tmp_path / "cache"
    for path in root.glob("*/*"):
        os.utime(path)
    monkeypatch.setattr("segkit.data.cache.TICK", 0)
    first = count_pixels(source, source.samples, cache=cache)
    with monkeypatch.context() as patch:
        patch.setattr("segkit.data.count.read_bytes", lambda path: pytest.fail(f"{path} is read"))
        np.testing.assert_array_equal(count_pixels(source, source.samples, cache=cache), first)
    Image.fromarray(np.full((5, 7), 2, np.uint8)).save(root / "masks" / "3.png")
    assert count_pixels(source, source.samples, cache=cache)[3].tolist() == [0, 0, 35]


@pytest.mark.parametrize("shape", [(13, 21), (700, 1000)])
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("top", [0, 1, 15, 16, 62, 63, 64, 200])
def test_masks_of_every_kind_are_counted_as_numpy_counts_them(top, ignored, shape, tmp_path):
    labels = read_labels({"names": [f"c{i}" for i in range(201)]})
    samples, expected = [], []
    for name, write in (("pillow", write_pillow), ("opencv", write_opencv)):
        mask = np.random.default_rng(top).integers(0, top + 1, shape).astype(np.uint8)
        mask[0, :2], mask[-1, 3:] = top, 255 if ignored else top
        write(tmp_path / f"{name}.png", mask)
        samples.append(Sample(name, tmp_path / f"{name}.png", tmp_path / f"{name}.png"))
        expected.append(np.bincount(mask[mask < 255], minlength=201))
    assert np.array_equal(count_pixels(FileSource(samples, labels), samples), expected)


def write_pillow(path, mask):
    Image.fromarray(mask).save(path)


def write_opencv(path, mask):
    assert cv2.imwrite(str(path), mask)


@pytest.mark.parametrize("write", [write_pillow, write_opencv])
@pytest.mark.parametrize("shape", [(13, 21), (700, 1000)])
def test_a_mask_of_one_value_only(write, shape, tmp_path):
    path = tmp_path / "a.png"
    source = FileSource([Sample("a", path, path)], LABELS)
    for value, expected in ((255, [0, 0, 0]), (2, [0, 0, shape[0] * shape[1]])):
        write(path, np.full(shape, value, np.uint8))
        assert count_pixels(source, source.samples).tolist() == [expected]
    write(path, np.full(shape, 3, np.uint8))
    with pytest.raises(UserError, match=rf"a.png holds ids .* 3 \({shape[0] * shape[1]} pixels\)"):
        count_pixels(source, source.samples)


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
