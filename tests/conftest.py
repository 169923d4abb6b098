"""Shared by all tests: no network, no update checks, tiny label spaces."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # tiny tensors: more threads only wait for each other

import pytest

from segkit.types import LabelSpace


@pytest.fixture
def three_classes() -> LabelSpace:
    return LabelSpace(
        names=("sky", "road", "car"),
        colors=((70, 130, 180), (128, 64, 128), (0, 0, 142)),
        ids=((0,), (1,), (2,)),
    )


@pytest.fixture
def binary() -> LabelSpace:
    return LabelSpace(
        names=("background", "cell"),
        colors=((0, 0, 0), (230, 159, 0)),
        ids=((0,), ()),
        ignore=(),
        rest="cell",
        task="binary",
    )
