"""What a forked process does: show damaged files, one after the other, to their readers."""

from __future__ import annotations

import faulthandler
import gc
import json
import logging
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS = 10.0  # of a processor, for one file
WAITING = 60.0  # on the clock: another program may need the processor
MEMORY = 2 * 2**30  # bytes that a reader may ask for beyond what the process has
OURS = re.compile(r"\.py:\d+: |Traceback")  # in what is printed; decoders written in C may say something, too


class Late(BaseException):
    """A file took too long."""


def _late(_: int, __: FrameType | None) -> None:
    raise Late


def work(tasks: dict[str, range], place: str, run: str) -> None:
    """Show files to readers; write what came of it to ``place``.

    Args:
        tasks: Name of a reader -> numbers of its files.
        place: Folder for ``progress`` (the file at hand), ``findings.txt`` and ``NAME.json``.
        run: A finished run, whose files are seeds.
    """
    from fuzzing.readers import readers

    folder, known = Path(place), readers(Path(run))
    noise = os.open(folder / "noise.txt", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(noise, 2)
    os.dup2(noise, 1)
    faulthandler.disable()
    logging.getLogger().handlers = [logging.NullHandler()]
    warnings.filterwarnings("default", append=True)
    signal.signal(signal.SIGALRM, _late)
    signal.signal(signal.SIGPROF, _late)
    _bound_memory()
    for name, numbers in tasks.items():
        with tempfile.TemporaryDirectory(dir=folder) as home:
            _show_all(known[name], numbers, Path(home), folder, noise)


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)


def _show_all(reader: Any, numbers: range, home: Path, folder: Path, noise: int) -> None:
    (folder / "progress").write_text(f"{reader.name}\n-1")
    read = reader.prepare(home)
    read(reader.seeds[0])  # imports what it needs; a whole file is read
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    result = {"used": 0, "refused": 0}
    for number in numbers:
        (folder / "progress").write_text(f"{reader.name}\n{number}")
        if finding := _show(reader, read, number, result, noise):
            with (folder / "findings.txt").open("a") as file:
                file.write(json.dumps([reader.name, number, *finding]) + "\n")
        if number % 500 == 0:
            gc.collect()
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    result |= {"seconds": time.process_time() - start, "memory": memory}  # type: ignore[dict-item]
    (folder / f"{reader.name}.json").write_text(json.dumps(result))


def _show(reader: Any, read: Any, number: int, result: dict[str, int], noise: int) -> tuple[str, str] | None:
    """What is wrong with how a reader takes a file: in short, and where; nothing where all is well."""
    from segkit.cli import explain
    from segkit.error import visible

    data = reader.case(number)
    os.ftruncate(noise, 0)
    os.lseek(noise, 0, os.SEEK_SET)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING)
    try:
        read(data)
        result["used"] += 1
    except Late:
        return "hang", traceback.format_exc()[-600:]
    except Exception as error:
        text = explain(error, "train", [])
        if text is not None:
            result["refused"] += 1
            fine = text.strip() and text == visible(text) and len(text) < 4000
            return None if fine else ("message", text[:300])
        frames = traceback.extract_tb(error.__traceback__)
        own = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "segkit" in f.filename]
        return f"{type(error).__name__} at {own[-1] if own else '?'}", traceback.format_exc()[-1500:]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stderr.flush()
    said = os.pread(noise, 2000, 0).decode("utf-8", "replace")
    return ("warning", said[:600]) if OURS.search(said) else None
