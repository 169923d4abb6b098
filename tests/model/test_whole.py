"""A large picture gets the same logits in tiles as in one piece."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from segkit.model import whole
from segkit.model.unet import UNet
from segkit.model.whole import whole_logits
from segkit.model.wrapper import Segmenter


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in (("LARGE", 64 * 64), ("TILE", 64), ("MARGIN", 32)):
        monkeypatch.setattr(whole, name, value)


def drawn(height: int, width: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (1, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


class Traced(nn.Module):
    """Remembers how many pixels it was given at a time."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.pixels = net, []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.pixels.append(image.shape[-2] * image.shape[-1])
        return self.net(image)


@pytest.mark.parametrize("size", [(150, 210), (64, 65), (1, 4097), (129, 193), (128, 64)])
def test_tiles_agree_with_the_whole_picture(size):
    """A U-Net of depth 2 looks less than 32 pixels far."""
    torch.manual_seed(0)
    net = Traced(Segmenter(UNet(3, base_width=4, depth=2)).double().eval())
    image = drawn(*size)
    with torch.inference_mode():
        tiles, piece = whole_logits(net, image), net.net(image)[0]
    assert len(net.pixels) > 1
    assert max(net.pixels) <= (64 + 2 * 32) ** 2
    torch.testing.assert_close(tiles, piece, rtol=0, atol=1e-10)


def test_a_picture_that_is_not_large_goes_through_in_one_piece():
    net = Traced(nn.Identity())
    image = drawn(64, 64)
    assert torch.equal(whole_logits(net, image), image[0])
    assert net.pixels == [64 * 64]


@given(st.integers(1, 300), st.integers(1, 300))
def test_every_pixel_comes_from_the_tile_that_it_lies_in(height, width):
    where = torch.arange(height * width).view(1, 1, height, width)
    assert torch.equal(whole_logits(nn.Identity(), where), where[0])
