import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from segkit.augment import augment as module
from segkit.augment.augment import Augment
from segkit.paths import CONF_DIR
from segkit.types import UserError

PRESETS = sorted((CONF_DIR / "augment").glob("*.yaml"))
SIZES = [(64, 96), (40, 70), (72, 72)]
FITS = ["stretch", "crop"]
every_preset = pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.stem)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)
every_fit = pytest.mark.parametrize("fit", FITS)


def read(path: Path, **changes) -> dict:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert values.pop("_target_") == "segkit.augment.augment.Augment"
    return {**values, **changes}


def geometric(path: Path, square: bool) -> Augment:
    """The preset's geometric transforms, all of them every time."""
    from segkit.augment import transform

    values = read(path)
    kept = {
        name: {**arguments, "p": 1.0}
        for name, arguments in values["transforms"].items()
        if issubclass(getattr(transform.albumentations, name), transform.albumentations.DualTransform)
        and (square or name not in transform._SQUARE)
    }
    return Augment(**{**values, "transforms": kept})


def sample(height: int = 90, width: int = 120, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    target = np.kron(rng.integers(0, classes, (height // 6, width // 6)), np.ones((6, 6))).astype(np.uint8)
    return image, target


def test_the_four_presets_are_there():
    assert {p.stem for p in PRESETS} >= {"none", "light", "street", "medical"}


@every_preset
@every_size
@every_fit
def test_image_and_target_move_together_to_half_a_pixel(path, size, fit):
    rows, columns = np.mgrid[:90, :120]
    image = np.stack([rows * 2 + 8, columns * 2 + 8, np.full_like(rows, 255)], 2).astype(np.uint8)
    target = (rows * 256 + columns).astype(np.uint16)
    augment = geometric(path, square=size[0] == size[1])
    step = max(90 / size[0], 120 / size[1]) if fit == "stretch" else 1.0  # source pixels per pixel
    warps = len(set(augment.transforms) & {"Rotate", "Affine", "ElasticTransform"})
    bound = 0.5 + warps * 0.5 * step / augment.crop.scale[0] + 0.25 * (1 + warps)  # and grey levels
    means: list[list[float]] = [[], []]
    for seed in range(6):
        moved, moved_target = augment(image, target, size=size, fit=fit, ignore_index=65535, seed=seed)
        valid = (moved_target != 65535) & (moved[..., 2] == 255)
        assert valid.mean() > 0.3
        for channel, place in ((0, moved_target // 256), (1, moved_target % 256)):
            error = ((moved[..., channel].astype(float) - 8) / 2 - place)[valid]
            assert np.abs(error).max() <= bound
            means[channel].append(error.mean())
    assert np.abs(np.mean(means, 1)).max() < 0.1  # INTER_NEAREST: up to 0.6


@every_preset
@every_size
@every_fit
@pytest.mark.parametrize("kind", ["uint8", "uint16", "multilabel"])
def test_size_and_type_are_kept_and_no_class_is_invented(path, size, fit, kind):
    image, target = sample()
    ignore_index = 255
    if kind == "uint16":
        target, ignore_index = target.astype(np.uint16) * 100, 65535
    if kind == "multilabel":
        target = np.stack([target == k for k in range(5)], 2).astype(np.uint8)
    augment = Augment(**read(path))
    for seed in range(6):
        small, small_target = augment(image, target, size=size, fit=fit, ignore_index=ignore_index, seed=seed)
        assert small.shape == (*size, 3)
        assert small.dtype == np.uint8
        assert small_target.shape == (*size, *target.shape[2:])
        assert small_target.dtype == target.dtype
        assert set(np.unique(small_target)) <= set(np.unique(target)) | {ignore_index}
        assert small.flags.c_contiguous
        assert small_target.flags.c_contiguous


@every_preset
@every_fit
def test_the_seed_alone_decides(path, fit):
    image, target = sample()
    before = image.copy(), target.copy()
    image.flags.writeable = target.flags.writeable = False  # a cache must stay as it is
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state().clone()  # noqa: NPY002
    one, other = Augment(**read(path)), pickle.loads(pickle.dumps(Augment(**read(path))))

    def call(augment, seed):
        return augment(image, target, size=(40, 64), fit=fit, ignore_index=255, seed=seed)

    first = [call(one, seed) for seed in range(12)]
    for seed in reversed(range(12)):
        for a, b in zip(first[seed], call(other, seed), strict=True):
            np.testing.assert_array_equal(a, b)
    assert random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(target, before[1])
    distinct = len({a.tobytes() for a, _ in first})
    expected = {"none": 1, "light": 2}.get(path.stem, 12) if fit == "stretch" else 12
    assert distinct == expected


@every_preset
def test_every_key_of_a_preset_has_a_comment(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for number, line in enumerate(lines):
        opens_a_transform = line.startswith("  ") and line[2].isupper()
        if not line.startswith("#") and not line.startswith("_target_") and not opens_a_transform:
            assert "#" in line or lines[number - 1].startswith("#"), f"{path.name}: {line}"


@every_preset
def test_a_preset_states_the_defaults_of_the_class(path):
    assert list(read(path)) == ["transforms", "scale", "crop_class_prob", "crop_classes", "crop_max_ratio"]


def test_without_changes_the_target_is_the_picture_brought_to_size():
    image, target = sample()
    small, small_target = Augment({})(image, target, size=(90, 120), fit="stretch", ignore_index=255, seed=1)
    np.testing.assert_array_equal(small, image)
    np.testing.assert_array_equal(small_target, target)


def test_null_leaves_a_transform_out():
    augment = Augment({"HorizontalFlip": None, "VerticalFlip": {"p": 1.0}})
    assert list(augment.transforms) == ["VerticalFlip"]


@every_fit
def test_zooming_out_surrounds_the_picture_with_ignored_pixels(fit):
    image, target = sample()
    image[:] = 255
    augment = Augment({}, scale=[0.5, 0.5])
    small, small_target = augment(image, target, size=(90, 120), fit=fit, ignore_index=255, seed=1)
    assert (small_target != 255).sum() == 45 * 60
    np.testing.assert_array_equal(small_target == 255, small[..., 0] == 0)


def test_a_rare_class_is_shown_more_often_when_crops_are_directed():
    image, target = sample(classes=2)
    target[60:63, 80:83] = 4

    def share(prob):
        augment = Augment({}, crop_class_prob=prob)
        parts = [
            augment(image, target, size=(24, 24), fit="crop", ignore_index=255, seed=s)[1] for s in range(150)
        ]
        return np.mean([(p == 4).any() for p in parts])

    assert share(1.0) > share(0.0) + 0.2


@every_preset
def test_a_focus_is_shown_by_the_whole_chain(path):
    image, target = sample(classes=2)
    target[3:12, 3:12] = 4
    augment = Augment(**read(path))

    def share(focus):
        arguments = {"size": (24, 24), "fit": "crop", "ignore_index": 255, "focus": focus}
        parts = [augment(image, target, seed=s, **arguments)[1] for s in range(100)]
        return np.mean([(p == 4).any() for p in parts])

    assert share(4) > 0.95  # a rotation may turn a pixel at the very border out of the picture
    assert share(None) < 0.6


def test_a_mistake_is_told_when_the_augmentation_is_made():
    with pytest.raises(UserError, match=r"augment.transforms.Rotate.limt"):
        Augment({"Rotate": {"limt": 5}})
    with pytest.raises(UserError, match=r"augment.scale=\[2.0, 1.0\]"):
        Augment({}, scale=[2.0, 1.0])


def test_an_unknown_fit_is_named():
    image, target = sample()
    with pytest.raises(UserError, match=r"data\.fit=squeeze: give stretch or crop"):
        Augment({})(image, target, size=(8, 8), fit="squeeze", ignore_index=255, seed=0)


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32])
def test_targets_of_other_types_are_refused(dtype):
    image, target = sample()
    with pytest.raises(TypeError, match="uint8 or uint16"):
        Augment({})(image, target.astype(dtype), size=(8, 8), fit="stretch", ignore_index=255, seed=0)


def test_albumentations_is_imported_in_one_file_only():
    package = Path(module.__file__).parents[1]
    doors = [
        p.name for p in package.rglob("*.py") if "import albumentations" in p.read_text(encoding="utf-8")
    ]
    assert doors == ["transform.py"]
