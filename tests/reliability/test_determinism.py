"""``seed=`` fixes everything: what the network sees, in which order, and what comes of it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

import segkit
from segkit.data.source import FileSource
from segkit.loss.ce_dice import ce_dice
from segkit.model.smp import smp
from segkit.model.wrapper import Segmenter
from segkit.module import SegmentationModule
from segkit.report.repeat import ON_CPU, UNKNOWN, operators
from segkit.resume import as_before

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create . worker processes")

COMMON = [
    *("data=folder", "data.root=data", "data.labels={names: [a, b, c, rare]}", "data.num_workers=0"),
    *("data.val_fraction=0.2", "data.test_fraction=0", "data.size=[32,32]", "data.batch_size=1"),
    *("model.depth=2", "model.base_width=4", "model.dropout=0.3", "callback.ema.decay=0.9", "seed=3"),
    *("trainer.accumulate_grad_batches=2", "trainer.max_epochs=3", "threads=1", "optimizer.lr=1e-2"),
    *("callback.pictures.count=0", "callback.plots=null", "logger=none", "test=false"),
]
MEDICAL = [
    *("augment=medical", "augment.crop_class_prob=0.5", "augment.scale=[0.7,1.4]"),
    *("augment.transforms.RandomRotate90.p=0.5", "data.fit=crop", "data.sampler=class_balanced"),
]
STREET = ["augment=street", "data.sampler=rare_first", "scheduler=plateau", "trainer.max_epochs=1"]
COMPARED = 50  # batches


class Trained(NamedTuple):
    """What a run has seen and become.

    Attributes:
        batches: Hash of each micro-batch (images, targets, names, weights of its window), as the
            training step gets them.
        samples: Name and hash of image and target of each sample.
        end: Hash of ``last.ckpt``: network, averaged weights, optimiser, schedules.
        table: ``metrics.csv`` without times.
    """

    batches: list[str]
    samples: list[tuple[str, str]]
    end: str
    table: list[str]


def sha(value: Any) -> str:
    """Hash of tensors, numbers and words in plain containers, to the last bit."""
    digest = hashlib.sha256()

    def feed(node: Any) -> None:
        if isinstance(node, torch.Tensor):
            digest.update(node.contiguous().numpy().tobytes())
        elif isinstance(node, dict):
            feed(list(node.items()))
        elif isinstance(node, list | tuple):
            for item in node:
                feed(item)
        else:
            digest.update(repr(node).encode())

    feed(value)
    return digest.hexdigest()


def end_of(run: Path) -> str:
    """Hash of what training goes on from, but for the names of folders."""
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    kept = [
        content[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "loops", "global_step")
    ]
    (average,) = (state for name, state in content["callbacks"].items() if "Ema" in name)
    return sha([kept, average, content["segkit"]["random_state"]])


def table_of(run: Path) -> list[str]:
    """``metrics.csv`` without how long it took."""
    return [line.rpartition(",")[0] for line in (run / "metrics.csv").read_text().splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with ``data``: 23 pictures without an official split, one class in six of them."""
    rng, home = np.random.default_rng(0), tmp_path_factory.mktemp("determinism")
    for kind in ("images", "masks"):
        (home / "data" / kind).mkdir(parents=True)
    for i in range(23):
        mask = np.repeat(np.repeat(rng.integers(0, 3, (6, 8), np.uint8), 8, 0), 8, 1)
        if i % 4 == 0:
            mask[20:26, 30:38] = 3
        image = rng.integers(0, 60, (48, 64, 3), np.uint8) + mask[..., None] * 60
        Image.fromarray(image).save(home / "data" / "images" / f"{i:02}.png")
        Image.fromarray(mask).save(home / "data" / "masks" / f"{i:02}.png")
    return home


@pytest.fixture(scope="module")
def run(home, command):
    """``run(name, *options)``: train in this process, and look at every micro-batch."""
    step, read = SegmentationModule.training_step, FileSource.read

    def train(
        name: str, *options: str, stop_at: int | None = None, cwd: Path = home, code: int = 0
    ) -> Trained:
        batches, samples = [], []

        @functools.wraps(step)
        def witness(self, batch, batch_idx):
            batches.append(sha([batch.image, batch.target, batch.names, batch.window]))
            rows = zip(batch.names, batch.image, batch.target, strict=True)
            samples.extend((name, sha([image, target])) for name, image, target in rows)
            if len(batches) == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(self, batch, batch_idx)

        def reading(self, sample):
            with (home / f"{name}.reads").open("a") as log:  # worker processes append too
                log.write(f"{sample.name}\n")
            return read(self, sample)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SegmentationModule, "training_step", witness)
            patch.setattr(FileSource, "read", reading)
            patch.setattr("segkit.infer.views.make_page", lambda *_: None)  # costs more than the training
            done = command("train", *options, cwd=cwd)
        assert done.code == code, done.err
        return Trained(batches, samples, end_of(home / name), table_of(home / name))

    def fresh(name: str, *options: str, **others) -> Trained:
        return train(name, *COMMON, *options, f"hydra.run.dir={home / name}", **others)

    fresh.again = lambda name: train(name, f"resume={home / name}")
    return fresh


@pytest.fixture(scope="module")
def first(run) -> Trained:
    """The run that others are compared with: no worker, no cache, three epochs."""
    found = run("first", *MEDICAL)
    assert len(found.batches) >= COMPARED
    return found


