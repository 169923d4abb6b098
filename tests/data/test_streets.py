"""The generated street scenes: reproducible, complete, and with the shares they promise."""

import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.data import streets
from segkit.data.streets import Streets, scene
from segkit.paths import CONF_DIR
from segkit.types import SPLITS, LabelSpace, UserError

NAMES = ("void", "flat", "construction", "object", "nature", "sky", "human", "vehicle")
LABELS = LabelSpace(NAMES, tuple((i, i, i) for i in range(8)), tuple((i,) for i in range(8)))
HASH = """
import hashlib
from segkit.data.streets import scene
for index in (5, 3):
    print(hashlib.sha256(b"".join(part.tobytes() for part in scene(1, index, 64, 128, "val"))).hexdigest())
"""


def digest(*arguments):
    return hashlib.sha256(b"".join(part.tobytes() for part in scene(*arguments))).hexdigest()


@pytest.fixture(scope="module")
def counts():
    """Pixels of each file id in 80 scenes: [80, 256]."""
    return np.stack([np.bincount(scene(7, i, 96, 192)[1].ravel(), minlength=256) for i in range(80)])


def test_a_scene_is_the_same_in_another_process_and_order():
    here = [digest(1, index, 64, 128, "val") for index in (3, 5)]
    run = subprocess.run([sys.executable, "-c", HASH], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == here[::-1]


def test_a_scene_does_not_depend_on_the_number_of_opencv_threads():
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        single = digest(2, 0, 96, 192)
        cv2.setNumThreads(4)
        assert digest(2, 0, 96, 192) == single
    finally:
        cv2.setNumThreads(threads)


def test_a_scene_does_not_touch_the_global_random_state():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    scene(0, 0, 32, 64)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_seeds_indices_and_splits_show_different_streets():
    variants = [(0, 0, 32, 64, split) for split in SPLITS] + [
        (0, 1, 32, 64, "train"),
        (1, 0, 32, 64, "train"),
    ]
    masks = [scene(*variant)[1].tobytes() for variant in variants]
    assert len(set(masks)) == len(variants)


@settings(max_examples=15, deadline=None, database=None)
@given(st.integers(32, 130), st.integers(32, 130), st.integers(0, 10_000))
def test_any_size_gives_a_picture_and_a_mask_of_that_size(height, width, index):
    image, file_ids = scene(0, index, height, width)
    assert (image.shape, image.dtype) == ((height, width, 3), np.uint8)
    assert (file_ids.shape, file_ids.dtype) == ((height, width), np.uint8)
    assert set(np.unique(file_ids)) <= {*range(8), 255}


@pytest.mark.parametrize(("height", "width", "border"), [(32, 64, 1), (256, 512, 3), (97, 201, 1)])
def test_the_border_and_nothing_else_is_ignored(height, width, border):
    ignored = scene(0, 4, height, width)[1] == 255
    inside = ignored[border:-border, border:-border]
    assert not inside.any()
    assert ignored.sum() == ignored.size - inside.size


def test_classes_have_about_the_shares_of_cityscapes(counts):
    shares = counts[:, :8].sum(0) / counts[:, :8].sum()
    low = (0.05, 0.30, 0.17, 0.008, 0.09, 0.03, 0.006, 0.05)
    high = (0.13, 0.44, 0.30, 0.030, 0.22, 0.09, 0.020, 0.13)
    assert dict(zip(NAMES, (np.array(low) < shares) & (shares < high), strict=True)) == dict.fromkeys(
        NAMES, True
    )
    assert set(np.argsort(shares)[:2]) == {3, 6}, "objects and people are the rare ones"


def test_every_class_is_seen_in_most_scenes(counts):
    seen = (counts[:, :8] > 0).mean(0)
    assert (seen > 0.7).all(), dict(zip(NAMES, seen, strict=True))


def test_edges_in_the_picture_lie_where_the_labels_change():
    """Colours differ more across label edges than inside regions: picture and mask are aligned."""
    ratios = []
    for index in range(6):
        image, file_ids = scene(3, index, 128, 256)
        step = np.abs(np.diff(image[3:-3, 3:-3].astype(int), axis=1)).sum(2)
        edge = np.diff(file_ids[3:-3, 3:-3].astype(int), axis=1) != 0
        shifted = np.roll(edge, 4, axis=1)
        ratios.append((step[edge].mean(), step[shifted].mean(), step[~edge].mean()))
    at, beside, elsewhere = np.mean(ratios, 0)
    assert at > 1.5 * beside
    assert at > 2 * elsewhere


def test_colour_alone_does_not_tell_the_classes_apart():
    """A nearest-mean classifier on RGB stays far from solving the scenes."""
    pairs = [scene(5, i, 64, 128) for i in range(24)]
    pixels = np.concatenate([image[ids < 255] for image, ids in pairs]).astype(float)
    labels = np.concatenate([ids[ids < 255] for _, ids in pairs])
    means = np.stack([pixels[labels == k].mean(0) for k in range(8)])
    guess = ((pixels[:, None] - means) ** 2).sum(2).argmin(1)
    both = np.array([((guess == k) & (labels == k)).sum() for k in range(8)])
    either = np.array([((guess == k) | (labels == k)).sum() for k in range(8)])
    assert (both / either).mean() < 0.25


def test_samples_are_listed_by_split_and_read_through_the_label_space():
    merged = LabelSpace(("static", "moving"), ((0, 0, 0), (9, 9, 9)), ((0, 1, 2, 3, 4, 5), (6, 7)))
    source = Streets(merged, train_samples=13, val_samples=2, test_samples=1, seed=4, height=40, width=72)
    names = [sample.name for sample in source.samples]
    assert names == [*(f"train/{i:06d}" for i in range(13)), "val/000000", "val/000001", "test/000000"]
    assert [sample.split for sample in source.samples] == ["train"] * 13 + ["val"] * 2 + ["test"]
    image, target = source.read(source.samples[14])
    expected, file_ids = scene(4, 1, 40, 72, "val")
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(target, merged.encode(file_ids))


def test_a_label_space_that_does_not_know_the_painted_ids_is_told_which_to_list():
    partial = LabelSpace(("a", "b"), ((0, 0, 0), (9, 9, 9)), ((0,), (1,)))
    source = Streets(partial, train_samples=1, height=32, width=64)
    with pytest.raises(UserError, match=r"^scene train/000000: .*data\.labels has to list the ids 0\.\.7"):
        source.read(source.samples[0])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train_samples", -1),
        ("val_samples", -1),
        ("test_samples", -3),
        ("seed", -1),
        ("height", 31),
        ("width", 0),
    ],
)
def test_a_number_out_of_range_is_named_with_its_limit(key, value):
    with pytest.raises(UserError, match=rf"data\.{key}={value} .* or more"):
        Streets(LABELS, **{key: value})


