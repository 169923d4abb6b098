"""Small data sets from arrays, scanned by a slow and simple hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import ndimage

from segkit.data.scan import GRID, NO_MASK, Facts
from segkit.types import LabelSpace, Sample, UserError


class ArraySource:
    """Samples in memory; ``None`` for an image stands for a file that cannot be read."""

    indexed = True

    def __init__(self, labels, samples, images, targets):
        self.labels, self.samples, self.faults = labels, samples, []
        self._held = {
            s.name: pair for s, pair in zip(samples, zip(images, targets, strict=True), strict=True)
        }

    def read(self, sample):
        image, target = self._held[sample.name]
        if image is None:
            raise UserError(f"{sample.name} cannot be read: it is empty; replace or remove the file")
        return image, target


class Data(NamedTuple):
    labels: LabelSpace
    source: Any
    samples: list[Sample]
    facts: Facts


def many_classes(count: int, task: str = "multiclass") -> LabelSpace:
    colors = tuple((i * 53 % 256, i * 97 % 256, 255 - i * 31 % 256) for i in range(count))
    names = ("background", "cell") if task == "binary" else tuple(f"class {i}" for i in range(count))
    return LabelSpace(names, colors, tuple((i,) for i in range(count)), task=task)


def make_data(
    labels: LabelSpace, images: Sequence[Any], targets: Sequence[Any], parts: Sequence[str] = ()
) -> Data:
    """Scan arrays: images uint8 ``[H, W, 3]``, targets as `LabelSpace.encode` makes them or ``None``."""
    n, k = len(images), labels.num_classes
    parts = parts or [("train", "train", "val", "test")[i % 4] for i in range(n)]
    samples = [Sample(f"s{i:03d}", Path(), None, "", part) for i, part in enumerate(parts)]
    planes = [None if t is None else _planes(t, labels) for t in targets]
    kinds = np.zeros((n, k), np.int32)
    sizes: list[tuple[int, int, int, int]] = []
    for i, stack in enumerate(planes):
        for c in range(k if stack is not None else 0):
            regions, kinds[i, c] = ndimage.label(stack[c])
            bins = np.floor(np.log2(np.bincount(regions.ravel())[1:])).astype(int)
            sizes += [(i, c, int(b), int((bins == b).sum())) for b in np.unique(bins)]
    readable = [im if im is not None else np.zeros((0, 0, 3), np.uint8) for im in images]
    text = np.array(["" if t is not None else "no mask" for t in targets], object)
    facts = Facts(
        names=np.array([s.name for s in samples]),
        image_size=np.array([im.shape[:2] for im in readable], np.int32).reshape(n, 2),
        mask_size=np.array([(0, 0) if t is None else t.shape[:2] for t in targets], np.int32).reshape(n, 2),
        pixels=np.array([np.zeros(k) if p is None else p.sum((1, 2)) for p in planes], np.int64).reshape(
            n, k
        ),
        ignored=np.array([0 if t is None else (_first(t) == labels.ignore_index).sum() for t in targets]),
        components=kinds,
        component_sizes=np.array(sizes, np.int64).reshape(-1, 4),
        grid=np.stack([_grid(t, labels) for t in targets]),
        channel_mean=np.array([im.reshape(-1, 3).mean(0) if im.size else np.zeros(3) for im in readable]),
        channel_std=np.array([im.reshape(-1, 3).std(0) if im.size else np.zeros(3) for im in readable]),
        image_hash=np.zeros(n, np.uint64),
        image_digest=np.full(n, ""),
        image_mode=np.full(n, ""),
        image_orientation=np.ones(n, np.uint8),
        mask_orientation=np.ones(n, np.uint8),
        mask_kind=np.full(n, ""),
        image_error=np.array(["" if im is not None else "unreadable" for im in images], object),
        mask_error=text,
        ids=np.zeros(0, np.int64),
        id_pixels=np.zeros(0, np.int64),
        id_start=np.zeros(n + 1, np.int64),
        id_distinct=np.zeros(n, np.int64),
    )
    return Data(labels, ArraySource(labels, samples, images, targets), samples, facts)


def _planes(target, labels):
    if target.ndim == 3:
        return np.moveaxis(target == 1, 2, 0)
    return target[None] == np.arange(labels.num_classes)[:, None, None]


def _first(target):
    return target if target.ndim == 2 else target[..., 0]


def _grid(target, labels):
    if target is None:
        return np.full((GRID, GRID), NO_MASK, np.uint16)
    rows = ((np.arange(GRID) + 0.5) * target.shape[0] / GRID).astype(int)
    columns = ((np.arange(GRID) + 0.5) * target.shape[1] / GRID).astype(int)
    cells = target[rows][:, columns]
    if cells.ndim == 2:
        return cells.astype(np.uint16)
    last = labels.num_classes - 1 - (cells[..., ::-1] == 1).argmax(2)
    return np.where((cells == 1).any(2), last, labels.ignore_index).astype(np.uint16)


def blobs(labels: LabelSpace, count: int, height: int = 48, width: int = 64, seed: int = 0):
    """Pictures with rectangles of long-tailed classes, an ignored corner here and there."""
    rng = np.random.default_rng(seed)
    chance = 0.7 ** np.arange(labels.num_classes) if labels.num_classes < 20 else None
    images, targets = [], []
    for _ in range(count):
        target = np.zeros((height, width), labels.dtype)
        for _ in range(12):
            p = None if chance is None else chance / chance.sum()
            c = rng.choice(labels.num_classes, p=p)
            y, x = rng.integers(0, height - 4), rng.integers(0, width - 4)
            target[y : y + rng.integers(1, height // 3), x : x + rng.integers(1, width // 3)] = c
        target[: rng.integers(0, 6), : rng.integers(0, 6)] = labels.ignore_index
        paint = np.array([*labels.colors, (0, 0, 0)], np.int16)[np.minimum(target, labels.num_classes)]
        images.append((0.6 * paint + rng.integers(0, 90, (height, width, 3))).astype(np.uint8))
        targets.append(target)
    return images, targets


@pytest.fixture(scope="session")
def data_of():
    """``data_of(labels, images, targets, parts=())``: a source, its samples and their facts."""
    return make_data


@pytest.fixture(scope="session")
def blobs_of():
    """``blobs_of(labels, count, height, width, seed)``: generated images and targets."""
    return blobs


@pytest.fixture(scope="session")
def classes_of():
    """``classes_of(count, task)``: a label space."""
    return many_classes
