import numpy as np
import pytest
import torch

from segkit.loss.dice import dice
from segkit.types import LabelSpace, UserError

OVERLAPPING = LabelSpace(("a", "b"), ((0, 0, 0),) * 2, ((1,), (2,)), task="multilabel")


def by_loops(p: np.ndarray, target: np.ndarray, smooth: float, absent_count: bool) -> float:
    """The definition, read aloud: mean over classes of each image, then mean over images."""
    images = []
    for image, truth in zip(p, target, strict=True):
        classes = []
        for c in range(len(image)):
            keep = truth[c] != 255 if truth.ndim == 3 else truth != 255
            y = (truth[c] == 1 if truth.ndim == 3 else truth == c)[keep]
            if not keep.any() or (not y.any() and not absent_count):
                continue
            q = image[c][keep]
            classes.append(1 - (2 * q[y].sum() + smooth) / (q.sum() + y.sum() + smooth))
        if classes:
            images.append(np.mean(classes))
    return float(np.mean(images))


@pytest.mark.parametrize("smooth", [0.0, 1.0, 10.0])
def test_multiclass_counts_the_classes_that_an_image_shows(three_classes, smooth):
    logits = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = np.random.default_rng(0).choice([0, 1, 2, 255], (4, 5, 6)).astype(np.uint8)
    target[0][target[0] == 1] = 0  # this image does not show class 1
    target[1] = 255  # this one shows nothing at all
    loss = dice(three_classes, dice_smooth=smooth)
    expected = by_loops(logits.softmax(1).numpy(), target, smooth, absent_count=False)
    assert loss(logits, torch.from_numpy(target))[0].item() == pytest.approx(expected, rel=1e-12)
    assert loss.weigh(torch.from_numpy(target)).tolist() == [3.0]


def test_multilabel_counts_every_class(three_classes):
    logits = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = np.random.default_rng(0).choice([0, 1, 255], (3, 2, 4, 4)).astype(np.uint8)
    target[0, 1] = 0
    target[1, 0] = 255
    expected = by_loops(logits.sigmoid().numpy(), target, 1.0, absent_count=True)
    value = dice(OVERLAPPING)(logits, torch.from_numpy(target))[0]
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_binary_is_the_dice_of_the_foreground(binary):
    """p = 1/2 on 4 pixels, 1 of them foreground: 1 - (2 * 0.5 + 1) / (2 + 1 + 1)."""
    value, _ = dice(binary)(torch.zeros(1, 1, 2, 2), torch.tensor([[[1, 0], [0, 0]]]))
    assert value.item() == pytest.approx(0.5)


def test_without_foreground_less_probability_is_a_smaller_loss(binary):
    target = torch.zeros(1, 2, 2, dtype=torch.uint8)
    values = [dice(binary)(torch.full((1, 1, 2, 2), z), target)[0].item() for z in (2.0, 0.0, -2.0, -40.0)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(0, abs=1e-6)


def test_batch_dice_pools_the_images_and_says_that_it_is_inexact(three_classes):
    logits = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = np.random.default_rng(0).choice([0, 1, 2, 255], (4, 5, 6)).astype(np.uint8)
    loss = dice(three_classes, dice_per_image=False)
    pooled = logits.softmax(1).movedim(1, 0).reshape(1, 3, 20, 6).numpy()
    expected = by_loops(pooled, target.reshape(1, 20, 6), 1.0, absent_count=False)
    assert loss(logits, torch.from_numpy(target))[0].item() == pytest.approx(expected, rel=1e-12)
    assert loss.inexact == ("dice",)
    assert dice(three_classes).inexact == ()


def test_micro_batches_of_batch_dice_are_averaged_over_those_that_show_something(three_classes):
    loss = dice(three_classes, dice_per_image=False)
    logits = torch.randn(3, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = torch.tensor([[[0, 1], [2, 2]], [[0, 0], [1, 255]], [[255, 255], [255, 255]]])
    window = sum(loss.weigh(t) for t in target.split(1))
    shares = [loss(z, t, window)[0] for z, t in zip(logits.split(1), target.split(1), strict=True)]
    alone = [loss(z, t)[0] for z, t in zip(logits.split(1), target.split(1), strict=True)]
    assert window.tolist() == [2.0]
    assert sum(shares).item() == pytest.approx(sum(alone).item() / 2, rel=1e-12)


def test_class_weights_are_refused_not_ignored(three_classes):
    with pytest.raises(UserError, match="use loss=ce_dice"):
        dice(three_classes, torch.ones(3))


@pytest.mark.parametrize("smooth", [-1.0, float("inf")])
def test_impossible_smoothing_is_refused(three_classes, smooth):
    with pytest.raises(UserError, match=r"loss\.dice_smooth="):
        dice(three_classes, dice_smooth=smooth)