def test_the_configuration_names_parameters_of_the_source_with_their_defaults():
    config = yaml.safe_load((CONF_DIR / "data" / "streets.yaml").read_text(encoding="utf-8"))
    assert config["_target_"] == f"{Streets.__module__}.{Streets.__qualname__}"
    keys = ("train_samples", "val_samples", "test_samples", "seed", "height", "width")
    source = Streets(LABELS, **{key: config[key] for key in keys})
    assert [sample.name for sample in source.samples] == [sample.name for sample in Streets(LABELS).samples]
    assert [source.height, source.width] == config["size"]


def test_the_shipped_label_space_names_the_ids_that_are_painted():
    shipped = yaml.safe_load((CONF_DIR / "labels" / "streets.yaml").read_text(encoding="utf-8"))
    assert tuple(shipped["names"]) == NAMES
    assert shipped["ids"] == list(range(8))
    assert len({tuple(color) for color in shipped["colors"]}) == 8
    assert shipped["ignore"] == [255]


def test_a_signature_names_everything_that_a_scene_depends_on(monkeypatch):
    def signature(place=0, **options):
        source = Streets(LABELS, train_samples=2, **options)
        return source.signature(source.samples[place])

    options = ({}, {"place": 1}, {"seed": 1}, {"height": 64}, {"width": 64})
    assert len({signature(**chosen) for chosen in options}) == len(options)
    assert signature() == signature()
    before = signature()
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: read(file) + b"#" * (file.name == "canvas.py"))
    streets._painter.cache_clear()
    try:
        assert signature() != before, "other painting code"
    finally:
        streets._painter.cache_clear()
