"""The auditor passes every preset and names every mistake that it is there for."""

import cv2
import numpy as np
import pytest
import yaml

from segkit.analysis.audit import audit_table, check_draws, run_audit
from segkit.augment import fit as fit_module
from segkit.augment.align import blocks, borders
from segkit.augment.audit import audit
from segkit.augment.augment import Augment
from segkit.data.streets import Streets
from segkit.paths import CONF_DIR
from segkit.types import LabelSpace, UserError

PRESETS = sorted((CONF_DIR / "augment").glob("*.yaml"))
every_preset = pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.stem)
every_fit = pytest.mark.parametrize("fit", ["stretch", "crop"])


def space(classes: int = 5, task: str = "multiclass") -> LabelSpace:
    names = tuple(f"class {i}" for i in range(classes))
    colors = tuple((40 * i % 256, 255 - 20 * i % 256, 128) for i in range(classes))
    return LabelSpace(names, colors, tuple((i,) for i in range(classes)), task=task)


def preset(path) -> Augment:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values.pop("_target_")
    return Augment(**values)


def found(augment, fit="stretch", labels=None, size=(96, 128), draws=8) -> dict:
    checks = audit(augment, size=size, fit=fit, labels=labels or space(), draws=draws)
    return {c.name: c for c in checks}


def wrong(augment, **options) -> set[str]:
    return {name for name, check in found(augment, **options).items() if check.passed is False}


@every_preset
@every_fit
def test_every_preset_is_right(path, fit):
    assert wrong(preset(path), fit=fit, draws=16) == set()


@every_preset
@pytest.mark.parametrize("labels", [space(2, "binary"), space(4, "multilabel"), space(300)], ids=str)
def test_every_preset_is_right_for_every_kind_of_target(path, labels):
    assert wrong(preset(path), fit="crop", labels=labels) == set()


@every_preset
@every_fit
def test_every_preset_draws_as_training_needs_it(path, fit, tmp_path):
    source = Streets(space_of_streets(), train_samples=2, val_samples=0, test_samples=0, height=64, width=96)
    checks = run_audit(source, source.samples, preset(path), size=(48, 64), fit=fit, seed=3, folder=tmp_path)
    assert [c.name for c in checks if c.passed is False] == []
    assert {c.name for c in checks} >= {"samples", "epochs", "repeats", "workers"}
    nothing_random = path.stem == "none" and fit == "stretch"
    (samples,) = [c for c in checks if c.name == "samples"]
    assert (samples.measure == 1) == nothing_random == ("nothing is random" in samples.message)


def space_of_streets() -> LabelSpace:
    return LabelSpace(
        tuple("abcdefgh"),
        tuple((30 * i, 60, 90) for i in range(8)),
        tuple((i,) for i in range(8)),
        rest="ignore",
    )


def changed(image=lambda a, rng: a, target=lambda a, rng: a, **options):
    """An augmentation with a mistake: something is done to one of both afterwards."""
    augment = Augment(options.pop("transforms", {}), **options)

    def run(*arrays, seed, **arguments):
        new, moved = augment(*arrays, seed=seed, **arguments)
        rng = np.random.default_rng([seed, 1])
        return np.ascontiguousarray(image(new, rng)), np.ascontiguousarray(target(moved, rng))

    return run


