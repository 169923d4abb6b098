import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from segkit.data import parallel
from segkit.data import scan as scanning
from segkit.data.folder import folder
from segkit.data.labels import read_labels
from segkit.data.phash import hamming, hash_image
from segkit.data.planes import planes
from segkit.data.scan import GRID, MAX_IDS, NO_MASK, scan
from segkit.data.source import FileSource
from segkit.data.streets import Streets, scene
from segkit.paths import CONF_DIR
from segkit.types import Sample, UserError

LABELS = read_labels({"names": ["a", "b", "c"]})
SHAPE = (20, 28)


def save(path, array, **options):
    path.parent.mkdir(exist_ok=True, parents=True)
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(path, **options)
    return path


def pair(root, mask, labels=LABELS, image=None, suffix=".png", **options):
    """The facts of one sample with this mask."""
    image = np.zeros((*SHAPE, 3), np.uint8) if image is None else image
    sample = Sample("a", save(root / "i.png", image), save(root / f"m{suffix}", mask, **options))
    return scan(FileSource([sample], labels), [sample])


def ids(facts, i=0):
    part = slice(facts.id_start[i], facts.id_start[i + 1])
    return dict(zip(facts.ids[part].tolist(), facts.id_pixels[part].tolist(), strict=True))


def assert_equal_facts(one, other):
    for entry in dataclasses.fields(one):
        first, second = getattr(one, entry.name), getattr(other, entry.name)
        assert first.dtype == second.dtype, entry.name
        np.testing.assert_array_equal(first, second, entry.name)


@pytest.fixture
def data(tmp_path):
    """Nine pictures and masks of several sizes, one mask with an unknown id, one broken image."""
    rng = np.random.default_rng(0)
    for i in range(9):
        shape = (10 + i, 21 - i)
        save(tmp_path / "images" / f"{i}.png", rng.integers(0, 256, (*shape, 3), np.uint8))
        save(tmp_path / "masks" / f"{i}.png", rng.choice([0, 1, 2, 255], shape).astype(np.uint8))
    save(tmp_path / "masks" / "4.png", np.full((14, 17), 9, np.uint8))
    (tmp_path / "images" / "6.png").write_bytes(b"")
    return folder(tmp_path, LABELS)


def test_facts_are_what_numpy_and_scipy_say_of_each_sample(data):
    facts = scan(data, data.samples)
    for i, sample in enumerate(data.samples):
        if i in (4, 6):
            continue
        image, mask = (np.asarray(Image.open(path)) for path in (sample.image, sample.mask))
        assert facts.names[i] == sample.name
        assert tuple(facts.image_size[i]) == tuple(facts.mask_size[i]) == mask.shape
        assert facts.pixels[i].tolist() == [(mask == k).sum() for k in range(3)]
        assert facts.ignored[i] == (mask == 255).sum()
        assert facts.components[i].tolist() == [ndimage.label(mask == k)[1] for k in range(3)]
        np.testing.assert_allclose(facts.channel_mean[i], image.mean((0, 1)))
        np.testing.assert_allclose(facts.channel_std[i], image.std((0, 1)))
        assert ids(facts, i) == {v: (mask == v).sum() for v in np.unique(mask)}
        rows = facts.component_sizes[facts.component_sizes[:, 0] == i]
        for k in range(3):
            sizes = np.bincount(ndimage.label(mask == k)[0].ravel())[1:]
            expected = np.bincount([int(s).bit_length() - 1 for s in sizes], minlength=12)
            found = np.zeros(12, int)
            found[rows[rows[:, 1] == k, 2]] = rows[rows[:, 1] == k, 3]
            assert found.tolist() == expected.tolist()


def test_a_bad_sample_is_a_row_with_its_error(data):
    facts = scan(data, data.samples)
    assert facts.mask_error[4] == str(_error(lambda: data.read_target(data.samples[4])))
    assert facts.pixels[4].sum() == facts.components[4].sum() == facts.ignored[4] == 0
    assert (facts.grid[4] == NO_MASK).all()
    assert ids(facts, 4) == {9: 14 * 17}
    assert tuple(facts.mask_size[4]) == (14, 17)
    assert "6.png cannot be read: it is empty" in facts.image_error[6]
    assert facts.image_hash[6] == 0
    assert facts.image_size[6].tolist() == [0, 0]
    assert facts.pixels[6].sum() + facts.ignored[6] == 16 * 15, "its mask is read nevertheless"
    assert [bool(e) for e in facts.image_error] == [i == 6 for i in range(9)]
    assert [bool(e) for e in facts.mask_error] == [i == 4 for i in range(9)]


