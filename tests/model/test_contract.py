"""What every network under conf/model/ promises; a new YAML is tested as soon as it is saved."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from segkit.model.wrapper import Segmenter
from segkit.paths import CONF_DIR

NUM_LOGITS = 3
FILES = sorted((CONF_DIR / "model").glob("*.yaml"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem, scope="module")
def make(request):
    """Build the network of one file, from the same random numbers each time."""

    def build() -> Segmenter:
        torch.manual_seed(0)
        return Segmenter(instantiate(OmegaConf.load(request.param), _convert_="all")(num_logits=NUM_LOGITS))

    return build


@pytest.fixture(scope="module")
def trained(make):
    """One optimiser step from the start, so that batch norm has statistics of its own."""
    model = make().double().train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    model(pictures(2, 32, 32)).square().mean().backward()
    optimizer.step()
    return model.eval()


def pictures(n: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=generator)


def test_the_files_are_found():
    assert {"unet", "smp"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_key_has_a_comment(path: Path):
    lines = [
        line for line in path.read_text().splitlines() if line and not line.startswith(("#", "_target_"))
    ]
    assert all("  # " in line for line in lines)


def test_any_size_trains_and_every_parameter_gets_a_finite_gradient(make):
    for n, height, width in [(2, 1, 1), (2, 17, 31), (1, 64, 64)]:
        model = make().train()
        logits = model(pictures(n, height, width))
        assert logits.shape == (n, NUM_LOGITS, height, width)
        logits.square().mean().backward()
        wanted = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
        assert all(grad is not None and grad.isfinite().all() for grad in wanted.values())


def test_a_saved_state_gives_the_same_logits(make, trained, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "state.pt")
    other = make().double().eval()
    image = pictures(2, 17, 31)
    with torch.no_grad():
        assert not torch.equal(other(image), trained(image))
        other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        assert torch.equal(other(image), trained(image))


def test_logits_do_not_depend_on_the_other_pictures_of_a_batch(trained):
    image = pictures(3, 40, 33)
    with torch.no_grad():
        alone = torch.cat([trained(image[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(trained(image), alone, rtol=1e-9, atol=1e-9)


def test_bytes_and_floats_give_the_same_logits(trained):
    image = pictures(1, 32, 32)
    with torch.no_grad():
        assert torch.equal(trained(image), trained(image.float()))


def test_logits_have_the_type_of_the_parameters(make, trained):
    with torch.no_grad():
        assert trained(pictures(1, 33, 32)).dtype == torch.float64
        assert make().eval()(pictures(1, 33, 32)).dtype == torch.float32


def test_channels_last_gives_the_same_logits(trained):
    image = pictures(2, 40, 33)
    with torch.no_grad():
        last = trained(image.to(memory_format=torch.channels_last))
        torch.testing.assert_close(last, trained(image), rtol=1e-9, atol=1e-9)


def test_one_small_batch_is_learnt_by_heart(make):
    model = make().train()
    image = pictures(2, 32, 32)
    target = (image[:, 0] > 127).long()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(model(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print("LOSSES", losses)
    assert losses[-1] < 0.5 * losses[0]
