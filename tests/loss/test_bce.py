import pytest
import torch
import torch.nn.functional as F

from segkit.loss.bce import bce
from segkit.loss.ce import ce
from segkit.types import LabelSpace, UserError

OVERLAPPING = LabelSpace(("a", "b", "c"), ((0, 0, 0),) * 3, ((1,), (2,), (3,)), task="multilabel")


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 2, (2, 3, 4, 5), generator=generator, dtype=torch.uint8)
    target[:, :, 0] = 255
    target[1, 2] = 255  # one class alone may be ignored, too
    return logits.requires_grad_(), target


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 7.0]])
def test_multilabel_is_the_weighted_mean_of_torchs_binary_cross_entropy(smoothing, weights):
    logits, target = batch()
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    ours = bce(OVERLAPPING, tensor, label_smoothing=smoothing)(logits, target)[0]
    weight = (torch.ones(3) if tensor is None else tensor).double()[:, None, None] * (target != 255)
    answers = (target == 1).double() * (1 - smoothing) + smoothing / 2
    theirs = F.binary_cross_entropy_with_logits(logits, answers, weight, reduction="sum") / weight.sum()
    assert torch.isclose(ours, theirs, rtol=1e-12)
    slopes = [torch.autograd.grad(value, logits)[0] for value in (ours, theirs)]
    assert torch.allclose(*slopes, rtol=1e-10, atol=1e-14)


def test_binary_is_the_same_as_ce(binary):
    logits, target = batch(1)
    options = {"class_weights": torch.tensor([0.5, 4.0]), "label_smoothing": 0.2}
    values = [make(binary, **options)(logits[:, :1], target[:, 0])[0] for make in (ce, bce)]
    assert values[0].item() == values[1].item()


def test_a_hand_worked_value(binary):
    """p = 1/2 everywhere: ln 2, whatever the answers and the weights."""
    target = torch.tensor([[[0, 1, 1, 255]]])
    value, terms = bce(binary, torch.tensor([1.0, 9.0]))(torch.zeros(1, 1, 1, 4), target)
    assert value.item() == pytest.approx(0.6931472, rel=1e-6)
    assert list(terms) == ["bce"]
    assert bce(binary, torch.tensor([1.0, 9.0])).weigh(target).tolist() == [19.0]


def test_multiclass_is_sent_to_ce(three_classes):
    with pytest.raises(UserError, match=r"use loss=ce$"):
        bce(three_classes)
