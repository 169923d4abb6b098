"""The further processes of a run that trains on several: started, watched, ended together.

Lightning starts them too, but it kills everybody without a word when one has ended, and nobody
when the first has died. Started here, they make Lightning believe that a launcher of the user's
did it (``LOCAL_RANK`` is set), which is the case that it leaves alone.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from segkit.arguments import quoted, rank
from segkit.cli import INTERRUPTED, PREEMPTED, USER_ERROR
from segkit.error import UserError
from segkit.stop import Preempted

FIRST = (
    "SEGKIT_FIRST_PROCESS"  # in the environment of a further process: the number of the one that started it
)
GRACE = 5.0  # seconds to notice by oneself that another process has ended, and to end
LAST = 60.0  # seconds that the others may take to end behind the first


class Processes:
    """The processes of one run; a context around everything in which they talk to each other.

    In the first one it starts the others with the same command and sees to it that they end:
    as the first does, or, where one of them has ended otherwise, all of them. In a further one
    it ends it when the first has died. With a single process, or with processes that somebody
    else has started (torchrun, srun), it does nothing.

    Args:
        trainer: Lightning's Trainer.
        run: The run folder.

    Raises:
        UserError: One of them has died; names it, and how to go on.
    """

    def __init__(self, trainer: Any, run: Path) -> None:
        self.trainer, self.run = trainer, run
        self.others: list[subprocess.Popen[bytes]] = []
        self._over = threading.Event()
        self._environment: dict[str, str | None] = {}

    def __enter__(self) -> Processes:
        """Start the others, and watch them."""
        if self.trainer.world_size == 1:
            if rank() > 0:
                raise UserError(
                    f"this is process {rank()} of several, but trainer.devices=1: give trainer.devices "
                    "their number, or start single runs one by one (SLURM: --ntasks=1)"
                )
            return self
        cluster = self.trainer.strategy.cluster_environment
        try:
            cluster.validate_settings(self.trainer.num_devices, self.trainer.num_nodes)
        except ValueError as error:  # SLURM was asked for another number of tasks
            raise UserError(f"trainer.devices={self.trainer.num_devices}: {error}") from None
        if not cluster.creates_processes_externally:
            self._start(cluster)
            threading.Thread(target=self._watch, daemon=True, name="other-processes").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until the others have ended too; where one has died, say that instead of what it caused."""
        if FIRST in os.environ and isinstance(error, Exception) and not isinstance(error, UserError):
            time.sleep(GRACE)  # another's death has caused it, and the first process ends this one
        if not self.others:
            return
        blame = isinstance(error, Exception) and not isinstance(error, UserError)
        ended = self._first_to_fail(GRACE if blame else 0.0)
        self._over.set()
        self._end(LAST if error is None else GRACE if not isinstance(error, Exception) else 0.0)
        self._restore_environment()
        if ended is not None and (blame or error is None):
            self._raise_for(*ended)

    # ---- beginning ----------------------------------------------------------------------

    def _start(self, cluster: Any) -> None:
        from hydra.utils import get_original_cwd

        size = self.trainer.num_devices * self.trainer.num_nodes
        shared = {
            "MASTER_ADDR": cluster.main_address,
            "MASTER_PORT": str(cluster.main_port),
            "NODE_RANK": str(cluster.node_rank()),
            "WORLD_SIZE": str(size),
            "LOCAL_RANK": "0",
        }
        self._environment = {k: os.environ.get(k) for k in shared}
        os.environ.update(shared)
        typed = [a for a in sys.argv[1:] if not a.startswith("hydra.run.dir=")]
        command = [sys.executable, "-m", "segkit.train", *typed, f"hydra.run.dir={quoted(str(self.run))}"]
        for number in range(1, self.trainer.num_devices):
            environment = {**os.environ, "LOCAL_RANK": str(number), FIRST: str(os.getpid())}
            self.others.append(subprocess.Popen(command, env=environment, cwd=get_original_cwd()))

    def _restore_environment(self) -> None:
        for key, value in self._environment.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value

    # ---- watching -----------------------------------------------------------------------

    def _watch(self) -> None:
        """End this process too if it waits for one that has died (NCCL waits for ever)."""
        while not self._over.wait(0.2):
            ended = self._first_to_fail(0.0)
            if ended is None:
                continue
            if self._over.wait(2 * GRACE):
                return
            self._end(0.0)
            code = _passed_on(ended[1])
            if code is None:
                code = USER_ERROR
                print(f"segkit train: error: {self._death(*ended)}", file=sys.stderr, flush=True)
            os._exit(code)

    def _first_to_fail(self, seconds: float) -> tuple[int, int] | None:
        """Number and exit code of a process that did not end well, if one does within ``seconds``."""
        end = time.monotonic() + seconds
        while True:
            codes = [process.poll() for process in self.others]
            for number, code in enumerate(codes, 1):
                if code:
                    return number, code
            if time.monotonic() >= end:
                return None
            time.sleep(0.05)

    # ---- ending -------------------------------------------------------------------------

    def _end(self, seconds: float) -> None:
        """Wait so long for the others to end; then end them."""
        end = time.monotonic() + seconds
        for process in self.others:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _raise_for(self, number: int, code: int) -> NoReturn:
        passed = _passed_on(code)
        if passed == INTERRUPTED:
            raise KeyboardInterrupt
        if passed == PREEMPTED:
            raise Preempted
        if passed is not None:
            sys.exit(passed)  # it has said why
        raise UserError(self._death(number, code))

    def _death(self, number: int, code: int) -> str:
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"has ended with exit code {code}"
        memory = " (out of memory?)" if code == -signal.SIGKILL else ""
        return (
            f"process {number} of 0 to {len(self.others)} {how}{memory}, and the others with it; "
            f"go on with: python -m segkit.train resume={self.run}"
        )


def follow() -> None:
    """What a further process does first: say nothing twice, and end when the first one has died."""
    if rank() == 0:
        return
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if first := os.environ.get(FIRST):
        threading.Thread(target=_end_with, args=(int(first),), daemon=True, name="first-process").start()


def _end_with(first: int) -> None:
    while os.getppid() == first:
        time.sleep(0.5)
    print(
        "segkit train: error: the first process has died, and the others with it", file=sys.stderr, flush=True
    )
    os._exit(USER_ERROR)


def _passed_on(code: int) -> int | None:
    """An exit code that explains itself: the process has said why it ended."""
    return code if code in (USER_ERROR, INTERRUPTED, PREEMPTED) else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
