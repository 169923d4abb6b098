"""Work on many samples at once, on threads or in processes, with a bar that shows how far it is."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import numpy as np

from segkit.data.read import image_size
from segkit.data.source import FileSource
from segkit.types import Sample, Source, UserError

log = logging.getLogger(__name__)

T = TypeVar("T")
Task = Callable[[Any, Sequence[Any]], T]  # (what all share, some items) -> result

GENERATED = (512, 1024)  # painting costs about as much as decoding so much
CHUNK = 64  # items at most that go to a worker at once

_given: tuple[Task[Any], Any] | None = None  # in a worker process: what it was started with


def cpus() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pixels(source: Source, samples: Sequence[Sample]) -> int:
    """About how many pixels samples have: as many as if all were like the first."""
    if not samples:
        return 0
    try:
        height, width = image_size(samples[0].image) if isinstance(source, FileSource) else GENERATED
    except UserError:
        height, width = GENERATED
    return len(samples) * height * width


def in_chunks(
    task: Task[T], shared: Any, items: Sequence[Any], workers: int, processes: bool, progress: str = ""
) -> Iterator[T]:
    """Give chunks of items to workers.

    Args:
        task: A function of a module; with threads it should leave the interpreter often.
        shared: What every call gets; a process gets it once.
        items: The work.
        workers: How many work at once.
        processes: Worker processes in place of threads; where that is impossible
            (what is shared cannot be pickled, no memory for more processes), threads.
        progress: What the bar on standard error is called; empty for no bar.

    Yields:
        The result of each chunk, in the order of the items.
    """
    chunks = _chunks(items, workers)
    bar = _bar(len(items), progress)
    _keep_memory()
    done = 0
    try:
        for result in _results(task, shared, chunks, workers, processes):
            bar.update(len(chunks[done])) if bar else None
            done += 1
            yield result
    finally:
        bar.close() if bar else None


def _chunks(items: Sequence[Any], workers: int) -> list[Sequence[Any]]:
    """Smaller and smaller ones: little to do for each chunk, and no worker waits long for the last one.

    Polychronopoulos and Kuck, "Guided self-scheduling", IEEE Transactions on Computers, 1987.
    """
    chunks: list[Sequence[Any]] = []
    begin = 0
    while begin < len(items):
        size = min(CHUNK, max(1, (len(items) - begin) // (workers * 2)))
        chunks.append(items[begin : begin + size])
        begin += size
    return chunks


def _keep_memory() -> None:
    """Let glibc keep freed memory: giving every picture's pages back costs a quarter of the time.

    The size of the largest block that was freed becomes its threshold for doing so
    (mallopt(3), M_MMAP_THRESHOLD).
    """
    np.empty(2**24, np.uint8)  # never touched, so that it costs nothing


def _results(
    task: Task[T], shared: Any, chunks: list[Sequence[Any]], workers: int, processes: bool
) -> Iterator[T]:
    done = 0
    if processes and workers > 1 and (given := _pickled(task, shared)):
        context = _context(task)
        pool = ProcessPoolExecutor(workers, context, initializer=_receive, initargs=(given,))
        try:
            for result in _map(pool, _work, chunks):
                yield result
                done += 1
            return
        except BrokenProcessPool:  # killed, or a main module that cannot be imported: go on without
            log.warning("a worker process died (short of memory, or a crash): going on without more")
    if workers == 1:
        yield from (task(shared, chunk) for chunk in chunks[done:])
    else:
        yield from _map(ThreadPoolExecutor(workers), lambda chunk: task(shared, chunk), chunks[done:])


def _map(pool: Executor, work: Callable[[Any], T], chunks: Sequence[Any]) -> Iterator[T]:
    try:
        yield from pool.map(work, chunks)
    finally:
        pool.shutdown(cancel_futures=True)


def _context(task: Task[Any]) -> Any:
    """Never fork: a fork of a process with threads (torch, OpenCV) can hang."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([task.__module__])  # imported once for all workers
    return context


def _pickled(task: Task[Any], shared: Any) -> bytes:
    try:
        return pickle.dumps((task, shared))
    except Exception:  # pickling runs the code of whatever is shared
        return b""


def _receive(given: bytes) -> None:
    global _given
    import cv2

    _keep_memory()
    cv2.setNumThreads(1)  # one process per processor is enough
    _given = pickle.loads(given)  # from the process that started this one


def _work(chunk: Sequence[Any]) -> Any:
    assert _given is not None
    task, shared = _given
    return task(shared, chunk)


def _bar(total: int, name: str) -> Any:
    if not name or not total:
        return None
    from tqdm import tqdm

    return tqdm(total=total, desc=name, unit=" samples", file=sys.stderr, dynamic_ncols=True)