def turned(array, rng):
    height, width = array.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 5, 1)
    return cv2.warpAffine(array, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


@every_fit
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("step", [-1, 1])
def test_a_mask_that_is_one_pixel_off_is_noticed(axis, step, fit):
    shifted = changed(target=lambda t, rng: np.roll(t, step, axis))
    assert "alignment" in wrong(shifted, fit=fit)
    assert found(shifted, fit=fit)["alignment"].measure == pytest.approx(1, abs=0.45)


def test_a_mask_that_is_off_in_a_few_draws_is_noticed():
    seldom = changed(target=lambda t, rng: np.roll(t, 1, 1) if rng.random() < 0.25 else t)
    assert "alignment" in wrong(seldom, fit="crop", draws=16)


@every_preset
def test_resizing_a_mask_to_the_corner_of_its_pixels_is_noticed(path, monkeypatch):
    def corner(target, size):
        return cv2.resize(target, size[::-1], interpolation=cv2.INTER_NEAREST)

    monkeypatch.setattr(fit_module, "stretch_target", corner)
    check = found(preset(path))["alignment"]
    assert not check.passed
    assert check.measure < 0.9  # a half, not a whole pixel
    assert "INTER_NEAREST_EXACT" in check.message


@pytest.mark.parametrize(
    "move",
    [lambda a, rng: a[:, ::-1], lambda a, rng: a[::-1] if rng.random() < 0.3 else a, turned],
    ids=["flip", "flip now and then", "rotation"],
)
def test_an_image_that_moves_without_its_mask_is_noticed(move):
    assert "borders" in wrong(changed(image=move), draws=16)


def test_a_mask_that_moves_without_its_image_is_noticed():
    assert "borders" in wrong(changed(target=lambda t, rng: t[:, ::-1]))


@pytest.mark.parametrize("labels", [space(5), space(3), space(300)], ids=["5", "3", "300"])
def test_interpolated_classes_are_noticed(labels):
    def smooth(target, rng):
        return cv2.resize(cv2.resize(target, None, fx=0.7, fy=0.7), target.shape[::-1])

    assert "classes" in wrong(changed(target=smooth), labels=labels)
    message = found(changed(target=smooth), labels=labels)["classes"].message
    assert "nearest pixel" in message


@pytest.mark.parametrize("value", [0, 1, 4])
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_border_that_is_filled_with_a_class_is_noticed(value, task):
    def filled(target, rng):
        if task == "multiclass":
            return np.where(target == 255, value, target).astype(target.dtype)
        return np.where(target == 255, np.eye(5, dtype=np.uint8)[value], target).astype(target.dtype)

    check = found(changed(target=filled, scale=(0.5, 1.0)), labels=space(5, task))["fill"]
    assert not check.passed
    assert "ignore index (255)" in check.message


def test_a_mask_that_is_mirrored_beyond_a_black_border_is_noticed():
    def mirrored(image, target, *, size, fit, ignore_index, seed):
        image, target = Augment({})(image, target, size=size, fit=fit, ignore_index=ignore_index, seed=seed)
        arguments = {"top": 10, "bottom": 0, "left": 0, "right": 0}
        image = cv2.copyMakeBorder(image, **arguments, borderType=cv2.BORDER_CONSTANT)[: size[0]]
        return image, cv2.copyMakeBorder(target, **arguments, borderType=cv2.BORDER_REFLECT)[: size[0]]

    assert wrong(mirrored) == {"fill"}


def test_a_mirrored_border_of_both_is_right():
    augment = Augment({"Rotate": {"limit": [20, 20], "p": 1.0, "border_mode": cv2.BORDER_REFLECT_101}})
    assert "fill" not in wrong(augment)


@pytest.mark.parametrize(
    ("transforms", "fit"),
    [
        ({"CoarseDropout": {"p": 1.0, "num_holes_range": [4, 8]}}, "crop"),
        ({"GridDropout": {"p": 1.0}}, "stretch"),
        ({"PixelDropout": {"p": 1.0, "dropout_prob": 0.02}}, "stretch"),
    ],
    ids=["coarse", "grid", "pixels"],
)
def test_holes_that_are_cut_on_purpose_are_no_mistake(transforms, fit):
    augment = Augment(transforms)
    assert augment.cuts_holes
    assert wrong(augment, fit=fit) == set()


@pytest.mark.parametrize(
    "transforms",
    [
        {"InvertImg": {"p": 0.5}, "ChannelShuffle": {"p": 0.5}},
        {"ColorJitter": {"p": 1.0}, "GaussianBlur": {"p": 0.5}},
        {"ToGray": {"p": 1.0}, "GaussNoise": {"p": 1.0, "std_range": [0.1, 0.2]}},
        {"ChannelDropout": {"p": 1.0}, "HueSaturationValue": {"p": 1.0}},
        {"Equalize": {"p": 1.0}, "Defocus": {"p": 1.0}},
        {"RandomBrightnessContrast": {"p": 1.0, "brightness_limit": 0.3, "contrast_limit": 0.4}},
        {"CLAHE": {"p": 1.0}, "ImageCompression": {"p": 1.0, "quality_range": [50, 80]}},
        {"Posterize": {"p": 1.0}},
    ],
    ids=lambda t: "+".join(t),
)
def test_what_changes_colours_only_does_not_disturb_the_measure(transforms):
    assert not Augment(transforms).cuts_holes
    assert wrong(Augment(transforms), draws=12) == set()


def test_a_transform_that_moves_the_image_though_it_should_not_is_noticed():
    """albumentations' motion blur lies beside the pixel by default."""
    check = found(Augment({"MotionBlur": {"p": 1.0, "blur_limit": [7, 9]}}))["alignment"]
    assert not check.passed


def test_without_anything_to_see_alignment_is_not_passed():
    black = changed(image=lambda a, rng: np.zeros_like(a))
    check = found(black)["alignment"]
    assert not check.passed
    assert "no border could be measured" in check.message


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (changed(image=lambda a, rng: a.astype(np.float32)), "image float32 [96, 128, 3] instead of uint8"),
        (changed(target=lambda a, rng: a.astype(np.int64)), "target int64"),
    ],
    ids=["image", "target"],
)
def test_another_type_is_noticed(broken, words):
    check = found(broken, draws=2)["types"]
    assert not check.passed
    assert words in check.message