def _error(work):
    with pytest.raises(UserError) as caught:
        work()
    return caught.value


def test_facts_do_not_depend_on_the_workers(data, monkeypatch):
    alone = scan(data, data.samples, workers=1)
    assert_equal_facts(scan(data, data.samples), alone)
    assert_equal_facts(scan(data, data.samples, workers=3), alone)
    monkeypatch.setattr(scanning, "MANY_PIXELS", 0)
    assert_equal_facts(scan(data, data.samples, workers=2), alone)


def test_without_working_processes_threads_do_the_work(data, monkeypatch):
    alone = scan(data, data.samples, workers=1)
    monkeypatch.setattr(scanning, "MANY_PIXELS", 0)
    monkeypatch.setattr(parallel, "_receive", _die)
    assert_equal_facts(scan(data, data.samples, workers=2), alone)
    data.cannot_be_pickled = lambda: None
    assert_equal_facts(scan(data, data.samples, workers=2), alone)


def _die(given):
    raise SystemExit(1)


def test_no_samples_have_no_facts(data):
    facts = scan(data, [])
    assert facts.pixels.shape == facts.components.shape == (0, 3)
    assert facts.grid.shape == (0, GRID, GRID)
    assert facts.id_start.tolist() == [0]


def test_generated_samples_are_measured_like_files(tmp_path):
    labels = read_labels(CONF_DIR / "labels" / "streets.yaml")
    streets = Streets(labels, train_samples=2, val_samples=0, test_samples=0, height=40, width=72)
    samples = []
    for i, sample in enumerate(streets.samples):
        image, file_ids = scene(0, i, 40, 72)
        save(tmp_path / f"i{i}.png", image)
        samples.append(Sample(sample.name, tmp_path / f"i{i}.png", save(tmp_path / f"m{i}.png", file_ids)))
    painted, read = scan(streets, streets.samples), scan(FileSource(samples, labels), samples)
    for name in ("pixels", "ignored", "components", "component_sizes", "grid", "channel_mean", "image_hash"):
        np.testing.assert_array_equal(getattr(painted, name), getattr(read, name), name)
    assert painted.ids.size == 0
    assert painted.image_digest.tolist() == painted.mask_kind.tolist() == ["", ""]


def test_a_source_that_fails_says_so_in_its_row():
    class Broken:
        labels, samples = LABELS, [Sample("a", Path())]

        def read(self, sample):
            raise ZeroDivisionError("division\nby zero")

    facts = scan(Broken(), Broken.samples)
    assert facts.image_error[0] == facts.mask_error[0] == "ZeroDivisionError: division by zero"


class Polygons(FileSource):
    """Targets that are no files of indices."""

    indexed = False

    def read_target(self, sample):
        if sample.name == "bad":
            raise UserError("bad polygons")
        return self.target


def test_targets_that_are_no_files_are_measured_too(tmp_path):
    image = save(tmp_path / "i.png", np.zeros((4, 6, 3), np.uint8))
    samples = [Sample("a", image), Sample("bad", image)]
    source = Polygons(samples, LABELS)
    source.target = np.array([[0, 0, 1], [255, 1, 0]], np.uint8)
    facts = scan(source, samples)
    assert facts.pixels[0].tolist() == [3, 2, 0]
    assert facts.components[0].tolist() == [2, 2, 0]
    assert facts.ignored.tolist() == [1, 0]
    assert facts.mask_error.tolist() == ["", "bad polygons"]
    assert facts.mask_kind.tolist() == ["", ""]


