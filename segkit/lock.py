"""One run at a time in a folder, and never a new one in a folder that holds a run.

Hydra calls `Claim` before it writes its first file. Nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback

from segkit.arguments import rank, requeued
from segkit.cli import one_line
from segkit.error import UserError

log = logging.getLogger(__name__)

NAME = ".lock"
HELD = {errno.EACCES, errno.EAGAIN}
_held: dict[Path, int] = {}  # open files: a lock ends with its process, however that ends


class Claim(Callback):
    """Takes the folders of training runs, in the first of their processes."""

    def on_run_start(self, config: Any, **kwargs: Any) -> None:
        """Take the folder of a single run."""
        self._claim(config, lambda: Path(config.hydra.run.dir))

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        """Take the folder of a sweep, whose jobs have folders of their own in it."""
        self._claim(config, lambda: Path(config.hydra.sweep.dir), "*/checkpoints")

    def on_job_start(self, config: Any, **kwargs: Any) -> None:
        """Take the folder of a job of a sweep; that of a single run is taken already."""
        with one_line("train"):
            if rank() == 0:  # the others share its folder
                lock(Path(config.hydra.runtime.output_dir))

    def on_job_end(self, config: Any, job_return: Any, **kwargs: Any) -> None:
        """Let go of it."""
        release(Path(config.hydra.runtime.output_dir))

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        """Let go of the folder of a sweep."""
        release(Path(config.hydra.sweep.dir))

    def _claim(self, config: Any, find: Callable[[], Path], holds: str = "checkpoints") -> None:
        # Hydra makes a warning of every exception of a callback, but not of an exit.
        with one_line("train"):
            if rank() > 0:  # the others share the folder of the first
                return
            HydraConfig.instance().set_config(config)  # which names of folders may be made of
            folder = find()
            going_on = config.resume is not None or config.ckpt_path == "last" or requeued()
            if not going_on and any(folder.glob(holds)):
                raise UserError(
                    f"{folder} already holds a run; go on with it by resume={folder}, "
                    "or choose another folder with hydra.run.dir=FOLDER (hydra.sweep.dir=FOLDER for a sweep)"
                )
            lock(folder)


def lock(folder: Path) -> None:
    """Take a folder for this process until it ends; make it if there is none.

    Raises:
        UserError: Another process has it.
        OSError: The folder cannot be written to.
    """
    folder = folder.resolve()  # one name, however it is typed
    if folder in _held:
        return
    try:
        import fcntl
    except ImportError:  # Windows
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        # Not lockf, whose locks end when any file of that name is closed in this process.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        who = os.read(file, 200).decode(errors="replace").strip()
        os.close(file)
        if error.errno not in HELD:
            log.warning("%s: this file system has no locks; keep a second run out yourself", folder)
            return
        raise UserError(
            f"{folder}: another run is at work there ({who}); wait until it has ended, "
            "or choose another folder with hydra.run.dir=FOLDER"
        ) from None
    with contextlib.suppress(OSError):  # a full disk: who it is is not said then
        os.truncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    _held[folder] = file


def release(folder: Path) -> None:
    """Let go of a folder, if this process has it."""
    file = _held.pop(folder.resolve(), None)
    if file is not None:
        os.close(file)


def _leave_to_parent() -> None:
    """Let go in a forked child: loader processes may outlive a killed run for a while."""
    while _held:
        os.close(_held.popitem()[1])


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_leave_to_parent)
