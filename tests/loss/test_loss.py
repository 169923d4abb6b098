"""What every loss promises, whatever its terms."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from segkit.loss.ce_dice import ce_dice
from segkit.loss.loss import Loss
from segkit.types import UserError


def gradient(loss, logits, target, window=None):
    value, _ = loss(logits, target, window)
    return value, torch.autograd.grad(value, logits)[0]


def network(case):
    """A small convolutional network without batch statistics, and its 22 pictures."""
    torch.manual_seed(0)
    last = nn.Conv2d(5, case.labels.num_logits, 1)
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.GroupNorm(1, 5), nn.SiLU(), last).double()
    target = case.target(22)
    target[[5, 17]] = case.labels.ignore_index  # two pictures show nothing at all
    return net, torch.randn(22, 3, 5, 6, dtype=torch.float64), target


def accumulated(net, loss, images, target, size):
    """Gradient of the parameters from windows of 8, 8 and 6 samples in micro-batches of `size`."""
    net = copy.deepcopy(net)
    gradients = []
    for start in range(0, len(images), 8):
        x, t = images[start : start + 8], target[start : start + 8]
        batches = list(zip(x.split(size), t.split(size), strict=True))
        window = torch.stack([loss.weigh(b) for _, b in batches]).sum(0)
        net.zero_grad()
        for image, part in batches:
            loss(net(image), part, window)[0].backward()
        gradients += [p.grad.clone() for p in net.parameters()]
    return gradients


@pytest.mark.parametrize("size", [4, 2, 1, 3])
def test_small_batches_give_the_gradient_of_one_large_batch(case, size):
    loss = case.full()
    assert loss.inexact == ()
    net, images, target = network(case)
    whole = accumulated(net, loss, images, target, 8)
    parts = accumulated(net, loss, images, target, size)
    for a, b in zip(whole, parts, strict=True):
        assert (a - b).norm() <= 1e-12 * a.norm()
        assert a.norm() > 0


def test_the_mean_of_micro_batch_losses_is_another_gradient(case):
    """The proof above could not fail if targets were alike: here the naive way must be off."""
    loss = case.full()
    net, images, target = network(case)
    whole = accumulated(net, loss, images[:8], target[:8], 8)
    net.zero_grad()
    for image, part in zip(images[:8].split(1), target[:8].split(1), strict=True):
        (loss(net(image), part)[0] / 8).backward()
    off = [(p.grad - a).norm() / a.norm() for p, a in zip(net.parameters(), whole, strict=True)]
    assert max(off) > 1e-3


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_division_of_any_batch_gives_the_same_gradient(case, data):
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    seed, ignored = data.draw(st.integers(0, 2**31)), data.draw(st.floats(0, 1))
    loss, n = case.full(), sum(sizes)
    logits, target = case.logits(n, seed, (2, 3)), case.target(n, seed, ignored, (2, 3))
    value, slope = gradient(loss, logits, target)
    window = sum(loss.weigh(t) for t in target.split(sizes))
    shares = zip(logits.split(sizes), target.split(sizes), strict=True)
    parts = [gradient(loss, z, t, window) for z, t in shares]
    assert torch.allclose(torch.cat([p for _, p in parts]), slope, rtol=1e-12, atol=1e-15)
    assert torch.isclose(sum(v for v, _ in parts), value, rtol=1e-12)


def test_shares_of_a_window_add_up_to_loss_and_terms_of_the_whole(case):
    loss = case.full()
    logits, target = case.logits(7), case.target(7)
    value, terms = loss(logits, target)
    window = sum(loss.weigh(t) for t in target.split(2))
    shares = [loss(z, t, window) for z, t in zip(logits.split(2), target.split(2), strict=True)]
    assert torch.isclose(sum(v for v, _ in shares), value, rtol=1e-12)
    for name in loss.names:
        assert torch.isclose(sum(t[name] for _, t in shares), terms[name], rtol=1e-12)


def test_the_loss_is_the_sum_of_coefficient_times_term(case):
    loss = case.full()
    value, terms = loss(case.logits(3), case.target(3))
    expected = sum(c * terms[n] for c, n in zip(loss.coefficients, loss.names, strict=True))
    assert torch.isclose(value, expected, rtol=1e-12)
    assert not any(term.requires_grad for term in terms.values())


def test_ignored_pixels_get_no_gradient_and_change_nothing(case):
    loss = case.full()
    logits, target = case.logits(4), case.target(4)
    ignored = target == case.labels.ignore_index
    ignored = ignored[:, None].expand(logits.shape) if case.task != "multilabel" else ignored
    value, slope = gradient(loss, logits, target)
    assert ignored.any()
    assert (slope[ignored] == 0).all()
    assert (slope[~ignored] != 0).any()
    other = torch.where(ignored, logits.detach() + 5, logits.detach()).requires_grad_()
    assert torch.isclose(gradient(loss, other, target)[0], value, rtol=1e-12)


def test_a_perfect_prediction_is_the_minimum(case):
    loss, target = case.loss(), case.target(4)
    best = loss(case.perfect(target), target)[0].item()
    assert best == pytest.approx(0, abs=1e-9)
    for seed in range(5):
        assert loss(case.logits(4, seed), target)[0].item() > best + 0.1


def test_steps_along_the_gradient_lead_to_the_target(case):
    loss, target, logits = case.full(), case.target(2), case.logits(2)
    before = loss(logits, target)[0].item()
    for _ in range(60):
        slope = gradient(loss, logits, target)[1]
        logits = (logits - 20 * slope).detach().requires_grad_()
    assert loss(logits, target)[0].item() < 0.7 * before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_all_ignored_batch_is_exactly_zero(case, dtype):
    loss = case.full()
    target = torch.full_like(case.target(3), case.labels.ignore_index)
    logits = case.logits(3).detach().to(dtype).requires_grad_()
    value, slope = gradient(loss, logits, target)
    assert loss.weigh(target).tolist() == [0.0] * len(loss.names)
    assert value.item() == 0
    assert (slope == 0).all()


def test_an_all_ignored_batch_adds_nothing_to_its_window(case):
    loss = case.full()
    target = torch.full_like(case.target(3), case.labels.ignore_index)
    value, slope = gradient(loss, case.logits(3), target, loss.weigh(case.target(3)))
    assert value.item() == 0
    assert (slope == 0).all()


def test_gradients_are_those_of_finite_differences(case):
    size = (2, 3)
    loss, target, logits = case.full(), case.target(2, size=size), case.logits(2, size=size)
    assert torch.autograd.gradcheck(lambda z: loss(z, target)[0], (logits,))


def test_weights_are_float64_and_depend_on_the_target_alone(case):
    loss, target = case.full(), case.target(3)
    weights = loss.weigh(target)
    assert weights.dtype == torch.float64
    assert weights.shape == (len(loss.names),)
    assert (weights > 0).all()
    assert not weights.requires_grad


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_integer_types_of_the_target_do_not_matter(case, dtype):
    loss, logits, target = case.full(), case.logits(3), case.target(3)
    assert torch.equal(loss(logits, target)[0], loss(logits, target.to(dtype))[0])
    assert torch.equal(loss.weigh(target), loss.weigh(target.to(dtype)))


def test_float32_agrees_with_float64(case):
    loss, logits, target = case.full(), case.logits(3), case.target(3)
    value = loss(logits.float(), target)[0]
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(logits, target)[0].item(), rel=1e-5)


def test_bfloat16_logits_are_computed_in_float32_under_autocast(case):
    loss, target = case.full(), case.target(3)
    logits = case.logits(3).detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(logits, target)[0]
    assert value.dtype == torch.float32
    assert value.item() == loss(logits.float(), target)[0].item()


def test_channels_last_logits_give_the_same(case):
    loss, target, logits = case.full(), case.target(3), case.logits(3)
    other = logits.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    for a, b in zip(gradient(loss, logits, target), gradient(loss, other, target), strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-15)


def test_extreme_logits_stay_finite(case):
    loss, target = case.full(), case.target(3)
    logits = (case.logits(3).detach() * 1e4).float().requires_grad_()
    value, slope = gradient(loss, logits, target)
    assert value.isfinite()
    assert slope.isfinite().all()


def test_a_loss_adds_nothing_to_a_checkpoint(case):
    assert not case.full().state_dict()
    assert not list(case.full().parameters())


@pytest.mark.parametrize("name", ["ce", "dice"])
def test_a_coefficient_scales_its_term_only(make_case, name):
    case = make_case("ce_dice", "multiclass")
    logits, target = case.logits(2), case.target(2)
    one, terms = case.loss()(logits, target)
    more, _ = case.loss(**{name: 3.0})(logits, target)
    assert torch.isclose(more - one, 2 * terms[name], rtol=1e-12)


@pytest.mark.parametrize("options", [{"ce": -1.0}, {"dice": float("nan")}, {"ce": 0.0, "dice": 0.0}])
def test_impossible_coefficients_are_refused_with_what_to_type(three_classes, options):
    with pytest.raises(UserError, match=r"loss\.(ce|dice)=1\.0"):
        ce_dice(three_classes, **options)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_impossible_label_smoothing_is_refused(three_classes, value):
    with pytest.raises(UserError, match=r"loss\.label_smoothing="):
        ce_dice(three_classes, label_smoothing=value)


def test_shapes_that_do_not_fit_are_refused(case):
    loss: Loss = case.loss()
    with pytest.raises(ValueError, match="do not fit"):
        loss(case.logits(2, size=(5, 7)), case.target(2))


def test_class_weights_of_another_length_are_refused(three_classes):
    with pytest.raises(ValueError, match="3 classes"):
        ce_dice(three_classes, torch.ones(4))
