"""A card says how far its run can be repeated, from what the run is made of."""

from __future__ import annotations

import json

import pytest
import torch

from segkit.loss.bce import bce
from segkit.loss.bce_dice import bce_dice
from segkit.loss.ce import ce
from segkit.loss.ce_dice import ce_dice
from segkit.loss.dice import dice
from segkit.model.smp import smp
from segkit.model.unet import UNet
from segkit.model.wrapper import Segmenter
from segkit.report.about import about
from segkit.report.record import read_record
from segkit.report.repeat import (
    ON_CPU,
    SETTLED,
    UNKNOWN,
    UNSETTLED,
    Setting,
    check_repeatable,
    how_far,
    operators,
)
from segkit.types import LabelSpace, UserError

WEIGHTS = torch.tensor([1.0, 2.0, 3.0])
LOSSES = {
    "ce": (ce, "multiclass", {"class_weights": WEIGHTS, "label_smoothing": 0.1}),
    "dice": (dice, "multiclass", {"dice_per_image": False}),
    "ce_dice": (ce_dice, "multiclass", {}),
    "bce": (bce, "multilabel", {}),
    "bce_dice": (bce_dice, "multilabel", {}),
}
# Where torch's documentation lists them, as it calls them.
DOCUMENTED = {
    "convolution_backward": "Conv2d",
    "replication_pad2d_backward": "ReplicationPad2d",
    "scatter_add": "scatter_add_",
    "scatter_add_": "scatter_add_",
    "scatter_reduce": "scatter_reduce",
    "index_add": "index_add",
    "index_add_": "index_add",
    "index_put": "index_put",
    "index_put_": "index_put",
    "_index_put_impl_": "index_put",
    "index_copy": "index_copy",
    "cumsum": "cumsum",
    "embedding_dense_backward": "Embedding",
    "_adaptive_avg_pool2d_backward": "AdaptiveAvgPool2d",
    "adaptive_max_pool2d_backward": "AdaptiveMaxPool2d",
    "fractional_max_pool2d_backward": "FractionalMaxPool2d",
    "avg_pool3d_backward": "AvgPool3d",
    "max_unpool2d": "MaxUnpool2d",
    "upsample_linear1d_backward": "``linear``",
    "upsample_bicubic2d_backward": "``bicubic``",
    "_upsample_bicubic2d_aa_backward": "``bicubic``",
    "_upsample_bilinear2d_aa_backward": "``bilinear``",
    "reflection_pad2d_backward": "ReflectionPad2d",
    "grid_sampler_2d_backward": "grid_sample",
    "nll_loss2d_forward": "NLLLoss",
    "histc": "histc",
    "median": "median",
}


def labels(task: str) -> LabelSpace:
    return LabelSpace(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)), ((0,), (1,), (2,)), task=task)


def seen(net, loss=None) -> frozenset[str]:
    return operators(Segmenter(net), loss or ce_dice(labels("multiclass")), (32, 48))


@pytest.fixture
def strict():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_the_lists_are_those_of_torchs_documentation():
    text = str(torch.use_deterministic_algorithms.__doc__)
    settled, unsettled = text.split("The following normally-nondeterministic operations will")[1:]
    assert {**SETTLED, **UNSETTLED}.keys() - DOCUMENTED.keys() == {
        "upsample_bilinear2d_backward"  # listed, but `torch.nn.functional.interpolate` composes it of others
    }
    for name, documented in DOCUMENTED.items():
        assert documented in (settled if name in SETTLED else unsettled), name


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_runs_on_a_processor_with_deterministic_algorithms_only(name, strict):
    make, task, options = LOSSES[name]
    found = seen(UNet(num_logits=3, depth=2, base_width=4), make(labels(task), **options))
    assert UNKNOWN not in found
    assert not found & (set(ON_CPU) | set(UNSETTLED))


@pytest.mark.parametrize("upsample", ["bilinear", "transposed_conv"])
@pytest.mark.parametrize("downsample", ["max_pool", "avg_pool", "strided_conv"])
def test_every_unet_runs_with_deterministic_algorithms_only(downsample, upsample, strict):
    net = UNet(num_logits=3, depth=2, base_width=4, dropout=0.1, downsample=downsample, upsample=upsample)
    found = seen(net)
    assert {"convolution_backward", "scatter_add"} < found  # the backward pass was seen
    assert not found & (set(ON_CPU) | set(UNSETTLED))


