"""Readers -> findings: batches in processes of their own, so that a decoder that crashes is a finding."""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["segkit.build", "segkit.train", "segkit.report.evaluation", "hydra"])
PATIENCE = 60.0  # seconds without progress (code in C cannot be interrupted) until a process is killed


class Outcome(NamedTuple):
    """What became of a reader's files.

    Attributes:
        inputs: How many there were.
        used: How many were read.
        refused: How many were refused in one line.
        findings: Number of the file, what is wrong, and where.
        seconds: Of the slowest process.
        memory: Bytes by which the largest process grew.
    """

    inputs: int
    used: int
    refused: int
    findings: list[tuple[int, str, str]]
    seconds: float
    memory: int

    def kinds(self) -> dict[str, tuple[int, int, str]]:
        """Each kind of finding with how many there are and the first of them."""
        found: dict[str, tuple[int, int, str]] = {}
        for number, what, where in sorted(self.findings):
            count, first, text = found.get(what, (0, number, where))
            found[what] = (count + 1, first, text)
        return found


def run_reader(name: str, count: int, run: Path, processes: int = 1) -> Outcome:
    """Show a reader its files 0, 1, ... ``count - 1``; ``run`` is a finished run, whose files are seeds."""
    with tempfile.TemporaryDirectory() as place:
        jobs = [_Job(name, range(i, count, processes), Path(place) / str(i), run) for i in range(processes)]
        while any([job.watch() for job in jobs]):
            time.sleep(0.02)
        findings = [f for job in jobs for f in job.findings]
    used, refused = (sum(job.total[key] for job in jobs) for key in ("used", "refused"))
    seconds, memory = (max(job.total[key] for job in jobs) for key in ("seconds", "memory"))
    return Outcome(count, used, refused, findings, seconds, memory)


class _Job:
    """The files of one process, and of those that take its place where it dies."""

    def __init__(self, name: str, numbers: range, folder: Path, run: Path) -> None:
        self.name, self.numbers, self.folder, self.run = name, numbers, folder, run
        self.total: dict[str, Any] = {"used": 0, "refused": 0, "seconds": 0.0, "memory": 0}
        self.findings: list[tuple[int, str, str]] = []
        folder.mkdir()
        self._start()

    def _start(self) -> None:
        for name in ("result.json", "progress"):
            (self.folder / name).unlink(missing_ok=True)
        given = {"NAME": self.name, "NUMBERS": self.numbers, "PLACE": str(self.folder), "RUN": str(self.run)}
        self.process = SERVER.Process(target=runpy.run_path, args=(str(HERE / "start.py"), given))
        self.process.start()
        self.moved, self.last = time.monotonic(), ""

    def watch(self) -> bool:
        """Whether there is something left to do."""
        if not self.numbers:
            return False
        if self.process.is_alive():
            self._watch_progress()
            return True
        self.process.join()
        file = self.folder / "result.json"
        if file.is_file():
            result = json.loads(file.read_text())
            self._collect()
            for key in ("used", "refused", "seconds"):
                self.total[key] += result[key]
            self.total["memory"] = max(self.total["memory"], result["memory"])
            self.numbers = range(0)
            return False
        self._died()
        return bool(self.numbers)

    def _collect(self) -> None:
        file = self.folder / "findings.txt"
        lines = file.read_text().splitlines() if file.is_file() else []
        self.findings += [(number, what, where) for number, what, where in map(json.loads, lines)]
        file.unlink(missing_ok=True)

    def _watch_progress(self) -> None:
        now = self._progress()
        if now != self.last:
            self.moved, self.last = time.monotonic(), now
        elif time.monotonic() - self.moved > PATIENCE:
            self.process.kill()

    def _progress(self) -> str:
        try:
            return (self.folder / "progress").read_text()
        except OSError:
            return ""

    def _died(self) -> None:
        """Note the file that did it, and go on with the next."""
        self._collect()
        at, code = self._progress(), self.process.exitcode
        noise = self.folder / "noise.txt"
        said = noise.read_text(errors="replace") if noise.is_file() else "it did not start"
        number = int(at) if at else -1
        what = "hang" if code == -9 else f"crash ({code})"
        self.findings.append((number, what, said[-1500:]))
        rest = [n for n in self.numbers if n > number] if at else []
        self.numbers = range(rest[0], rest[-1] + 1, self.numbers.step) if rest else range(0)
        if self.numbers:
            self._start()


def cores() -> int:
    """How many processes may work at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
