"""DESIGN's promise: accumulation gives the gradient of the one big batch, through the real Trainer."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from torch import nn

from segkit import optimizer, scheduler
from segkit.augment.augment import Augment
from segkit.augment.fit import stretch, stretch_target
from segkit.data.datamodule import SegmentationData
from segkit.loss.bce import bce
from segkit.loss.bce_dice import bce_dice
from segkit.loss.ce import ce
from segkit.loss.ce_dice import ce_dice
from segkit.loss.dice import dice
from segkit.model.wrapper import Segmenter
from segkit.module import SegmentationModule
from segkit.types import LabelSpace, Sample

SAMPLES = 22  # no multiple of 8: the last window of an epoch is short


class Noise:
    """Random pictures with random masks; every picture ignores another share of its pixels."""

    def __init__(self, labels: LabelSpace) -> None:
        self.labels = labels
        train = [Sample(f"train/{i:02}", Path(), None, "", "train") for i in range(SAMPLES)]
        self.samples = [*train, Sample("val/0", Path(), None, "", "val")]

    def read(self, sample):
        rng = np.random.default_rng([len(sample.name), *sample.name.encode()])
        image = rng.integers(0, 256, (8, 12, 3), np.uint8)
        target = rng.choice(self.labels.num_classes, (8, 12), p=_skewed(self.labels.num_classes))
        target[rng.random((8, 12)) < rng.random()] = 255
        return image, target.astype(np.uint8)


def _skewed(classes: int):
    shares = 4.0 ** -np.arange(classes)
    return shares / shares.sum()


class Tiny(nn.Sequential):
    """No batch norm, whose statistics would see the size of the micro-batch."""

    stride, mean, std = 1, (0.5,) * 3, (0.25,) * 3

    def __init__(self, num_logits: int) -> None:
        super().__init__(nn.Conv2d(3, 5, 3, padding=1), nn.Tanh(), nn.Conv2d(5, num_logits, 1))


def _both(image, target, size):
    return stretch(image, size), stretch_target(target, size)


def _trained(labels, make_loss, batch_size, window, tmp_path, clip=None):
    lightning.seed_everything(1, verbose=False)
    loss = make_loss(labels)
    data = SegmentationData(
        Noise(labels), Augment({"HorizontalFlip": {"p": 0.5}}), _both, size=(8, 12), batch_size=batch_size
    )
    data.weigh = loss.weigh
    module = SegmentationModule(
        Segmenter(Tiny(labels.num_logits)),
        loss,
        labels,
        optimizer=lambda net: optimizer.sgd(net, lr=0.5),
        scheduler=lambda made, steps: scheduler.cosine(made, steps),
        passport={},
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        precision="64-true",
        max_epochs=3,
        accumulate_grad_batches=window,
        gradient_clip_val=clip,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, datamodule=data)
    steps = trainer.global_step
    loss_seen = float(trainer.callback_metrics["train/loss"])
    return torch.cat([p.detach().flatten() for p in module.net.parameters()]), steps, loss_seen


WEIGHTS = torch.tensor([0.2, 1.0, 7.0])
LOSSES = {
    "ce": lambda labels: ce(labels),
    "ce, class weights": lambda labels: ce(labels, WEIGHTS),
    "ce, class weights, smoothing": lambda labels: ce(labels, WEIGHTS, label_smoothing=0.1),
    "dice per image": lambda labels: dice(labels),
    "ce and dice, class weights": lambda labels: ce_dice(labels, WEIGHTS, dice=0.7),
}
BINARY_LOSSES = {"bce": lambda labels: bce(labels), "bce and dice": lambda labels: bce_dice(labels, bce=0.5)}


def _assert_same(labels, make_loss, tmp_path, clip=None):
    expected, steps, loss = _trained(labels, make_loss, 8, 1, tmp_path, clip)
    assert steps == 9
    for batch_size, window in ((4, 2), (2, 4), (1, 8)):
        got, same_steps, same_loss = _trained(labels, make_loss, batch_size, window, tmp_path, clip)
        assert same_steps == steps
        assert same_loss == pytest.approx(loss, abs=1e-6)  # Lightning logs in single precision
        assert torch.allclose(got, expected, rtol=0, atol=1e-10), (batch_size, window)
    assert not torch.allclose(_trained(labels, make_loss, 4, 1, tmp_path, clip)[0], expected, atol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_four_small_batches_train_exactly_as_one_large_batch(name, three_classes, tmp_path):
    _assert_same(three_classes, LOSSES[name], tmp_path)


@pytest.mark.parametrize("name", BINARY_LOSSES)
def test_binary_losses_accumulate_exactly(name, binary, tmp_path):
    _assert_same(binary, BINARY_LOSSES[name], tmp_path)


def test_accumulation_stays_exact_with_gradient_clipping(three_classes, tmp_path):
    _assert_same(three_classes, LOSSES["ce and dice, class weights"], tmp_path, clip=0.05)
