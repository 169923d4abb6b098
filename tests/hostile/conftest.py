"""What a stranger's file must not do, watched while it is read."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

STARTS = {
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "pty.spawn",
}
CHANGES = {
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
    "os.chmod",
}
IGNORED = ("/dev/", "/proc/", "__pycache__")  # what Python itself writes


class Watch:
    """Records processes that are started, and files that are changed outside some folders."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] | None = None  # None: not watching
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.allowed is None:
            return
        if event in STARTS:
            if "git" not in str(arguments[0]):  # the run card asks it for the state of the source
                self.seen.append(f"{event} {arguments[:2]}")
        elif event == "open" and isinstance(arguments[0], str | bytes):
            if isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.change("open", arguments[0])
        elif event in CHANGES and isinstance(arguments[0], str | bytes | os.PathLike):
            self.change(event, arguments[0])

    def change(self, event: str, path) -> None:
        before, self.allowed = self.allowed, None
        text = os.fsdecode(path)
        place = Path(text)  # a link is opened where it leads, and removed where it lies
        real = os.path.realpath(text) if event == "open" else f"{os.path.realpath(place.parent)}/{place.name}"
        if not real.startswith(before) and not any(part in real for part in IGNORED):
            self.seen.append(f"{event} {real}")
        self.allowed = before


WATCH = Watch()
sys.addaudithook(WATCH)  # cannot be taken back: it does nothing unless it watches


@pytest.fixture
def watched():
    """``with watched(folder):`` nothing may be started, and nothing written outside the folder."""

    @contextlib.contextmanager
    def watch(*folders: Path) -> Iterator[None]:
        WATCH.seen.clear()
        kept = (*map(os.path.realpath, folders), os.environ["SEGKIT_CACHE"])
        WATCH.allowed = tuple(str(k) for k in kept)
        try:
            yield
        finally:
            WATCH.allowed = None
        assert WATCH.seen == []

    return watch


@pytest.fixture(scope="session")
def honest(finished):
    """``honest()``: the content of a good checkpoint, anew each time."""
    return lambda: torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
