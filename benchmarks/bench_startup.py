"""How long the command line takes to answer, against importing Hydra alone (CPU seconds, in turn)."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

RUNS = 7
ANSWERS = {
    "--help": ["-m", "segkit.train", "--help"],
    "--cfg job": ["-m", "segkit.train", "--cfg", "job"],
    "misspelt key": ["-m", "segkit.train", "trainer.max_epoch=3"],
    "analyze --help": ["-m", "segkit.analyze", "--help"],
    "split --help": ["-m", "segkit.split", "--help"],
    "evaluate --help": ["-m", "segkit.evaluate", "--help"],
    "predict --help": ["-m", "segkit.predict", "--help"],
}


def cpu_seconds(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    print(f"{'answer':16}  {'CPU s':>6}  {'x import hydra':>14}  (median of {RUNS}; promised: at most 3.5)")
    for name, arguments in ANSWERS.items():
        pairs = [(cpu_seconds(["-c", "import hydra"]), cpu_seconds(arguments)) for _ in range(RUNS)]
        ratio = statistics.median(answer / hydra for hydra, answer in pairs)
        print(f"{name:16}  {statistics.median(p[1] for p in pairs):6.2f}  {ratio:14.2f}")


if __name__ == "__main__":
    main()
