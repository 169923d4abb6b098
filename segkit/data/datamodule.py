"""Source -> loaders for training, validation and test."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from segkit.data.cache import cache_folder
from segkit.data.check import check
from segkit.data.count import class_counts, count_pixels
from segkit.data.dataset import Collate, EvalDataset, Fit, Loader, Reader, TrainDataset, Transform
from segkit.data.fault import Fault
from segkit.data.frozen import frozen_parts
from segkit.data.sampler import SAMPLERS, ClassPlan, EpochSampler, frequency_table
from segkit.data.skip import ON_ERROR
from segkit.data.source import FileSource
from segkit.data.split import assign, read_split, write_split
from segkit.data.state import changed_files, state_file, write_state
from segkit.data.window import WindowLoader
from segkit.error import plural
from segkit.types import SPLITS, Batch, Sample, Source, UserError

log = logging.getLogger(__name__)


class SegmentationData(lightning.LightningDataModule):
    """Everything between disk and batch.

    Args:
        source: Lists and reads samples.
        augment: Augmentation of the training part.
        resize: Resizing of whole pictures for evaluation.
        seed: Decides split, order and augmentation.
        size: ``[height, width]`` that the network trains at.
        fit: ``stretch`` (resize to ``size``) or ``crop`` (windows of ``size``).
        batch_size: Pictures per micro-batch in training.
        eval_batch_size: Pictures per batch in validation and test; ``None`` = ``batch_size``.
        eval_resolution: ``native`` or ``network``: the size at which predictions meet masks.
        num_workers: Loader processes; ``None`` chooses.
        cache: Keep decoded pictures in memory.
        val_fraction: Share of samples for validation where the data has no official split.
        test_fraction: Share of samples for the test where the data has no official split.
        split: A frozen split to use.
        check_masks: How many masks are read before training starts; ``None`` = all.
        stratify: Draw parts so that every class is on both sides, where the data has no
            official split. (Not by default here, so that a checkpoint that does not say finds
            the parts that it was trained on.)
        sampler: Which samples an epoch of training draws: ``uniform`` (each once),
            ``class_balanced`` or ``rare_first`` (see `ClassPlan`).
        sampler_temperature: T of ``rare_first``: smaller draws rare classes more often.
        on_error: ``raise``: a sample that cannot be read ends the run; ``skip``: it is left out
            (`segkit.types.Batch.skipped` names it).
        max_skipped: How many samples may be left out before the run stops.

    Raises:
        UserError: A value is out of range, or something was wrong when the files were listed.
    """

    def __init__(
        self,
        source: Source,
        augment: Transform,
        resize: Fit,
        *,
        seed: int = 0,
        size: Sequence[int] = (256, 512),
        fit: str = "stretch",
        batch_size: int = 8,
        eval_batch_size: int | None = None,
        eval_resolution: str = "native",
        num_workers: int | None = None,
        cache: bool = False,
        val_fraction: float = 0.15,
        test_fraction: float = 0.15,
        split: str | None = None,
        check_masks: int | None = 200,
        stratify: bool = False,
        sampler: str = "uniform",
        sampler_temperature: float = 0.1,
        on_error: str = "raise",
        max_skipped: int = 10,
    ) -> None:
        super().__init__()
        _check_ranges(size, fit, eval_resolution, batch_size, eval_batch_size, num_workers)
        _check_sampler(sampler, sampler_temperature)
        _check_on_error(on_error, max_skipped)
        _refuse_faults(source, on_error == "skip" and split is not None)
        self.source, self.augment, self.resize, self.seed = source, augment, resize, seed
        self.size, self.fit, self.native = (size[0], size[1]), fit, eval_resolution == "native"
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size or batch_size
        self.num_workers = _workers(cache) if num_workers is None else num_workers
        self.check_masks = check_masks
        self.sampler, self.sampler_temperature = sampler, sampler_temperature
        self.skip, self.max_skipped = on_error == "skip", max_skipped
        self._counts: np.ndarray[Any, Any] | None = None
        self._windows: WindowLoader | None = None
        self._position: dict[str, int] | None = None
        # Set by whoever knows the loss: target -> weight of each of its terms.
        self.weigh: Callable[[torch.Tensor], torch.Tensor] = lambda target: torch.zeros(0)
        names = sorted(source.samples)
        if split:
            if self.skip:
                names = _with_missing(names, frozen_parts(Path(split)))
            parts = read_split(Path(split), names)
            for fault in changed_files(Path(split), source, names):
                log.warning("%s: %s", fault.kind, fault.line())
        else:
            counts = (lambda: self._count(names)) if stratify else None
            parts = assign(names, val_fraction, test_fraction, seed, counts)
        self.samples = [s._replace(split=p) for s, p in zip(names, parts, strict=True)]
        self.readers: dict[str, Reader] = {"all": Reader(source, self.samples, False, self.skip)}
        for split_name in SPLITS:
            part = [s for s in self.samples if s.split == split_name]
            self.readers[split_name] = Reader(source, part, cache, self.skip)

    @property
    def eval_size(self) -> tuple[int, int] | None:
        """Size of pictures in evaluation; ``None``: each its own."""
        return self.size if self.fit == "stretch" else None

    @property
    def resolution(self) -> str:
        """Where predictions meet masks, in a word for protocols."""
        return "native" if self.native or self.eval_size is None else "network"

    def part(self, split: str) -> list[Sample]:
        """Samples of ``train``, ``val``, ``test`` or ``all``."""
        return self.readers[split].samples

    def check_training(self) -> list[Fault]:
        """Find in seconds what would otherwise break a run later.

        Returns:
            What a run can do with, and numbers suffer from.

        Raises:
            UserError: Training or validation part empty, or a fault in the files.
        """
        for part, key in (("train", "training"), ("val", "validation")):
            if not self.part(part):
                raise UserError(
                    f"the {key} part is empty ({plural(len(self.samples), 'sample')} in all): "
                    "add pictures, or change data.val_fraction and data.test_fraction"
                )
        return check(self.source, self.check_masks, self.max_skipped if self.skip else None)

    def pixel_counts(self) -> np.ndarray[Any, Any]:
        """Pixels of each class in each training mask, counted once: int64 ``[n, K]``."""
        if self._counts is None:
            reader = self.readers["train"]
            if reader.cache:
                rows = [class_counts(reader[i][1], self.source.labels) for i in range(len(reader.samples))]
                self._counts = np.stack(rows)
            else:
                self._counts = self._count(reader.samples)
        return self._counts

    def _count(self, samples: Sequence[Sample]) -> np.ndarray[Any, Any]:
        """Pixels of each class in each mask; those of files are remembered until a file changes."""
        folder = cache_folder() if isinstance(self.source, FileSource) else None
        return count_pixels(self.source, samples, cache=folder)

    def class_plan(self) -> ClassPlan | None:
        """How often each training sample is drawn; ``None``: each of them once per epoch."""
        if self.sampler == "uniform":
            return None
        multilabel = self.source.labels.task == "multilabel"
        return ClassPlan(self.pixel_counts(), self.sampler, self.sampler_temperature, multilabel)

    def freeze_split(self, path: Path) -> None:
        """Write which sample is in which part, and once what the files are."""
        write_split(path, self.samples, [s.split for s in self.samples])
        if not state_file(path).is_file():
            write_state(path, self.source, self.samples)

    def fill_cache(self, *parts: str) -> None:
        """Read what is kept in memory before worker processes are made."""
        for part in parts:
            self.readers[part].fill(os.cpu_count() or 1)

    def train_dataloader(self) -> WindowLoader:
        """Windows of augmented micro-batches."""
        assert self.trainer is not None
        trainer: Any = self.trainer
        plan = self.class_plan()
        if plan is not None and trainer.global_rank == 0:
            table = frequency_table(plan, self.source.labels.names)
            log.info("data.sampler=%s: pictures of an epoch that show each class\n%s", self.sampler, table)
        sampler = EpochSampler(
            len(self.part("train")), self.batch_size, self.seed, trainer.global_rank, trainer.world_size, plan
        )
        dataset = TrainDataset(self.readers["train"], self.augment, self.size, self.fit, self.seed)
        progress = trainer.fit_loop.epoch_loop.batch_progress
        self._windows = WindowLoader(
            self._loader("training", dataset, batch_sampler=sampler),
            sampler,
            trainer.accumulate_grad_batches,
            self.weigh,
            # Overfitting means the same few batches in every epoch.
            epoch=lambda: 0 if trainer.overfit_batches else trainer.current_epoch,
            limit=_limited(len(sampler), trainer.limit_train_batches),
            processed=lambda: progress.current.processed,
        )
        if self._position is not None:
            self._windows.load_state_dict(self._position)
        return self._windows

    def state_dict(self) -> dict[str, Any]:
        """Where training stands within its epoch.

        Lightning would restore a loader's own state, but only where nobody has asked for the
        number of steps before, for which it makes the loader.
        """
        return {} if self._windows is None else {"position": self._windows.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Have the next loader begin where `state_dict` says."""
        self._position = state_dict.get("position")

    def draws_per_step(self, trainer: Any) -> int:
        """Pictures that an optimiser step sees, over all micro-batches and processes."""
        return self.batch_size * trainer.accumulate_grad_batches * trainer.world_size

    def train_batches(self, trainer: Any) -> int:
        """Micro-batches that an epoch will have."""
        batches = -(-len(self.part("train")) // (self.batch_size * trainer.world_size))
        return _limited(batches, trainer.limit_train_batches)

    def val_dataloader(self) -> DataLoader[Any]:
        """The validation part, once each."""
        return self.eval_dataloader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """The test part, once each; the validation part where there is no test."""
        return self.eval_dataloader("test" if self.part("test") else "val")

    def eval_dataloader(self, split: str) -> DataLoader[Any]:
        """Every sample of a part once; each process takes its share, nothing is added."""
        if not self.part(split):
            raise UserError(f"the {split} part is empty; choose another with split=train, val, test or all")
        dataset = self._eval_dataset(split)
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        part = {"val": "validation"}.get(split, split)
        return self._loader(
            part, dataset, sampler=range(rank, len(dataset), world), batch_size=self.eval_batch_size
        )

    def eval_sample(self, split: str, index: int) -> tuple[np.ndarray[Any, Any], Batch]:
        """One sample of a part: the image as it was read, uint8 RGB ``[H, W, 3]``, and its batch of one.

        Raises:
            UserError: It cannot be read.
        """
        image, _ = self.readers[split][index]
        return image, Collate(self.source.labels)([self._eval_dataset(split)[index]])

    def _eval_dataset(self, split: str) -> EvalDataset:
        return EvalDataset(self.readers[split], self.eval_size, self.resize, self.native)

    def _loader(self, part: str, dataset: Any, **options: Any) -> DataLoader[Any]:
        return Loader(
            part,
            dataset,
            num_workers=self.num_workers,
            collate_fn=Collate(self.source.labels),
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator().manual_seed(self.seed),  # leaves the global generator alone
            **options,
        )


def _limited(batches: int, limit: float | None) -> int:
    """How many batches a limit leaves: a number of them, or a share, as Lightning counts."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def _workers(cache: bool) -> int:
    cores = os.cpu_count() or 1
    return 0 if cache or cores <= 2 else min(cores - 1, 8)


def _with_missing(samples: list[Sample], frozen: Collection[str]) -> list[Sample]:
    """Add the samples of a frozen split whose files are gone: left out when they are to be read.

    The order of an epoch depends on how many samples there are.
    """
    gone = set(frozen) - {s.name for s in samples}
    return sorted([*samples, *(Sample(name, Path(name), Path(name)) for name in gone)])


def _refuse_faults(source: Source, skip: bool) -> None:
    """Stop at what was wrong when the files were listed: nothing is left out silently."""
    faults = [f for f in getattr(source, "faults", ()) if f.severity == "error"]
    if skip:  # files that are gone since the split was frozen are read, and left out, under its names
        faults = [f for f in faults if f.kind != "unpaired"]
    if faults:
        others = len(faults) - 1
        more = f" (and {others} more fault{'s' if others > 1 else ''})" if others else ""
        raise UserError(f"{faults[0].line()}{more}")


def _check_sampler(sampler: str, temperature: float) -> None:
    if sampler not in SAMPLERS:
        raise UserError(f"data.sampler={sampler}: choose {', '.join(SAMPLERS[:-1])} or {SAMPLERS[-1]}")
    if not 1e-3 <= temperature < float("inf"):
        raise UserError(f"data.sampler_temperature={temperature}: must be at least 0.001")


def _check_on_error(on_error: str, max_skipped: int) -> None:
    if on_error not in ON_ERROR:
        raise UserError(f"data.on_error={on_error}: choose {' or '.join(ON_ERROR)}")
    if max_skipped < 0:
        raise UserError(f"data.max_skipped={max_skipped}: must be at least 0")


def _check_ranges(
    size: Sequence[int],
    fit: str,
    eval_resolution: str,
    batch_size: int,
    eval_batch_size: int | None,
    num_workers: int | None,
) -> None:
    if len(size) != 2 or min(size) < 1:
        raise UserError(f"data.size={list(size)}: give height and width, each at least 1, such as [256,512]")
    for key, value, choices in (
        ("fit", fit, ("stretch", "crop")),
        ("eval_resolution", eval_resolution, ("native", "network")),
    ):
        if value not in choices:
            raise UserError(f"data.{key}={value}: choose {' or '.join(choices)}")
    for key, number, low in (
        ("batch_size", batch_size, 1),
        ("eval_batch_size", eval_batch_size, 1),
        ("num_workers", num_workers, 0),
    ):
        if number is not None and number < low:
            raise UserError(f"data.{key}={number}: must be at least {low}")
