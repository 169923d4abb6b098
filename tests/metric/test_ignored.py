"""A class that the protocol ignores has no number in any meter, and its pixels count nowhere."""

import numpy as np
import pytest
import torch

from segkit.metric.boundary import Boundary
from segkit.metric.calibration import Calibration
from segkit.metric.failure import Failure
from segkit.metric.scored import Scored
from segkit.metric.soft import Soft
from segkit.types import LabelSpace

LABELS = LabelSpace(("sky", "road", "car"), ((0, 0, 0),) * 3, ((0,), (1,), (2,)))
METERS = (Boundary, Calibration, Failure, Soft)


def blobs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a network that is mostly right, and a target of a few blobs."""
    rng = np.random.default_rng(seed)
    target = np.kron(rng.integers(0, 3, (4, 5)), np.ones((6, 6), int)).astype(np.uint8)
    logits = rng.normal(0, 1.5, (3, *target.shape)) + 3 * (np.arange(3)[:, None, None] == target)
    return torch.from_numpy(logits), torch.from_numpy(target)


def numbers(kind, ignored, meter_ignores, masked):
    meter = kind(LABELS)
    meter.ignored = meter_ignores
    for i in range(3):
        logits, target = blobs(i)
        if masked:
            target = torch.where(target == 2, 255, target)
        meter.update(Scored(logits, target, i, LABELS, ignored=ignored))
    return meter.numbers(meter.compute())


@pytest.mark.parametrize("kind", METERS, ids=lambda kind: kind.__name__)
def test_its_pixels_count_as_little_as_those_with_the_ignore_index(kind):
    assert numbers(kind, [2], [2], masked=False) == numbers(kind, [], [2], masked=True)
    assert numbers(kind, [2], [2], masked=False) != numbers(kind, [], [], masked=False)


def test_where_it_is_predicted_it_is_in_no_mean():
    """Predicted on road and sky it would be an invented class, with the worst scores."""
    found = numbers(Boundary, [2], [2], masked=False)
    rest = [found["per_class"][name]["boundary_f1"] for name in ("sky", "road")]
    assert found["per_class"]["car"]["boundary_f1"] is None
    assert found["mean"]["boundary_f1"] == pytest.approx(np.mean(rest))
    found = numbers(Calibration, [2], [2], masked=False)
    rest = [found["per_class"][name]["ece"] for name in ("sky", "road")]
    assert found["per_class"]["car"]["ece"] is None
    assert found["classwise_ece"] == pytest.approx(np.mean(rest))
