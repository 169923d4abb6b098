import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.augment import transform
from segkit.augment.transform import Chain, offered
from segkit.types import UserError

DUAL = [
    n
    for n in offered()
    if issubclass(getattr(transform.albumentations, n), transform.albumentations.DualTransform)
]
IMAGE_ONLY = sorted(set(offered()) - set(DUAL))


def picture(height: int = 48, width: int = 48) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 4, columns * 4, np.full_like(rows, 200)], 2).astype(np.uint8)


def run(name, image, target, ignore_index=255, seed=0, **arguments):
    rng = np.random.default_rng(seed)
    return Chain({name: {"p": 1.0, **arguments}}, ignore_index)(image.copy(), target.copy(), rng)


@pytest.mark.parametrize("name", IMAGE_ONLY)
def test_a_photometric_transform_leaves_the_target_alone(name):
    image = picture()
    target = np.random.default_rng(0).integers(0, 255, (48, 48)).astype(np.uint8)
    changed, same = run(name, image, target)
    np.testing.assert_array_equal(same, target)
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8


@pytest.mark.parametrize("name", DUAL)
def test_a_geometric_transform_moves_the_target_with_the_image(name):
    image = picture()
    target = (np.mgrid[:48, :48][0] * 256 + np.mgrid[:48, :48][1]).astype(np.uint16)
    for seed in range(3):
        moved, moved_target = run(name, image, target, 65535, seed)
        valid = (moved_target != 65535) & (moved[..., 2] == 200)  # not in a hole or at the border
        assert valid.any()
        for channel, place in ((0, moved_target // 256), (1, moved_target % 256)):
            error = (moved[..., channel] / 4 - place)[valid]
            assert np.abs(error).max() <= 0.65  # half a pixel, and rounding of the image
            assert abs(error.mean()) < 0.15  # half a pixel off everywhere would be 0.5


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(DUAL),
    seed=st.integers(0, 2**40),
    height=st.integers(16, 40),
    width=st.integers(16, 40),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    channels=st.integers(0, 6),
)
def test_no_class_is_ever_invented(name, seed, height, width, dtype, channels):
    if name in transform._SQUARE:
        width = height
    ignore_index = int(np.iinfo(dtype).max)
    values = np.array([3, 7, 200, ignore_index] if channels == 0 else [0, 1, ignore_index], dtype)
    shape = (height, width, channels) if channels else (height, width)
    target = np.random.default_rng(seed).choice(values, shape)
    _, moved = run(name, picture(height, width), target, ignore_index, seed)
    assert set(np.unique(moved)) <= set(values.tolist())
    assert moved.shape == target.shape
    assert moved.dtype == dtype


@pytest.mark.parametrize("name", DUAL)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_every_channel_of_a_multilabel_target_moves_alike(name, channels):
    target = np.random.default_rng(0).integers(0, 2, (32, 32, channels)).astype(np.uint8)
    image = picture(32, 32)
    _, moved = run(name, image, target, seed=5)
    for k in range(channels):
        np.testing.assert_array_equal(moved[..., k], run(name, image, target[..., k], seed=5)[1])


@pytest.mark.parametrize("name", ["Affine", "Rotate", "Perspective", "ElasticTransform", "SafeRotate"])
@pytest.mark.parametrize(("dtype", "ignore_index"), [(np.uint8, 255), (np.uint16, 65535)])
def test_what_lies_beyond_the_border_is_ignored_and_black(name, dtype, ignore_index):
    arguments = {
        "Affine": {"rotate": [30, 30], "scale": 0.7},
        "Rotate": {"limit": [30, 30]},
        "SafeRotate": {"limit": [30, 30]},
        "Perspective": {"scale": [0.2, 0.2], "fit_output": True},
        "ElasticTransform": {"alpha": 400, "sigma": 6},
    }[name]
    image = np.full((48, 64, 3), 255, np.uint8)
    target = np.full((48, 64, 5), 1, dtype)
    moved, moved_target = run(name, image, target, ignore_index, **arguments)
    outside = moved_target[..., 0] == ignore_index
    assert outside.mean() > 0.01
    np.testing.assert_array_equal(moved_target == 1, np.repeat(~outside[..., None], 5, 2))
    assert (moved[outside] < 255).any(axis=1).all()
    assert (moved[~outside] >= 60).all()  # a corner of the picture has a weight of at least a quarter


def test_a_scalar_fill_is_meant_for_all_three_channels():
    white = np.full((40, 40, 3), 255, np.uint8)
    for name, arguments in (
        ("Rotate", {"limit": [45, 45]}),
        ("ElasticTransform", {"alpha": 400, "sigma": 6}),
    ):
        moved, target = run(name, white, np.zeros((40, 40), np.uint8), fill=90, **arguments)
        assert (moved[target == 255] < 255).any()
        assert (moved[..., 0] == moved[..., 1]).all()
        assert (moved[..., 0] == moved[..., 2]).all()
        assert moved.min() == 90


def test_a_stated_border_mode_is_obeyed():
    _, target = run("Rotate", picture(), np.zeros((48, 48), np.uint8), limit=[45, 45], border_mode=4)
    assert (target == 0).all()


def test_two_transforms_draw_independently():
    """albumentations' own seeding gives both flips the same numbers."""
    chain = Chain({"HorizontalFlip": {"p": 0.5}, "VerticalFlip": {"p": 0.5}}, 255)
    image, target = picture(2, 2), np.array([[0, 1], [2, 3]], np.uint8)
    corners = [chain(image, target, np.random.default_rng(i))[1][0, 0] for i in range(400)]
    assert np.bincount(corners, minlength=4).min() > 70


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("HorizontalFlp", {}, "did you mean HorizontalFlip"),
        ("horizontalflip", {}, "did you mean HorizontalFlip"),
        ("Xyzzy", {}, "choose from AdditiveNoise, "),
        ("Rotate", {"limits": 5}, "Rotate.limits: no such argument; did you mean limit?"),
        ("Rotate", {"mask_value": 255}, "Rotate.mask_value: no such argument; choose from limit, "),
        ("HorizontalFlip", {"P": 0.5}, "HorizontalFlip.P: no such argument; did you mean p?"),
        ("Rotate", {"fill_mask": 0}, "Rotate.fill_mask cannot be set"),
        ("Rotate", {"mask_interpolation": 1}, "Rotate.mask_interpolation cannot be set"),
        ("PixelDropout", {"mask_drop_value": 0}, "PixelDropout.mask_drop_value cannot be set"),
        ("HorizontalFlip", {"p": 2}, "HorizontalFlip.p=2: .* less than or equal to 1"),
        ("Rotate", {"limit": "abc"}, "Rotate.limit='abc'"),
        ("GaussNoise", {"std_range": [0.5, 0.1]}, "GaussNoise.std_range="),
        ("HorizontalFlip", 0.5, "HorizontalFlip=0.5: give its arguments"),
        ("RandomCrop", {"height": 8, "width": 8}, "data.size"),
        ("ToTensorV2", {}, "uint8 RGB"),
        ("Mosaic", {}, "needs data"),
        ("ShiftScaleRotate", {}, "use Affine"),
        ("Affine", {"fit_output": True}, "Affine.fit_output=True would change the size"),
        ("Perspective", {"keep_size": False}, "Perspective.keep_size=False would change the size"),
    ],
)
def test_a_mistake_is_named_in_one_line(name, arguments, words):
    with pytest.raises(UserError, match=words) as error:
        Chain({name: arguments}, 255)
    assert str(error.value).startswith(f"augment.transforms.{name}")
    assert "\n" not in str(error.value)


def test_quarter_turns_are_refused_where_they_change_the_size():
    target = np.zeros((16, 24), np.uint8)
    with pytest.raises(UserError, match=r"RandomRotate90 needs a square, data.size is \[16, 24\]"):
        run("RandomRotate90", picture(16, 24), target)
    assert run("RandomRotate90", picture(16, 24), target, p=0.0)[1].shape == (16, 24)


def test_every_transform_of_albumentations_is_offered_or_refused_with_a_reason():
    a = transform.albumentations
    kinds = (a.DualTransform, a.ImageOnlyTransform)
    bases = {"DualTransform", "ImageOnlyTransform", "Transform3D"}
    for name, kind in vars(a).items():
        if inspect.isclass(kind) and issubclass(kind, kinds) and name not in bases:
            if issubclass(kind, a.Transform3D):
                assert name not in offered()
            else:
                assert (name in offered()) != (name in transform._REFUSED), name
