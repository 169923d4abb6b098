"""A step that is left out changes nothing, whatever the optimiser and the scaling of the loss."""

from types import SimpleNamespace

import pytest
import torch

from segkit.callback.nan import _is_spoilt, _leave_out

OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5),
    "adamw, fused": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.5),
}


def trainer(scaler=None):
    return SimpleNamespace(precision_plugin=SimpleNamespace(scaler=scaler), world_size=1)


def trained(make):
    weight = torch.nn.Parameter(torch.ones(3))
    return weight, make([weight])


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_left_out_changes_neither_weights_nor_state(name, scaled):
    weight, optimizer = trained(OPTIMIZERS[name])
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0) if scaled else None
    for spoilt in (False, True):
        before = weight.detach().clone(), [v.clone() for s in optimizer.state.values() for v in s.values()]
        optimizer.zero_grad()
        loss = (weight**2).sum()
        (scaler.scale(loss) if scaler else loss).backward()
        if scaler and "fused" not in name:  # as Lightning does: a fused optimiser unscales by itself
            scaler.unscale_(optimizer)
        if spoilt:  # the loss alone is no number, its gradient is one
            _leave_out(trainer(scaler), optimizer)
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
    after = [v for s in optimizer.state.values() for v in s.values()]
    assert torch.equal(weight, before[0])
    assert before[1]
    assert all(torch.equal(a, b) for a, b in zip(after, before[1], strict=True))


@pytest.mark.parametrize(
    ("share", "gradient", "scaled", "spoilt"),
    [
        (1.0, 1.0, False, False),
        (1.0, 3e38, False, False),  # large, and a number: its square is none
        (float("nan"), 1.0, False, True),
        (1.0, float("inf"), False, True),
        (1.0, float("nan"), False, True),
        (1.0, float("inf"), True, False),  # normal where the loss is scaled: the scaler's own business
        (float("inf"), 1.0, True, True),
    ],
)
def test_what_counts_as_spoilt(share, gradient, scaled, spoilt):
    weight, optimizer = trained(OPTIMIZERS["sgd"])
    weight.grad = torch.tensor([1.0, gradient, 1.0])
    found = _is_spoilt(trainer(object() if scaled else None), torch.tensor([0.5, share]), optimizer)
    assert found is spoilt
