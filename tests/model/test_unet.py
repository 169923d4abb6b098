import pytest
import torch
from torch import nn

from segkit.model.unet import UNet
from segkit.types import UserError


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_the_parameter_count_equals_one_worked_by_hand():
    # depth 1, widths 2 and 4; a convolution has in * out * k * k weights, a norm 2 per channel
    top = (3 * 2 * 9 + 4) + (2 * 2 * 9 + 4)
    bottom = (2 * 4 * 9 + 8) + (4 * 4 * 9 + 8)
    up = 4 * 2 * 4 + 2
    expand = (4 * 2 * 9 + 4) + (2 * 2 * 9 + 4)
    head = 2 * 5 + 5
    assert count(UNet(5, depth=1, base_width=2)) == top + bottom + up + expand + head


def test_the_parameter_count_equals_a_published_one():
    # mateuszbuda/brain-segmentation-pytorch prints 7,763,041 for 3 channels, 1 class, 32 features
    assert count(UNet(1, depth=4, base_width=32)) == 7_763_041


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("downsample", ["max_pool", "avg_pool", "strided_conv"])
@pytest.mark.parametrize("upsample", ["transposed_conv", "bilinear"])
def test_every_mixture_of_options_gives_logits_and_gradients(norm, downsample, upsample):
    net = UNet(2, depth=2, base_width=4, norm=norm, downsample=downsample, upsample=upsample, dropout=0.1)
    logits = net(torch.randn(2, 3, 8, 12))
    assert logits.shape == (2, 2, 8, 12)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_options_change_the_layers_they_name():
    kinds = {type(m) for m in UNet(2, norm="group", downsample="avg_pool", upsample="bilinear").modules()}
    assert {nn.GroupNorm, nn.AvgPool2d, nn.Upsample} <= kinds
    assert not {nn.BatchNorm2d, nn.MaxPool2d, nn.ConvTranspose2d} & kinds
    strided = UNet(2, downsample="strided_conv")
    assert nn.MaxPool2d not in {type(m) for m in strided.modules()}
    assert [m.stride for m in strided.down] == [(2, 2)] * 4


def test_with_group_norm_a_batch_is_the_sum_of_its_pictures_in_training_too():
    torch.manual_seed(0)
    net = UNet(2, depth=2, base_width=16, norm="group").double().train()
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    whole = torch.autograd.grad(net(x).square().sum(), list(net.parameters()))
    parts = [torch.autograd.grad(net(x[i : i + 1]).square().sum(), list(net.parameters())) for i in range(4)]
    for big, *small in zip(whole, *parts, strict=True):
        torch.testing.assert_close(big, sum(small), rtol=1e-10, atol=1e-10)


def test_dropout_acts_at_the_bottom_and_only_in_training():
    net = UNet(2, depth=2, base_width=4, dropout=0.5)
    x = torch.randn(1, 3, 32, 32)
    assert [name for name, m in net.named_modules() if isinstance(m, nn.Dropout)] == ["bottom.1"]
    net.train()
    assert not torch.equal(net.bottom(torch.ones(1, 8, 8, 8)), net.bottom(torch.ones(1, 8, 8, 8)))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_weights_start_with_the_deviation_of_he():
    torch.manual_seed(0)
    net = UNet(2, depth=3, base_width=32)
    convolution = net.contract[1][3]  # 64 channels in, 3x3
    assert convolution.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    up = net.up[0]  # 256 channels in; each output sees one position of each
    assert up.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert up.bias.abs().max() == 0


def test_a_pixel_sees_the_receptive_field_that_the_layers_give():
    # depth 1: 2 convolutions (5 wide), pool (6), 2 convolutions at half resolution (14),
    # 2x2 up-convolution, 2 convolutions (18): 18 inputs wide for each output.
    net = UNet(1, depth=1, base_width=2, norm="group", downsample="avg_pool")
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.constant_(module.weight, 0.1)
    net.contract[0][1] = net.contract[0][4] = net.expand[0][1] = net.expand[0][4] = nn.Identity()
    net.bottom[0][1] = net.bottom[0][4] = nn.Identity()
    x = torch.ones(1, 3, 64, 64, requires_grad=True)
    net(x)[0, 0, 32, 32].backward()
    seen = x.grad[0, 0].abs().sum(0).nonzero()
    assert len(seen) == seen.max() - seen.min() + 1 == 18


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"norm": "foo"}, ["model.norm=foo", "batch or group"]),
        ({"downsample": "pool"}, ["model.downsample=pool", "max_pool or avg_pool or strided_conv"]),
        ({"upsample": "nearest"}, ["model.upsample=nearest", "transposed_conv or bilinear"]),
        ({"depth": 0}, ["model.depth=0", "1 or more"]),
        ({"base_width": 0}, ["model.base_width=0", "1 or more"]),
        ({"dropout": 1.0}, ["model.dropout=1.0", "less than 1"]),
    ],
)
def test_a_bad_option_is_one_line_that_names_the_choices(options, words):
    with pytest.raises(UserError) as caught:
        UNet(2, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words)
