import pytest
import torch

from segkit.loss.ce import ce
from segkit.loss.ce_dice import ce_dice
from segkit.loss.dice import dice
from segkit.types import LabelSpace, UserError


def test_its_terms_are_those_of_ce_and_dice_alone(three_classes):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (2, 4, 4), generator=generator)
    weights = torch.tensor([1.0, 2.0, 3.0])
    value, terms = ce_dice(three_classes, weights, ce=0.5, dice=2.0, label_smoothing=0.1, dice_smooth=3.0)(
        logits, target
    )
    entropy = ce(three_classes, weights, label_smoothing=0.1)(logits, target)[0]
    overlap = dice(three_classes, dice_smooth=3.0)(logits, target)[0]
    assert terms["ce"].item() == pytest.approx(entropy.item(), rel=1e-12)
    assert terms["dice"].item() == pytest.approx(overlap.item(), rel=1e-12)
    assert value.item() == pytest.approx((0.5 * entropy + 2 * overlap).item(), rel=1e-12)


def test_only_batch_dice_is_inexact(three_classes):
    assert ce_dice(three_classes, dice_per_image=False).inexact == ("dice",)
    assert ce_dice(three_classes).inexact == ()


def test_multilabel_is_sent_to_bce_dice():
    labels = LabelSpace(("a", "b"), ((0, 0, 0),) * 2, ((1,), (2,)), task="multilabel")
    with pytest.raises(UserError, match=r"use loss=bce_dice$"):
        ce_dice(labels)
