"""Peak memory of measuring one picture of 150 classes at 1024x2048, and milliseconds of each meter.

The plain way enlarges all logits and takes softmax and argmax of the whole; ours looks at a few
classes at a time. Each way runs in a process of its own; "import" is what Python, torch and
segkit need before anything is measured.
"""

from __future__ import annotations

import json
import subprocess
import sys

OURS = """
import json, torch
from segkit.types import LabelSpace
from segkit.metric.counts import OverlapCounts
from segkit.metric.calibration import Calibration
from segkit.metric.soft import Soft
from segkit.metric.scored import Scored
torch.set_num_threads(1)
K, (H, W), (h, w) = 150, (1024, 2048), (256, 512)
def peak():  # of this program alone: ru_maxrss would begin with that of the process that started it
    lines = open("/proc/self/status").read().splitlines()
    return int(next(x for x in lines if x.startswith("VmHWM")).split()[1]) / 1024
labels = LabelSpace(tuple(map(str, range(K))), ((0, 0, 0),) * K, tuple((i,) for i in range(K)))
generator = torch.Generator().manual_seed(0)
before = peak()
logits = torch.randn(K, h, w, generator=generator).mul_(3)
target = torch.randint(0, K, (H, W), generator=generator, dtype=torch.uint8)
target[:100] = 255
"""
SLICED = """
scored = Scored(logits, target, 0, labels, temperature=TEMPERATURE)
counts, calibration, soft = OverlapCounts(labels), Calibration(labels), Soft(labels)
for meter in (counts, calibration, soft):
    meter.update(scored)
kept = calibration.compute()
print(json.dumps({"import": before, "peak": peak(), "nll": kept["raw_sums"][0, 1] / kept["raw_sums"][0, 0],
    "prediction": int((scored.prediction * torch.arange(H * W).view(H, W) % 1000003).sum())}))
"""
PLAIN = """
large = torch.nn.functional.interpolate(logits[None], (H, W), mode="bilinear", align_corners=False)
prediction = large.argmax(1)[0]
probability = large.softmax(1)
nll = torch.nn.functional.cross_entropy(large, target[None].long(), ignore_index=255, reduction="none")
nll = nll.double().sum() / (target != 255).sum()
print(json.dumps({"import": before, "peak": peak(), "nll": nll.item(),
    "prediction": int((prediction * torch.arange(H * W).view(H, W) % 1000003).sum())}))
"""
SPEED = """
import time
K, (H, W) = 8, (256, 512)
labels = LabelSpace(tuple(map(str, range(K))), ((0, 0, 0),) * K, tuple((i,) for i in range(K)))
logits = torch.randn(K, H, W, generator=generator)
target = torch.randint(0, K, (H, W), generator=generator, dtype=torch.uint8)
def best(meter, temperature=1.0):
    times = []
    for i in range(30):
        scored = Scored(logits, target, i, labels, temperature=temperature)
        scored.prediction, scored._level  # shared by all meters
        start = time.perf_counter()
        meter.update(scored)
        times.append(time.perf_counter() - start)
    return 1000 * min(times)
print(json.dumps({"overlap": best(OverlapCounts(labels)), "calibration": best(Calibration(labels)),
    "calibration, both temperatures": best(Calibration(labels), 1.5), "soft": best(Soft(labels))}))
"""


def run(code: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    print("150 classes, 256x512 logits, 1024x2048 target: MiB")
    print(f"{'way':34}  {'import':>7}  {'above':>7}  {'peak':>7}")
    ways = {
        "plain": OURS + PLAIN,
        "slices": OURS + SLICED.replace("TEMPERATURE", "1.0"),
        "slices, both temperatures": OURS + SLICED.replace("TEMPERATURE", "1.5"),
    }
    found = {}
    for name, code in ways.items():
        f = found[name] = run(code)
        print(f"{name:34}  {f['import']:7.0f}  {f['peak'] - f['import']:7.0f}  {f['peak']:7.0f}")
    plain, ours = found["plain"], found["slices"]
    print(f"same prediction: {plain['prediction'] == ours['prediction']}")
    print(f"NLL differs by {abs(plain['nll'] / ours['nll'] - 1):.1e} (relative)")
    print("8 classes, 256x512: ms per picture (best of 30), the prediction is there already")
    for name, time in run(OURS.replace("K, (H, W), (h, w) = 150", "K, (H, W), (h, w) = 8") + SPEED).items():
        print(f"{name:34}  {time:7.2f}")


if __name__ == "__main__":
    main()
