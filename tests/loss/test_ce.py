import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.loss.ce import ce
from segkit.types import LabelSpace, UserError


def space(k: int, task: str = "multiclass") -> LabelSpace:
    names = tuple(f"c{i}" for i in range(k))
    return LabelSpace(names, ((0, 0, 0),) * k, tuple((i,) for i in range(k)), task=task)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(0, 0.9), st.booleans())
def test_value_and_gradient_are_those_of_torch(seed, k, smoothing, weighted):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 3, (3, k, 2, 3))).requires_grad_()
    target = torch.from_numpy(rng.choice([*range(k), 255], (3, 2, 3)).astype(np.int64))
    target[0, 0, 0] = 0
    weights = torch.from_numpy(rng.uniform(0.1, 5, k)) if weighted else None
    ours = ce(space(k), weights, label_smoothing=smoothing)(logits, target)[0]
    theirs = F.cross_entropy(logits, target, weights, ignore_index=255, label_smoothing=smoothing)
    assert torch.isclose(ours, theirs, rtol=1e-10)
    slopes = [torch.autograd.grad(value, logits)[0] for value in (ours, theirs)]
    assert torch.allclose(*slopes, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_one_logit_is_the_two_class_softmax(smoothing):
    """Logits (0, z) have the softmax (1 - sigmoid(z), sigmoid(z))."""
    z = torch.randn(2, 1, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    target = torch.tensor([0, 1, 255, 1]).expand(2, 5, 4).transpose(1, 2)
    weights = torch.tensor([0.3, 2.0], dtype=torch.float64)
    two = torch.cat([torch.zeros_like(z), z], 1)
    ours = ce(space(2, "binary"), weights, label_smoothing=smoothing)(z, target)[0]
    theirs = F.cross_entropy(two, target, weights, ignore_index=255, label_smoothing=smoothing)
    assert torch.isclose(ours, theirs, rtol=1e-12)


def test_a_hand_worked_value():
    """Two pixels with p(true) = 3/4 (weight 1) and 1/4 (weight 3): (1 ln(4/3) + 3 ln 4) / 4."""
    logits = torch.log(torch.tensor([[0.75, 0.75, 0.5], [0.25, 0.25, 0.5]], dtype=torch.float64))[
        None, :, None
    ]
    target = torch.tensor([[[0, 1, 255]]])
    loss = ce(space(2), torch.tensor([1.0, 3.0]))
    assert loss(logits, target)[0].item() == pytest.approx((np.log(4 / 3) + 3 * np.log(4)) / 4, rel=1e-12)
    assert loss.weigh(target).tolist() == [4.0]


def test_a_class_of_weight_zero_is_not_learned(three_classes):
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(2)).requires_grad_()
    target = torch.full((1, 4, 4), 2)
    value, _ = ce(three_classes, torch.tensor([1.0, 1.0, 0.0]))(logits, target)
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


def test_three_hundred_classes_use_the_wider_ignore_index():
    labels = space(300)
    logits = torch.randn(1, 300, 2, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    target = torch.tensor([[[255, 299], [65535, 0]]], dtype=torch.int32)
    weights = torch.linspace(0.1, 2, 300, dtype=torch.float64)
    ours = ce(labels, weights)(logits, target)[0]
    assert torch.isclose(
        ours, F.cross_entropy(logits, target.long(), weights, ignore_index=65535), rtol=1e-12
    )


def test_multilabel_is_sent_to_bce():
    with pytest.raises(UserError, match=r"use loss=bce$"):
        ce(space(3, "multilabel"))
