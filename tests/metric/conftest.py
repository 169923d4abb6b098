"""Random pictures for the meters that look at probabilities."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segkit.metric.scored import Scored
from segkit.types import LabelSpace


def space(k: int, task: str = "multiclass") -> LabelSpace:
    return LabelSpace(
        tuple(f"c{i}" for i in range(k)), ((0, 0, 0),) * k, tuple((i,) for i in range(k)), task=task
    )


def random_picture(labels, seed, size=(6, 9), index=0, ignored=0.2, scale=2.0, **options) -> Scored:
    """Logits at the size of the target, both random."""
    rng = np.random.default_rng(seed)
    many = labels.task == "multilabel"
    shape = (labels.num_classes, *size) if many else size
    target = rng.integers(0, 2 if many else labels.num_classes, shape)
    target[rng.random(shape) < ignored] = labels.ignore_index
    logits = torch.from_numpy(rng.normal(size=(labels.num_logits, *size)) * scale).float()
    return Scored(logits, torch.from_numpy(target.astype(np.int32)), index, labels, **options)


def shown(meter, pictures):
    """What a meter keeps of pictures."""
    for picture in pictures:
        meter.update(picture)
    return meter.compute()


@pytest.fixture(scope="session")
def pictures() -> SimpleNamespace:
    return SimpleNamespace(space=space, random=random_picture, shown=shown)
