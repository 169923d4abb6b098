"""The augmentation as training will use it: its checks, its randomness, its pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import DataLoader

from segkit.augment.align import blocks
from segkit.augment.audit import Check, audit
from segkit.data.dataset import Example, Reader, TrainDataset, Transform
from segkit.data.sampler import Draw, EpochSampler
from segkit.files import write_json, write_png
from segkit.report.sheet import Specimen, contact_sheet
from segkit.types import LabelSpace, Sample, Source, UserError

if TYPE_CHECKING:
    from segkit.types import Array

    Pair = tuple[Array, Array]

SAMPLES, EPOCHS, WORKERS = 16, 3, 2
SHOWN = 4  # samples in the contact sheet


def run_audit(
    source: Source,
    samples: Sequence[Sample],
    augment: Transform,
    *,
    size: tuple[int, int],
    fit: str,
    seed: int,
    folder: Path,
) -> list[Check]:
    """Test an augmentation, and show what it makes of some samples.

    Writes ``audit.json``, and ``audit.png`` with samples as they are read and as training gets
    them in its first epochs.

    Args:
        source: Reads the samples.
        samples: The training part, in its order.
        augment: What is tested.
        size: (height, width) that the network trains at, in pixels.
        fit: ``stretch`` or ``crop``.
        seed: That of training.
        folder: Where the files go.

    Returns:
        The checks of `segkit.augment.audit.audit` and of `check_draws`, and ``workers``.

    Raises:
        UserError: No sample has a mask, a sample cannot be read, or a transform does not suit
            the size.
    """
    reader = Reader(source, samples, cache=False)
    dataset = TrainDataset(reader, augment, size, fit, seed)
    chosen = _spread([i for i, s in enumerate(samples) if _has_target(source, s)])
    if not chosen:
        raise UserError("no sample of the training part has a mask: there is nothing to augment")
    before = {i: reader[i] for i in chosen}
    checks = [
        *audit(augment, size=size, fit=fit, labels=source.labels, seed=seed, pictures=list(before.values())),
        *_randomness(augment, source.labels, size, fit, seed),
    ]
    rows = [_specimen(reader, dataset, i, before[i]) for i in chosen]
    write_png(folder / "audit.png", contact_sheet(rows, source.labels))
    about = {"size": size, "fit": fit, "seed": seed, "samples": [samples[i].name for i in chosen]}
    write_json(folder / "audit.json", {**about, "checks": [c._asdict() for c in checks]})
    return checks


def check_draws(
    draw: Callable[[int, int], Pair], varies: bool, samples: int = SAMPLES, epochs: int = EPOCHS
) -> list[Check]:
    """Test whether randomness is what training needs it to be.

    Args:
        draw: (epoch, index) -> image and target; of the same picture for every index, so that
            only augmentation makes a difference.
        varies: Whether the augmentation has any randomness; without, nothing needs to differ.
        samples: How many indices are drawn.
        epochs: How many epochs.

    Returns:
        The checks ``samples``, ``epochs`` and ``repeats``.
    """
    drawn = {(e, i): _bytes(draw(e, i)) for e in range(epochs) for i in range(samples)}
    changed = sum(drawn[key] != _bytes(draw(*key)) for key in reversed(drawn))
    orders = [tuple(drawn[e, i] for i in range(samples)) for e in range(epochs)]
    fewest, different = min(len(set(order)) for order in orders), len(set(orders))
    still = "" if varies else " (nothing is random here)"
    one = f"different results of {samples} samples with one picture, per epoch{still}"
    all_epochs = f"different epochs of {epochs}{still}"
    again = "results that changed when the same sample was drawn again"
    return [
        Check("samples", fewest > 1 or not varies, fewest, None, "results", one),
        Check("epochs", different == epochs or not varies, different, None, "epochs", all_epochs),
        Check("repeats", changed == 0, changed, 0, "results", again),
    ]


def audit_table(checks: Sequence[Check]) -> str:
    """Draw the checks as a table for a terminal."""
    verdicts = {True: "ok", False: "WRONG", None: "-"}
    rows = [("check", "", "measured", "limit", "", "")]
    for c in checks:
        limit = "" if c.limit is None else f"{c.limit:g}"
        rows.append((c.name, verdicts[c.passed], f"{c.measure:.3g}", limit, c.unit, c.message))
    wide = [max(len(row[i]) for row in rows) for i in range(6)]
    to_the_right = (2, 3)
    return "\n".join(
        "  ".join(
            f"{cell:{'>' if i in to_the_right else '<'}{wide[i]}}" for i, cell in enumerate(row)
        ).rstrip()
        for row in rows
    )


def _randomness(
    augment: Transform, labels: LabelSpace, size: tuple[int, int], fit: str, seed: int
) -> list[Check]:
    """Draw one picture many times as training does, without and with loader processes."""
    source = _OnePicture(labels, size)
    dataset = TrainDataset(Reader(source, source.samples, cache=True), augment, size, fit, seed)
    image, target = source.read(source.samples[0])
    ignore = labels.ignore_index
    direct = {
        _bytes(augment(image.copy(), target.copy(), size=size, fit=fit, ignore_index=ignore, seed=i))
        for i in range(SAMPLES * EPOCHS)
    }

    def draw(epoch: int, index: int) -> Pair:
        example = dataset.augmented(Draw(index, epoch), *dataset.reader[index])
        return example.image, example.target

    alone, together = (_loaded(dataset, number, seed) for number in (0, WORKERS))
    other = sum(a != b for a, b in zip(alone, together, strict=True))
    text = f"results of {len(alone)} that {WORKERS} loader processes draw differently from none"
    return [*check_draws(draw, len(direct) > 1), Check("workers", other == 0, other, 0, "results", text)]


class _OnePicture:
    """Samples that all show the same blocks."""

    samples: Sequence[Sample]

    def __init__(self, labels: LabelSpace, size: tuple[int, int]) -> None:
        self.labels = labels
        self.samples = [Sample(f"{i}", Path()) for i in range(SAMPLES)]
        number = min(labels.num_classes, 4)
        rng = np.random.default_rng(0)
        self.image, mask = blocks(round(size[0] * 1.3), round(size[1] * 1.3), np.arange(number), rng)
        planes = mask[..., None] == np.arange(labels.num_classes)
        self.target = (planes if labels.task == "multilabel" else mask).astype(labels.dtype)

    def read(self, sample: Sample) -> Pair:
        return self.image, self.target


def _loaded(dataset: TrainDataset, workers: int, seed: int) -> list[bytes]:
    """Results of an epoch through a loader, in their order."""
    sampler = EpochSampler(SAMPLES, 2, seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # on a single core too
        loader: DataLoader[Any] = DataLoader(
            dataset, batch_sampler=sampler, num_workers=workers, collate_fn=_examples
        )
        return [_bytes((e.image, e.target)) for batch in loader for e in batch]


def _examples(batch: list[Example]) -> list[Example]:
    return batch


def _bytes(pair: Pair) -> bytes:
    return b"".join(np.ascontiguousarray(array).tobytes() for array in pair)


def _has_target(source: Source, sample: Sample) -> bool:
    return sample.mask is not None or not hasattr(source, "read_target")  # generated samples have no files


def _spread(positions: Sequence[int]) -> list[int]:
    """Some of them, in the middle of equal parts."""
    count = min(SHOWN, len(positions))
    return [positions[(2 * i + 1) * len(positions) // (2 * count)] for i in range(count)]


def _specimen(reader: Reader, dataset: TrainDataset, index: int, before: Pair) -> Specimen:
    drawn = [dataset.augmented(Draw(index, epoch), *reader[index]) for epoch in range(EPOCHS)]
    after = tuple((e.image, e.target) for e in drawn)
    return Specimen(reader.samples[index].name, *before, after)