def test_the_time_is_divided_among_the_transforms():
    check = found(Augment({"HorizontalFlip": {"p": 1.0}, "ElasticTransform": {"p": 1.0}}))["speed"]
    size, _, parts = check.message.partition(": ")
    assert size == "per sample of 165x132"
    shares = {
        name: float(share) for name, share in (p.removesuffix(" %").rsplit(" ", 1) for p in parts.split(", "))
    }
    assert next(iter(shares)) == "ElasticTransform"  # the dearest first
    assert shares.keys() == {"ElasticTransform", "HorizontalFlip", "crop and resize"}
    assert sum(shares.values()) == pytest.approx(100, abs=2)
    assert check.measure > 0
    assert found(changed())["speed"].message == size


@pytest.mark.parametrize("offset", [-1.25, -0.5, 0.0, 0.25, 1.0])
def test_a_displacement_is_measured_to_parts_of_a_pixel(offset):
    image, mask = blocks(240, 320, np.arange(4), np.random.default_rng(0))
    matrix = np.array([[1, 0, offset], [0, 1, -offset]], float)
    moved = cv2.warpAffine(image, matrix, (320, 240), borderMode=cv2.BORDER_REPLICATE)
    down, right = borders(moved, mask, 255).offset
    assert down == pytest.approx(-offset, abs=0.02)
    assert right == pytest.approx(offset, abs=0.02)


def test_a_picture_of_blocks_shows_its_classes_and_no_mixture_of_them_is_its_own_negative():
    image, mask = blocks(100, 150, np.array([0, 3, 9]), np.random.default_rng(1))
    assert image.shape == (100, 150, 3)
    assert set(np.unique(mask)) == {0, 3, 9}
    assert len(np.unique(image.reshape(-1, 3), axis=0)) == 3
    blurred = cv2.blur(image, (5, 5)).astype(int)
    assert np.abs(blurred - (255 - blurred)).max(2).min() > 50


def _drawn(value):
    return np.full((2, 2, 3), value, np.uint8), np.zeros((2, 2), np.uint8)


@pytest.mark.parametrize(
    ("draw", "failing"),
    [
        (lambda e, i: _drawn(hash((e, i)) % 251), set()),
        (lambda e, i: _drawn(i), {"epochs"}),
        (lambda e, i: _drawn(e), {"samples"}),
        (lambda e, i: _drawn(0), {"samples", "epochs"}),
    ],
    ids=["right", "the same in every epoch", "the same for every sample", "always the same"],
)
def test_draws_that_repeat_each_other_are_noticed(draw, failing):
    assert {c.name for c in check_draws(draw, varies=True) if not c.passed} == failing
    assert all(c.passed for c in check_draws(draw, varies=False))


def test_draws_that_cannot_be_repeated_are_noticed():
    rng = np.random.default_rng(0)
    checks = check_draws(lambda e, i: _drawn(rng.integers(256)), varies=True)
    assert {c.name for c in checks if not c.passed} == {"repeats"}


def test_the_audit_leaves_a_table_a_file_and_a_picture(tmp_path):
    import json

    from PIL import Image

    source = Streets(space_of_streets(), train_samples=5, val_samples=0, test_samples=0, height=64, width=96)
    augment = Augment({"HorizontalFlip": {"p": 0.5}}, scale=(0.7, 1.4))
    checks = run_audit(source, source.samples, augment, size=(48, 64), fit="stretch", seed=0, folder=tmp_path)
    written = json.loads((tmp_path / "audit.json").read_text())
    assert [c["name"] for c in written["checks"]] == [c.name for c in checks]
    assert written["samples"] == [source.samples[i].name for i in (0, 1, 3, 4)]
    with Image.open(tmp_path / "audit.png") as sheet:
        assert sheet.width == 1280
    lines = audit_table(checks).splitlines()
    assert len(lines) == 1 + len(checks)
    assert lines[1].split()[:2] == ["alignment", "ok"]


def test_without_masks_there_is_nothing_to_audit(tmp_path):
    from segkit.data.source import FileSource
    from segkit.types import Sample

    source = FileSource([Sample("a", tmp_path / "a.png")], space())
    with pytest.raises(UserError, match="no sample of the training part has a mask"):
        run_audit(source, source.samples, Augment({}), size=(8, 8), fit="crop", seed=0, folder=tmp_path)
