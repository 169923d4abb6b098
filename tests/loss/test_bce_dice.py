import pytest
import torch

from segkit.loss.bce import bce
from segkit.loss.bce_dice import bce_dice
from segkit.loss.dice import dice
from segkit.types import LabelSpace, UserError


def test_its_terms_are_those_of_bce_and_dice_alone():
    labels = LabelSpace(("a", "b"), ((0, 0, 0),) * 2, ((1,), (2,)), task="multilabel")
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 4, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 2, (2, 2, 4, 4), generator=generator)
    weights = torch.tensor([1.0, 2.0])
    value, terms = bce_dice(labels, weights, bce=0.5, dice=2.0, label_smoothing=0.1)(logits, target)
    entropy = bce(labels, weights, label_smoothing=0.1)(logits, target)[0]
    overlap = dice(labels)(logits, target)[0]
    assert terms["bce"].item() == pytest.approx(entropy.item(), rel=1e-12)
    assert terms["dice"].item() == pytest.approx(overlap.item(), rel=1e-12)
    assert value.item() == pytest.approx((0.5 * entropy + 2 * overlap).item(), rel=1e-12)


def test_only_batch_dice_is_inexact(binary):
    assert bce_dice(binary, dice_per_image=False).inexact == ("dice",)
    assert bce_dice(binary).inexact == ()


def test_multiclass_is_sent_to_ce_dice(three_classes):
    with pytest.raises(UserError, match=r"use loss=ce_dice$"):
        bce_dice(three_classes)
