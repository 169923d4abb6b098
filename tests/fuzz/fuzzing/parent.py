"""Readers -> findings: batches in processes of their own, so that a decoder that crashes is a finding."""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["segkit.build", "segkit.train", "segkit.report.evaluation", "hydra"])
PATIENCE = 120.0  # seconds without progress (code in C cannot be interrupted) until a process is killed

Tasks = dict[str, range]


class Finding(NamedTuple):
    """A file that is not taken as it should be.

    Attributes:
        reader: Name of the reader.
        number: Of the file; -1: a whole one.
        what: In short.
        where: A traceback, or what was printed.
    """

    reader: str
    number: int
    what: str
    where: str


class Outcome(NamedTuple):
    """What became of the files of one reader.

    Attributes:
        used: How many were read.
        refused: How many were refused in one line.
        seconds: Of a processor.
        memory: Bytes by which the largest process grew.
    """

    used: int = 0
    refused: int = 0
    seconds: float = 0.0
    memory: int = 0


def fuzz(tasks: Tasks, run: Path, processes: int = 1) -> tuple[dict[str, Outcome], list[Finding]]:
    """Show readers their files.

    Args:
        tasks: Name of a reader -> numbers of its files.
        run: A finished run, whose files are seeds.
        processes: How many work at once.
    """
    with tempfile.TemporaryDirectory() as place:
        shares = [{n: r[i::processes] for n, r in tasks.items()} for i in range(processes)]
        jobs = [_Job(share, Path(place) / str(i), run) for i, share in enumerate(shares)]
        while any([job.watch() for job in jobs]):  # noqa: C419 - all of them, each time
            time.sleep(0.02)
        found = {name: _sum([job.outcome(name) for job in jobs]) for name in tasks}
        return found, [finding for job in jobs for finding in job.findings]


def kinds(findings: list[Finding]) -> str:
    """Each kind of finding with how many there are, and the first of them."""
    first: dict[tuple[str, str], list[Finding]] = {}
    for finding in sorted(findings):
        first.setdefault((finding.reader, finding.what), []).append(finding)
    return "\n".join(
        f"{reader}: {what} ({len(found)} files, the first is number {found[0].number})\n{found[0].where}"
        for (reader, what), found in first.items()
    )


def cores() -> int:
    """How many processes may work at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _sum(parts: list[Outcome]) -> Outcome:
    used, refused, seconds, memory = zip(*parts, strict=True)
    return Outcome(sum(used), sum(refused), sum(seconds), max(memory))


class _Job:
    """The files of one process, and of those that take its place where it dies."""

    def __init__(self, tasks: Tasks, folder: Path, run: Path) -> None:
        self.tasks, self.folder, self.run = tasks, folder, run
        self.findings: list[Finding] = []
        folder.mkdir()
        self._start()

    def _start(self) -> None:
        (self.folder / "progress").unlink(missing_ok=True)
        given = {"TASKS": self.tasks, "PLACE": str(self.folder), "RUN": str(self.run)}
        self.process = SERVER.Process(target=runpy.run_path, args=(str(HERE / "start.py"), given))
        self.process.start()
        self.moved, self.last = time.monotonic(), ""

    def watch(self) -> bool:
        """Whether there is something left to do."""
        if not self.tasks:
            return False
        if self.process.is_alive():
            self._watch_progress()
            return True
        self.process.join()
        self._collect()
        if self.process.exitcode == 0:
            self.tasks = {}
        else:
            self._died()
        return bool(self.tasks)

    def outcome(self, name: str) -> Outcome:
        """What became of the files of a reader (of which those before a crash are not counted)."""
        file = self.folder / f"{name}.json"
        return Outcome(**json.loads(file.read_text())) if file.is_file() else Outcome()

    def _collect(self) -> None:
        file = self.folder / "findings.txt"
        lines = file.read_text().splitlines() if file.is_file() else []
        self.findings += [Finding(*json.loads(line)) for line in lines]
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
        name, _, number = self._progress().partition("\n")
        noise = self.folder / "noise.txt"
        said = noise.read_text(errors="replace")[-1500:] if noise.is_file() else ""
        what = "hang" if self.process.exitcode == -9 else f"crash ({self.process.exitcode})"
        self.findings.append(Finding(name, int(number or -1), what, said))
        names = list(self.tasks)
        if name not in names or not number:
            self.tasks = {}
            return
        left = {n: self.tasks[n] for n in names[names.index(name) + 1 :]}
        rest = [n for n in self.tasks[name] if n > int(number)] if number != "-1" else []
        here = {name: self.tasks[name][-len(rest) :]} if rest else {}
        self.tasks = {**here, **left}
        if self.tasks:
            self._start()