def test_classes_that_overlap_are_measured_alike_from_files_and_from_targets(tmp_path):
    labels = read_labels(
        {"task": "multilabel", "names": ["a", "b"], "ids": [[1, 2], [2, 3]], "ignore": [9], "rest": "none"}
    )
    mask = np.random.default_rng(1).choice([0, 1, 2, 3, 9], SHAPE).astype(np.uint8)
    facts = pair(tmp_path, mask, labels)
    source = Polygons([Sample("a", tmp_path / "i.png")], labels)
    source.target = target = labels.encode(mask)
    other = scan(source, source.samples)
    for name in ("pixels", "ignored", "components", "component_sizes", "grid"):
        np.testing.assert_array_equal(getattr(facts, name), getattr(other, name), name)
    assert facts.pixels[0].tolist() == (target == 1).sum((0, 1)).tolist()
    assert facts.components[0].tolist() == [ndimage.label(target[..., k] == 1)[1] for k in range(2)]
    assert facts.ignored[0] == (mask == 9).sum()


def test_a_pixel_that_only_some_classes_ignore_still_counts(tmp_path):
    save(tmp_path / "images" / "a.png", np.zeros((2, 3, 3), np.uint8))
    for name, rows in (("car", [[0, 1, 255], [255, 0, 1]]), ("bus", [[1, 0, 255], [0, 0, 1]])):
        save(tmp_path / "masks" / name / "a.png", np.array(rows, np.uint8))
    source = planes(tmp_path)
    facts = scan(source, source.samples)
    assert facts.ignored.tolist() == [1]
    assert facts.pixels.tolist() == [[2, 2]]