@pytest.mark.parametrize(("workers", "cache"), [(1, "false"), (4, "false"), (0, "true"), (2, "true")])
def test_worker_processes_and_the_cache_change_no_bit(workers, cache, run, first):
    options = [f"data.num_workers={workers}", f"data.cache={cache}"]
    assert run(f"workers{workers}{cache}", *MEDICAL, *options) == first


def test_a_second_run_is_the_same_whatever_was_done_before_and_wherever_it_is_started(
    run, first, home, tmp_path, monkeypatch
):
    """Global random numbers, the order in which a disk lists files, working directory, cache folder."""
    random.seed(11), np.random.seed(11), torch.manual_seed(11)  # noqa: NPY002
    scandir, order, listed = os.scandir, random.Random(4), []

    def shuffled(folder="."):
        with scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        order.shuffle(found)
        listed.append(str(folder))
        return _Listing(found)

    monkeypatch.setattr(os, "scandir", shuffled)
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    again = run("second", *MEDICAL, f"data.root={home / 'data'}", cwd=tmp_path)
    assert str(home / "data" / "images") in listed
    assert again == first


class _Listing(list):
    """What `os.scandir` gives: an iterator that can be closed."""

    def __next__(self):
        if not self:
            raise StopIteration
        return self.pop()

    def __iter__(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clear()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_resumed_within_an_epoch_sees_the_rest_and_reads_nothing_else(
    workers, run, first, home
):
    name = f"resumed{workers}"
    begun = run(name, *MEDICAL, f"data.num_workers={workers}", stop_at=25, code=75)
    assert 25 <= len(begun.batches) <= 26  # the window at hand is finished
    (home / f"{name}.reads").unlink()
    ended = run.again(name)
    assert begun.batches + ended.batches == first.batches
    assert (ended.end, ended.table) == (first.end, first.table)
    validated = {
        row.split(",")[0] for row in (home / name / "split.csv").read_text().splitlines() if ",val" in row
    }
    read = Counter((home / f"{name}.reads").read_text().split())
    assert validated
    assert Counter({n: c for n, c in read.items() if n not in validated}) == Counter(
        n for n, _ in ended.samples
    )


def test_another_seed_gives_other_batches_and_other_weights(run, first):
    other = run("seed", *MEDICAL, "seed=4")
    assert not set(other.batches) & set(first.batches)
    assert other.end != first.end


def test_an_epoch_does_not_repeat_the_one_before(first):
    third = len(first.samples) // 3
    epochs = [first.samples[i * third : (i + 1) * third] for i in range(3)]
    assert len({tuple(n for n, _ in epoch) for epoch in epochs}) == 3
    assert len({h for _, h in first.samples}) == len(first.samples)


@pytest.mark.soak
def test_a_sample_looks_the_same_in_a_larger_batch(run, first):
    large = run("large", *MEDICAL, "data.batch_size=3", "trainer.accumulate_grad_batches=1")
    assert large.samples == first.samples


def test_the_other_preset_and_sampler_are_as_repeatable(run):
    assert run("street", *STREET) == run("street2", *STREET, "data.num_workers=2", "data.cache=true")


def test_deterministic_algorithms_leave_nothing_to_the_clock(run, home):
    try:
        run("flag", *STREET, "trainer.deterministic=true", "trainer.benchmark=true")
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(False)
    assert "trainer.benchmark is off" in (home / "flag" / "train.log").read_text()


def test_the_card_says_how_far_a_run_can_be_repeated(first, home):
    card = json.loads((home / "first" / "run.json").read_text())
    assert card["deterministic"].startswith("same bits on the same kind of processor")
    assert "1 torch thread;" in card["deterministic"]
    assert card["hardware"]["torch_threads"] == 1


def test_a_run_that_goes_on_keeps_the_number_of_threads_that_its_sums_were_rounded_with(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"hardware": {"torch_threads": 3}}))
    for given, used in ((None, 3), (2, 2)):
        config = {"threads": given, "data": {"split": None}}
        as_before(config, tmp_path)
        assert config["threads"] == used


@pytest.mark.soak
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "OMP_NUM_THREADS": "2"},
    ],
    ids=["hash1-ascii", "hash2-openmp"],
)
def test_the_environment_of_a_process_changes_no_bit(environment, first, home, tmp_path):
    name = f"fresh{environment['PYTHONHASHSEED']}"
    options = [*COMMON, *MEDICAL, f"data.root={home / 'data'}", f"hydra.run.dir={home / name}"]
    here = {**os.environ, "PYTHONPATH": str(Path(segkit.__file__).parents[1]), **environment}
    command = [sys.executable, "-m", "segkit.train", *options]
    done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (end_of(home / name), table_of(home / name)) == (first.end, first.table)


@pytest.mark.soak
@pytest.mark.parametrize(
    "arch",
    [
        "unet",
        "unetplusplus",
        "manet",
        "linknet",
        "fpn",
        "pan",
        "deeplabv3",
        "deeplabv3plus",
        "upernet",
        "dpt",
    ],
)
def test_every_network_of_the_library_runs_with_deterministic_algorithms_on_a_processor(arch, three_classes):
    encoder = "tu-vit_tiny_patch16_224" if arch == "dpt" else "resnet18"
    net = Segmenter(smp(num_logits=3, arch=arch, encoder_name=encoder))
    torch.use_deterministic_algorithms(True)
    try:
        found = operators(net, ce_dice(three_classes), (32, 48))
    finally:
        torch.use_deterministic_algorithms(False)
    assert "convolution_backward" in found
    assert not found & {UNKNOWN, *ON_CPU}
