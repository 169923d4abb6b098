import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segkit.model.unet import UNet
from segkit.model.wrapper import Segmenter, pad_to_stride


class Echo(nn.Module):
    """A network that gives back what it gets, and remembers it."""

    def __init__(self, stride: int = 8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5)):
        super().__init__()
        self.stride, self.mean, self.std = stride, mean, std

    def forward(self, x):
        self.seen = x
        return x


class Pooled(Echo):
    """A branch as DeepLab has it: one value per channel, then batch norm."""

    def __init__(self):
        super().__init__()
        self.convolve, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.convolve(x.mean((2, 3), keepdim=True))).expand(-1, -1, *x.shape[2:])


def test_a_picture_is_normalised_as_its_encoder_expects():
    image = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    expected = (image.numpy() / 255 - [[[0.5]], [[0.4]], [[0.3]]]) / [[[0.2]], [[0.25]], [[0.5]]]
    torch.testing.assert_close(
        Segmenter(Echo())(image).double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-5
    )


def test_mean_and_deviation_travel_with_the_state():
    model = Segmenter(Echo(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))
    model.load_state_dict(Segmenter(Echo()).state_dict())
    assert model.mean.flatten().tolist() == pytest.approx([127.5, 102.0, 76.5])
    assert model.std.flatten().tolist() == pytest.approx([51.0, 63.75, 127.5])


@given(height=st.integers(1, 40), width=st.integers(1, 40), stride=st.sampled_from([1, 2, 8, 32]))
@settings(max_examples=60, deadline=None)
def test_padding_reaches_the_next_multiple_and_keeps_the_picture(height, width, stride):
    x = torch.rand(1, 2, height, width)
    padded = pad_to_stride(x, stride)
    for side, extent in zip((height, width), padded.shape[2:], strict=True):
        assert extent % stride == 0
        assert 0 <= extent - side < stride
    assert torch.equal(padded[..., :height, :width], x)
    assert {*padded.flatten().tolist()} == {*x.flatten().tolist()}  # nothing invented


def test_a_long_side_is_reflected_and_a_short_one_repeated():
    row = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).view(1, 1, 1, 5)
    padded = pad_to_stride(row, 4)
    assert padded[0, 0].tolist() == [[1, 2, 3, 4, 5, 4, 3, 2]] * 4
    assert pad_to_stride(row[..., :1], 4).unique().tolist() == [1]


def test_a_picture_that_fits_is_not_copied():
    x = torch.rand(1, 3, 16, 8)
    assert pad_to_stride(x, 8) is x


def test_logits_have_the_size_of_the_picture():
    model = Segmenter(Echo(stride=8))
    image = torch.randint(0, 256, (1, 3, 9, 17), dtype=torch.uint8)
    assert model(image).shape == (1, 3, 9, 17)
    assert model.net.seen.shape == (1, 3, 16, 24)


def test_the_type_of_the_parameters_decides():
    image = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert Segmenter(Echo()).to(dtype)(image).dtype == dtype


def test_autocast_runs_the_network_in_half_precision():
    model = Segmenter(UNet(2, depth=1, base_width=4)).eval()
    image = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = model(image)
    with torch.no_grad():
        torch.testing.assert_close(half.float(), model(image), rtol=0.1, atol=0.1)
    assert half.dtype == torch.bfloat16


def test_a_single_value_per_channel_trains_with_the_running_statistics():
    image = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        Pooled().train()(torch.rand(1, 3, 8, 8))
    model = Segmenter(Pooled()).train()
    nn.init.constant_(model.net.norm.running_mean, 0.25)
    logits = model(image)
    logits.sum().backward()
    assert model.net.norm.training  # again, after the pass
    assert model.net.norm.running_mean.tolist() == [0.25] * 4  # not updated
    assert model.net.norm.num_batches_tracked == 0
    assert model.net.convolve.weight.grad.abs().sum() > 0
    assert torch.equal(logits, model.eval()(image))


def test_two_values_per_channel_train_with_their_own_statistics():
    torch.manual_seed(0)
    net = Pooled()
    reference = copy.deepcopy(net).train()
    model = Segmenter(net).train()
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(model.net(x), reference(x))
    torch.testing.assert_close(model.net.norm.running_mean, reference.norm.running_mean)
    assert model.net.norm.num_batches_tracked == 1


def test_a_segmenter_can_be_copied_pickled_and_exported():
    model = Segmenter(UNet(2, depth=1, base_width=2)).eval()
    image = torch.randint(0, 256, (1, 3, 9, 7), dtype=torch.uint8)
    with torch.no_grad():
        logits = model(image)
        assert torch.equal(copy.deepcopy(model)(image), logits)
        assert torch.equal(pickle.loads(pickle.dumps(model))(image), logits)
        exported = torch.export.export(model, (image,)).module()
        torch.testing.assert_close(exported(image), logits)
