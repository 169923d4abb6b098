"""Ctrl-C, and the signals with which a system takes its machine back.

A handler raises, and a library at work may swallow that (OmegaConf does where it tries whether a text is a
number) or make an error of its own of it (pydantic does). So what was asked is remembered too, and heeded
where a part of the work begins.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# SIGTERM and SIGUSR1 are what SLURM sends before it takes a machine away, SIGUSR2 is submitit's.
SYSTEM_SIGNALS = tuple(getattr(signal, n) for n in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, n))
NOBODY = (signal.SIG_DFL, signal.default_int_handler)

_asked: int | None = None


class Preempted(KeyboardInterrupt):
    """The system wants its machine back."""


@contextmanager
def listening() -> Iterator[None]:
    """Let signals end a command: `Preempted` for the system's, KeyboardInterrupt for Ctrl-C.

    Who has a handler already (submitit), or ignores one (nohup), keeps that.
    """
    global _asked
    _asked = None
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, *SYSTEM_SIGNALS)}
    mine = {number: handler for number, handler in found.items() if handler in NOBODY}
    for number in mine:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in mine.items():
            signal.signal(number, handler)


def asked() -> int | None:
    """The signal that has asked this command to stop; ``None`` where nobody has."""
    return _asked


def heed() -> None:
    """Stop if somebody has asked for it and a library has swallowed that.

    Raises:
        Preempted: The system has asked.
        KeyboardInterrupt: The user has.
    """
    if _asked in SYSTEM_SIGNALS:
        raise Preempted
    if _asked is not None:
        raise KeyboardInterrupt


def _stop(number: int, frame: Any) -> None:
    global _asked
    _asked = number
    heed()
