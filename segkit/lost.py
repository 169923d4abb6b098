"""Files that could not be written while training went on: said once per kind, and again at the end."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

# Without these a run is not what was asked for; the others are views of what they hold.
MEASURED = "metrics.json, counts.npz and their plots"
NEEDED = ("last.ckpt", "best.ckpt", "metrics.csv", MEASURED)
_lost: dict[str, str] = {}


def begin() -> None:
    """Forget what a run before in this process has lost."""
    _lost.clear()


def lost() -> dict[str, str]:
    """What is missing on disk now: kind of file -> why."""
    return dict(_lost)


def lose(kind: str, error: BaseException) -> None:
    """Note that a file of this kind could not be written; say so if it is the first of its kind."""
    known, _lost[kind] = kind in _lost, reason(error)
    if not known:
        log.warning("%s: not written (%s); the run goes on", kind, _lost[kind])


def regain(kind: str) -> None:
    """Note that what was lost of this kind is on disk now."""
    if _lost.pop(kind, None) is not None:
        log.warning("%s: written again", kind)


@contextmanager
def spared(kind: str) -> Iterator[None]:
    """Go on where the disk is full or gone: a file of this kind is missing then, and nothing else.

    Errors that have another reason pass through.
    """
    try:
        yield
    except Exception as error:
        if system_error(error) is None:
            raise
        lose(kind, error)
    else:
        regain(kind)


def system_error(error: BaseException | None) -> OSError | None:
    """The refusal of the operating system behind an error, if there is one."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        error = error.__cause__
    return None


def reason(error: BaseException) -> str:
    """Why, in the words of the system."""
    found = system_error(error)
    if found is None:
        return str(error)
    return "no space left on device" if found.errno == errno.ENOSPC else str(found.strerror or found)


class RunLog(logging.FileHandler):
    """The log in the run folder, without which a run goes on."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say once what is wrong, on the screen."""
        error = sys.exception()
        if system_error(error) is None:
            super().handleError(record)
        else:
            lose(Path(self.baseFilename).name, error or OSError())