@pytest.mark.parametrize("arch", ["pspnet", "segformer"])  # the others: `make soak`
def test_networks_of_the_library_run_with_deterministic_algorithms_on_a_processor(arch, strict):
    found = seen(smp(num_logits=3, arch=arch, encoder_name="resnet18"))
    assert UNKNOWN not in found
    assert not found & set(ON_CPU)
    assert ("_adaptive_avg_pool2d_backward" in found) == (arch == "pspnet")


def test_looking_changes_neither_the_network_nor_random_numbers():
    net, state = Segmenter(UNet(num_logits=3, depth=2, base_width=4, dropout=0.5)), torch.get_rng_state()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    operators(net, ce_dice(labels("multiclass")), (32, 32))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_a_network_that_fails_on_a_small_picture_is_not_judged():
    class Odd(UNet):
        def forward(self, image):
            raise RuntimeError("too small")

    found = seen(Odd(num_logits=3, depth=2, base_width=4))
    assert UNKNOWN in found
    assert how_far(Setting("cuda"), found) == "not known: the network could not be looked at"


def test_a_processor_repeats_the_same_threads_and_processes():
    text = how_far(Setting("cpu", threads=2, processes=2, compiled=True), {"scatter_add"})
    assert text.startswith("same bits on the same kind of processor, with these versions, 2 torch threads")
    assert "2 processes" in text
    assert "torch.compile" in text


def test_several_threads_of_a_processor_that_share_a_sum_are_named():
    assert how_far(Setting("cpu", threads=1), {"_index_put_impl_"}).startswith("same bits")
    assert "indexed assignment" in how_far(Setting("cpu", threads=2), {"_index_put_impl_"})
    assert how_far(Setting("cpu", threads=2, deterministic=True), {"_index_put_impl_"}).startswith(
        "same bits"
    )


def test_on_a_gpu_the_reasons_are_those_of_this_run():
    net = UNet(num_logits=3, depth=2, base_width=4, upsample="bilinear", dropout=0.1)
    loose, strict = Setting("cuda", benchmark=True), Setting("cuda", deterministic=True)
    text = how_far(loose, seen(net))
    for reason in ("gradients of bilinear resizing", "convolutions", "scatter_add", "trainer.benchmark=true"):
        assert reason in text
    assert "adaptive" not in text
    assert "trainer.deterministic=true mends it)" in text
    assert how_far(strict, seen(net)).endswith("dropout draws other numbers on the GPU after a resume")
    plain = seen(UNet(num_logits=3, depth=2, base_width=4))
    assert how_far(strict, plain).startswith("same bits on the same kind of GPU, with these versions;")
    assert how_far(Setting("mps"), plain).startswith("not known")


def test_what_no_flag_mends_on_a_gpu_is_refused_or_named():
    found = seen(smp(num_logits=3, arch="pspnet", encoder_name="resnet18"))
    with pytest.raises(UserError, match=r"adaptive average pooling.*trainer\.deterministic=warn"):
        check_repeatable(Setting("cuda", deterministic=True), found)
    for setting in (
        Setting("cuda", deterministic="warn"),
        Setting("cuda"),
        Setting("cpu", deterministic=True),
    ):
        check_repeatable(setting, found)
    assert "in spite of trainer.deterministic=warn" in how_far(Setting("cuda", deterministic="warn"), found)
    assert "all but gradients of adaptive average pooling" in how_far(Setting("cuda"), found)


def test_the_page_says_what_became_different_when_a_run_went_on(tmp_path):
    again = [
        {"command": "x", "started": "2026-01-02", "deterministic": "same bits, 1 thread"},
        {"command": "x", "started": "2026-01-03", "deterministic": "same bits, 2 threads"},
    ]
    card = {"command": "x", "deterministic": "same bits, 1 thread", "resumed": again}
    (tmp_path / "run.json").write_text(json.dumps(card))
    (text,) = (text for name, text, _ in about(read_record(tmp_path)) if name == "deterministic")
    assert text == "same bits, 1 thread; since 2026-01-03: same bits, 2 threads"
