import hashlib
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segkit.augment.augment import Augment
from segkit.augment.fit import stretch, stretch_target
from segkit.data.datamodule import SegmentationData
from segkit.data.fault import Fault
from segkit.data.streets import Streets
from segkit.types import LabelSpace, Sample, UserError

NAMES = ("void", "flat", "construction", "object", "nature", "sky", "human", "vehicle")
LABELS = LabelSpace(NAMES, tuple((i, i, i) for i in range(8)), tuple((i,) for i in range(8)))


class _Trainer:
    """What the data asks of a trainer."""

    def __init__(self, epoch=0, rank=0, world=1, window=1):
        self.current_epoch, self.global_rank, self.world_size = epoch, rank, world
        self.accumulate_grad_batches = window
        self.overfit_batches, self.limit_train_batches = 0.0, None
        progress = SimpleNamespace(current=SimpleNamespace(processed=0))
        self.fit_loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))


def _both(image, target, size):
    return stretch(image, size), stretch_target(target, size)


def _data(trainer=None, source=None, **options):
    source = source or Streets(LABELS, train_samples=7, val_samples=5, test_samples=2, height=32, width=48)
    augment = Augment(
        {"HorizontalFlip": {"p": 0.5}, "RandomBrightnessContrast": {"p": 0.8}}, scale=(0.7, 1.4)
    )
    options = {"size": (24, 32), "batch_size": 2, "num_workers": 0} | options
    data = SegmentationData(source, augment, _both, **options)
    data.trainer = trainer or _Trainer()
    data.weigh = lambda target: (target != 255).sum()[None].double()
    return data


def _samples(batches):
    """Sample index -> hash of everything the network would see of it."""
    return [
        (int(i), hashlib.sha256(image.numpy().tobytes() + target.numpy().tobytes()).hexdigest())
        for b in batches
        for i, image, target in zip(b.index, b.image.contiguous(), b.target, strict=True)
    ]


@pytest.mark.filterwarnings("ignore:This DataLoader will create . worker processes")
def test_the_batches_are_the_same_for_any_number_of_workers():
    runs = {}
    for workers in (0, 1, 2, 4):
        data = _data(num_workers=workers)
        loader = data.train_dataloader()
        seen = []
        for data.trainer.current_epoch in (0, 1):
            seen.append(_samples(loader))
        runs[workers] = seen
        del loader
    assert runs[0] == runs[1] == runs[2] == runs[4]


def test_every_epoch_and_every_sample_is_augmented_differently():
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)

    class Same:
        labels = LABELS
        samples = tuple(Sample(f"{i}", Path(), None, "", "train") for i in range(6))

        def read(self, sample):
            return image.copy(), np.zeros((32, 48), np.uint8)

    data = _data(source=Same())
    loader = data.train_dataloader()
    first = _samples(loader)
    data.trainer.current_epoch = 1
    hashes = [h for _, h in first + _samples(loader)]
    assert len(set(hashes)) == len(hashes)


def test_four_batches_of_two_hold_the_samples_of_one_batch_of_eight_in_the_same_order():
    small, large = _data(_Trainer(window=4), batch_size=2), _data(batch_size=8)
    assert _samples(small.train_dataloader()) == _samples(large.train_dataloader())


def test_the_cache_changes_no_bit():
    plain, cached = _data(), _data(cache=True)
    cached.fill_cache("train")
    assert _samples(plain.train_dataloader()) == _samples(cached.train_dataloader())


def test_batches_are_bytes():
    batch = next(iter(_data().train_dataloader()))
    assert batch.image.dtype == batch.target.dtype == torch.uint8
    assert batch.image.shape == (2, 3, 24, 32)
    assert batch.target.shape == (2, 24, 32)


def test_evaluation_leaves_the_target_at_its_own_size_and_gives_each_sample_once():
    batches = list(_data().val_dataloader())
    assert [b.image.shape[-2:] for b in batches] == [(24, 32)] * 3
    assert [b.target.shape[-2:] for b in batches] == [(32, 48)] * 3
    assert [int(i) for b in batches for i in b.index] == list(range(5))
    small = next(iter(_data(eval_resolution="network").val_dataloader()))
    assert small.target.shape[-2:] == (24, 32)


