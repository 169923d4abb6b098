"""Measuring 150 classes takes little more memory than importing segkit does."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, torch
from segkit.metric.calibration import Calibration
from segkit.metric.counts import OverlapCounts
from segkit.metric.scored import Scored
from segkit.metric.soft import Soft
from segkit.types import LabelSpace

def peak():  # MiB; ru_maxrss would begin with that of the process that started this one
    lines = open("/proc/self/status").read().splitlines()
    return int(next(x for x in lines if x.startswith("VmHWM")).split()[1]) / 1024

K, H, W = 150, 1024, 1024
labels = LabelSpace(tuple(map(str, range(K))), ((0, 0, 0),) * K, tuple((i,) for i in range(K)))
generator = torch.Generator().manual_seed(0)
target = torch.randint(0, K, (H, W), generator=generator, dtype=torch.uint8)
logits = torch.randn(K, 64, 64, generator=generator)
before = peak()
scored = Scored(logits, target, 0, labels)
for meter in (OverlapCounts(labels), Calibration(labels), Soft(labels)):
    meter.update(scored)
    assert meter.compute()["index"].tolist() == [0]
print(json.dumps({"before": before, "after": peak()}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_150_classes_at_native_resolution_stay_within_bounded_memory():
    """All logits at 1024x1024 would be 600 MiB, their probabilities as much again."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    memory = json.loads(done.stdout)
    assert memory["after"] - memory["before"] < 250
