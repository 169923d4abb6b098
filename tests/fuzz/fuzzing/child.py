"""What a forked process does: show damaged files, one after the other, to a reader."""

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

SECONDS = 10.0  # for one file
OURS = re.compile(r"\.py:\d+: |Traceback")  # in what is printed; decoders written in C may say something, too
MEMORY = 2 * 2**30  # bytes that a reader may ask for beyond what the process has


class Late(BaseException):
    """A file took too long."""


def _late(_: int, __: FrameType | None) -> None:
    raise Late


def work(name: str, numbers: range, place: str, run: str) -> None:
    """Show the files of a reader; write what came of it to ``place``.

    Args:
        name: Of the reader.
        numbers: Of the files.
        run: A finished run, whose files are seeds.
        place: Folder for ``progress`` (the number at hand), ``findings.txt`` and ``result.json``.
    """
    from fuzzing.readers import readers

    folder, reader = Path(place), readers(Path(run))[name]
    noise = os.open(folder / "noise.txt", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(noise, 2)
    os.dup2(noise, 1)
    faulthandler.disable()
    logging.getLogger().handlers = [logging.NullHandler()]
    warnings.filterwarnings("default", append=True)
    signal.signal(signal.SIGALRM, _late)
    with tempfile.TemporaryDirectory(dir=folder) as home:
        read = reader.prepare(Path(home))
        read(reader.seeds[0])  # imports what it needs
        _bound_memory()
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        result: dict[str, Any] = {"used": 0, "refused": 0}
        for number in numbers:
            (folder / "progress").write_text(str(number))
            finding = _show(reader, read, number, result, noise)
            if finding:
                with (folder / "findings.txt").open("a") as file:
                    file.write(json.dumps([number, *finding]) + "\n")
            if number % 500 == 0:
                gc.collect()
        result["seconds"] = time.perf_counter() - start
        result["memory"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    (folder / "result.json").write_text(json.dumps(result))


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)


def _show(reader: Any, read: Any, number: int, result: dict[str, Any], noise: int) -> tuple[str, str] | None:
    """What is wrong with how a reader takes a file: in short, and where; nothing where all is well."""
    from segkit.cli import explain
    from segkit.error import visible

    data = reader.case(number)
    os.ftruncate(noise, 0)
    os.lseek(noise, 0, os.SEEK_SET)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
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
        signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stderr.flush()
    said = os.pread(noise, 2000, 0).decode("utf-8", "replace")
    return ("warning", said[:600]) if OURS.search(said) else None