def test_processes_share_the_evaluation_without_adding_samples():
    parts = [_data(_Trainer(rank=r, world=3)).val_dataloader() for r in range(3)]
    seen = [int(i) for part in parts for b in part for i in b.index]
    assert sorted(seen) == list(range(5))


def test_cropping_trains_on_windows_and_evaluates_whole_pictures():
    data = _data(fit="crop")
    assert next(iter(data.train_dataloader())).image.shape[-2:] == (24, 32)
    assert next(iter(data.val_dataloader())).image.shape[-2:] == (32, 48)


def test_pictures_of_several_sizes_are_padded_and_their_sizes_kept():
    class Sizes:
        labels = LABELS
        samples = tuple(Sample(f"{i}", Path(), None, "", s) for i, s in enumerate(["train", "val", "val"]))

        def read(self, sample):
            height = 10 + 4 * int(sample.name)
            return np.full((height, 9, 3), 7, np.uint8), np.zeros((height, 9), np.uint8)

    batch = next(iter(_data(source=Sizes(), fit="crop").val_dataloader()))
    assert batch.image_size == batch.target_size == ((14, 9), (18, 9))
    assert (batch.target[0, 14:] == 255).all()
    assert (batch.target[0, :14] == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 512)}, r"data\.size=\[0, 512\]"),
        ({"size": (5,)}, r"data\.size=\[5\]"),
        ({"batch_size": 0}, r"data\.batch_size=0"),
        ({"num_workers": -1}, r"data\.num_workers=-1"),
        ({"fit": "squeeze"}, r"data\.fit=squeeze: choose stretch or crop"),
        ({"eval_resolution": "half"}, r"data\.eval_resolution=half"),
        ({"sampler": "rare"}, r"data\.sampler=rare: choose uniform, class_balanced or rare_first"),
        ({"sampler_temperature": 0.0}, r"data\.sampler_temperature=0.0: must be at least 0.001"),
        ({"sampler_temperature": float("nan")}, r"data\.sampler_temperature=nan"),
    ],
)
def test_values_out_of_range_are_refused_in_one_line(options, message):
    with pytest.raises(UserError, match=message):
        _data(**options)


def test_an_empty_part_is_refused_before_training():
    source = Streets(LABELS, train_samples=3, val_samples=0, test_samples=0, height=32, width=48)
    with pytest.raises(UserError, match="the validation part is empty"):
        _data(source=source, val_fraction=0.0).check_training()


class _Tail:
    """Twelve pictures of one class; two of them show another in one corner, one is ignored."""

    def __init__(self, task="multiclass"):
        ids = ((0,), (1,)) if task != "binary" else ((0,), (1, 255))
        self.labels = LabelSpace(("road", "post"), ((1, 1, 1), (2, 2, 2)), ids, task=task)
        self.samples = tuple(
            Sample(f"{i:02}", Path(), None, "", "train" if i < 12 else "val") for i in range(13)
        )

    def read(self, sample):
        number = int(sample.name)
        image = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        target = np.zeros((48, 64), np.uint8)
        if number < 2:
            target[45:47, 60:62] = 1
        if number == 5:
            target[:] = 255
        if self.labels.task != "multilabel":
            return image, target
        planes = np.stack([(target == 0) & (number < 8), target == 1], 2).astype(np.uint8)
        return image, np.where(target[..., None] == 255, 255, planes).astype(np.uint8)


def _seen(source, **options):
    """Index and target of every sample of an epoch."""
    data = _data(source=source, size=(16, 16), fit="crop", **options)
    return [(int(i), t) for b in data.train_dataloader() for i, t in zip(b.index, b.target, strict=True)]