def test_the_grid_shows_the_class_at_the_center_of_each_cell(tmp_path):
    mask = np.zeros((GRID * 3, GRID * 5), np.uint8)
    mask[: GRID * 3 // 2] = 1
    mask[:, -5:] = 255
    facts = pair(tmp_path, mask, image=np.zeros((*mask.shape, 3), np.uint8))
    expected = np.zeros((GRID, GRID), int)
    expected[: GRID // 2], expected[:, -1] = 1, 255
    assert facts.grid[0].tolist() == expected.tolist()


INDEX = np.random.default_rng(2).integers(0, 3, SHAPE).astype(np.uint8)
COLOR = np.stack([INDEX * 100, INDEX, INDEX * 7], axis=2)
PALETTE = Image.fromarray(INDEX).convert("P")
PALETTE.putpalette([7, 8, 9] * 256)
STORED = {0: int((INDEX == 0).sum()), 1: int((INDEX == 1).sum()), 2: int((INDEX == 2).sum())}
PACKED = {(i * 100 << 16) + (i << 8) + i * 7: n for i, n in STORED.items()}


@pytest.mark.parametrize(
    ("kind", "mask", "suffix", "raw", "fault"),
    [
        ("index8", INDEX, ".png", STORED, ""),
        ("index8", np.dstack([INDEX] * 3), ".png", STORED, ""),
        ("palette", PALETTE, ".png", STORED, ""),
        ("bit", INDEX > 0, ".png", {0: STORED[0], 1: STORED[1] + STORED[2]}, ""),
        ("index16", INDEX.astype(np.uint16), ".png", STORED, ""),
        ("index32", INDEX.astype(np.int32), ".tif", STORED, ""),
        ("color", COLOR, ".png", PACKED, "holds colours"),
        ("color;alpha", np.dstack([COLOR, INDEX]), ".png", PACKED, "holds colours"),
        ("index;alpha", np.dstack([INDEX] * 4), ".png", STORED, "transparency"),
        ("fraction", INDEX.astype(np.float32), ".tif", STORED, "fractions"),
        ("index32", INDEX.astype(np.int32) - 1, ".tif", {i - 1: n for i, n in STORED.items()}, "negative"),
    ],
)
def test_every_kind_of_mask_gives_its_raw_values(tmp_path, kind, mask, suffix, raw, fault):
    facts = pair(tmp_path, mask, suffix=suffix)
    assert facts.mask_kind[0] == kind
    assert ids(facts) == raw
    assert tuple(facts.mask_size[0]) == SHAPE
    assert fault in facts.mask_error[0]
    assert bool(fault) == bool(facts.mask_error[0])
    assert (facts.pixels[0].sum() > 0) == (not fault)


def test_a_jpeg_gives_the_values_that_it_decodes_to(tmp_path):
    facts = pair(tmp_path, INDEX * 100, suffix=".jpg")
    decoded = np.asarray(Image.open(tmp_path / "m.jpg"))
    assert facts.mask_kind[0] == "jpeg"
    assert "invents values" in facts.mask_error[0]
    assert ids(facts) == {v: (decoded == v).sum() for v in np.unique(decoded)}


def test_colors_that_are_asked_for_are_ids(tmp_path):
    labels = read_labels(
        {"masks": "color", "names": ["a", "b", "c"], "colors": [[i * 100, i, i * 7] for i in range(3)]}
    )
    facts = pair(tmp_path, COLOR, labels)
    assert facts.mask_kind[0] == "color"
    assert ids(facts) == PACKED
    assert facts.pixels[0].tolist() == list(STORED.values())
    assert facts.mask_error[0] == ""


def test_of_many_ids_the_most_frequent_are_kept(tmp_path):
    mask = np.arange(2000).reshape(40, 50).astype(np.uint16)
    mask[:, 0] = 7
    facts = pair(tmp_path, mask)
    assert facts.id_distinct[0] == 40 * 49
    assert len(facts.ids) == MAX_IDS
    assert (facts.ids[0], facts.id_pixels[0]) == (7, 41)


def test_modes_and_orientations_are_noted(tmp_path):
    rgb = np.random.default_rng(3).integers(0, 256, (*SHAPE, 3), np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    pictures = {
        "RGB": save(tmp_path / "a.png", rgb, exif=exif),
        "L": save(tmp_path / "b.png", rgb[..., 0]),
        "RGBA": save(tmp_path / "c.png", np.dstack([rgb, np.full(SHAPE, 255, np.uint8)])),
        "RGBA;alpha": save(tmp_path / "d.png", np.dstack([rgb, rgb[..., 0]])),
        "P": save(tmp_path / "e.png", PALETTE),
    }
    samples = [Sample(str(i), path) for i, path in enumerate(pictures.values())]
    facts = scan(FileSource(samples, LABELS), samples)
    assert facts.image_mode.tolist() == list(pictures)
    assert facts.image_orientation.tolist() == [6, 1, 1, 1, 1]
    assert facts.image_size[0].tolist() == [28, 20]
    assert len(set(facts.image_digest)) == 5
    assert facts.mask_error.tolist() == [""] * 5


def test_copies_have_near_hashes_and_other_pictures_have_not():
    pictures = [scene(0, i, 120, 200)[0] for i in range(20)]
    hashes = np.array([hash_image(p) for p in pictures], np.uint64)
    for picture, own in zip(pictures, hashes, strict=True):
        coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        copies = [
            cv2.imdecode(coded, cv2.IMREAD_COLOR),
            cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
            cv2.add(picture, np.full_like(picture, 10)),
        ]
        near = hamming(np.array([hash_image(c) for c in copies], np.uint64), own)
        assert near.max() <= 10, near
    apart = hamming(hashes[:, None], hashes[None])[np.triu_indices(20, 1)]
    assert apart.min() > 10


def test_a_picture_of_one_color_is_not_taken_for_unreadable():
    for value in (0, 127, 255):
        assert hash_image(np.full((33, 57, 3), value, np.uint8)) == 1


def test_progress_is_shown_on_standard_error_only_when_asked_for(data, capsys):
    scan(data, data.samples)
    assert capsys.readouterr().err == ""
    scan(data, data.samples, progress=True)
    shown = capsys.readouterr()
    assert "9/9" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("size", [1, 7, 16, 63, 600])
def test_means_and_deviations_are_exact(tmp_path, size):
    image = np.random.default_rng(size).integers(0, 256, (size, size + 3, 3), np.uint8)
    image[..., 1] = 77  # no deviation at all
    facts = pair(tmp_path, np.zeros((size, size + 3), np.uint8), image=image)
    np.testing.assert_allclose(facts.channel_mean[0], image.mean((0, 1)), rtol=1e-13)
    np.testing.assert_allclose(facts.channel_std[0], image.std((0, 1)), rtol=1e-12)
    assert facts.channel_std[0, 1] == 0