@pytest.mark.parametrize("kind", ["class_balanced", "rare_first"])
def test_a_rare_class_is_drawn_more_often_and_its_crops_show_it(kind):
    uniform, seen = _seen(_Tail()), _seen(_Tail(), sampler=kind)
    assert len(seen) == len(uniform) == 12
    assert sum(bool((t == 1).any()) for _, t in uniform) <= 1
    assert sum(bool((t == 1).any()) for _, t in seen) >= 6  # half of the draws at least are made for it
    assert 5 not in {i for i, _ in seen}


def test_a_sample_that_is_drawn_again_is_augmented_differently():
    seen = _samples(_data(source=_Tail(), sampler="class_balanced").train_dataloader())
    assert len({i for i, _ in seen}) < len(seen) == 12
    assert len({h for _, h in seen}) == len(seen)


@pytest.mark.filterwarnings("ignore:This DataLoader will create . worker processes")
def test_weighted_batches_are_the_same_for_any_number_of_workers_and_any_batch_size():
    runs = [
        _samples(_data(_Trainer(epoch=2), _Tail(), sampler="rare_first", **o).train_dataloader())
        for o in ({}, {"num_workers": 2}, {"batch_size": 5})
    ]
    assert runs[0] == runs[1] == runs[2]


def test_in_a_multilabel_task_a_picture_without_any_label_is_drawn_once():
    seen = [i for i, _ in _seen(_Tail("multilabel"), sampler="class_balanced")]
    assert [seen.count(i) for i in (8, 9, 10, 11)] == [1, 1, 1, 1]


def test_what_an_epoch_will_show_is_logged_by_the_first_process_before_it_begins(caplog):
    with caplog.at_level(logging.INFO, "segkit.data.datamodule"):
        for rank in (0, 1):
            _data(_Trainer(rank=rank, world=2), _Tail(), sampler="class_balanced").train_dataloader()
        _data(source=_Tail()).train_dataloader()
    (record,) = caplog.records
    lines = record.getMessage().splitlines()
    assert lines[0] == "data.sampler=class_balanced: pictures of an epoch that show each class"
    assert lines[2].split() == ["road", "11", "12.0", "6.0", "4"]
    assert lines[3].split() == ["post", "2", "7.1", "6.0", "4"]


def test_class_pixels_are_counted_once(monkeypatch):
    source = _Tail()
    data, reads = _data(source=source, sampler="rare_first"), []
    read = source.read
    monkeypatch.setattr(source, "read", lambda sample: reads.append(sample) or read(sample))
    assert data.pixel_counts().sum(0).tolist() == [11 * 48 * 64 - 8, 8]
    data.train_dataloader()
    assert len(reads) == 12


def test_what_was_wrong_when_files_were_listed_is_refused():
    source = _Tail()
    source.faults = [
        Fault("odd", "looks odd", "look", severity="suspicion"),
        Fault("unpaired", "images without a mask", "add them", ("a.png", "b.png")),
        Fault("unpaired", "masks without an image", "add them", ("c.png",)),
    ]
    with pytest.raises(UserError) as error:
        _data(source=source)
    assert str(error.value) == "a.png, b.png: images without a mask; add them (and 1 more fault)"
    source.faults = source.faults[:1]
    _data(source=source)


class _Unsplit(_Tail):
    def __init__(self):
        super().__init__()
        self.samples = tuple(s._replace(split="") for s in self.samples)


def test_a_stratified_split_has_every_class_on_both_sides():
    for seed in range(8):
        data = _data(source=_Unsplit(), stratify=True, seed=seed, val_fraction=0.5, test_fraction=0.0)
        rare = {s.name for s in data.samples[:2]}
        assert all(len(rare & {s.name for s in data.part(p)}) == 1 for p in ("train", "val"))


THREADS = """
import os
import numpy as np
import segkit.data.dataset
import cv2
before = len(os.listdir("/proc/self/task"))
picture = np.zeros((3000, 3000, 3), np.uint8)
for _ in range(3):
    cv2.warpAffine(picture, np.eye(2, 3), (3000, 3000))
    cv2.resize(picture, (1500, 1500))
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted as Linux lists them")
def test_opencv_starts_no_threads_which_a_forked_loader_would_miss():
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
