"""Numbers and pictures for TensorBoard, in one file per life of a run."""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger

from segkit.lost import lose, regain

FLUSH_SECONDS = 30.0  # how long a number may wait before it is in the file
ROOM = 64_000_000  # bytes that wait in memory while the disk is full
KIND = "TensorBoard"


class Board(Logger):
    """Writes what ``tensorboard --logdir outputs`` shows.

    Unlike Lightning's logger it writes in the training's own thread, so that a full disk is an
    error that can be dealt with: numbers wait in memory and are written when there is room
    again. Its files sort in the order of the run's lives also when the clock was set back
    between them (readers go by the names).

    Args:
        save_dir: The run folder.
        name: Folder below it.

    Raises:
        ImportError: There is no TensorBoard, or a broken one.
    """

    def __init__(self, save_dir: str, name: str = "tensorboard") -> None:
        super().__init__()
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._session, self._summary, self._writer = Event, SessionLog, Summary, RecordWriter
        self._run, self._name = Path(save_dir), name
        self._waiting, self._dropped = bytearray(), 0
        self._path: Path | None = None
        self._purge_step: int | None = None
        self._flushed, self._latest = 0.0, 0.0

    @property
    def name(self) -> str:
        """Folder below the run folder."""
        return self._name

    @property
    def version(self) -> str:
        """None: a run has a folder of its own."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self._run)

    def purge_from(self, step: int) -> None:
        """Have readers forget what earlier files hold from ``step`` on: the run repeats it."""
        self._purge_step = step

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the configuration is in the run folder."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add scalars."""
        for tag, number in metrics.items():
            value = self._summary.Value(tag=tag, simple_value=float(number))
            self._add(self._event(step=step or 0, summary=self._summary(value=[value])))

    @rank_zero_only
    def show_image(self, tag: str, image: Any, step: int) -> None:
        """Add a picture, uint8 RGB ``[H, W, 3]``."""
        from torch.utils.tensorboard.summary import image as picture

        self._add(self._event(step=step, summary=picture(tag, image, dataformats="HWC")))

    @rank_zero_only
    def save(self) -> None:
        """Write what waits; where the disk is full it goes on waiting."""
        self._flushed = time.monotonic()
        try:
            if self._path is None:
                self._path = self._begin()
            with self._path.open("ab", buffering=0) as file:
                while self._waiting:
                    del self._waiting[: file.write(self._waiting)]
        except OSError as error:
            lose(KIND, error)
        else:
            if not self._dropped:
                regain(KIND)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what waits."""
        if self._waiting:
            self.save()

    def _add(self, event: Any) -> None:
        self._latest = event.wall_time = max(self._latest, time.time())  # never back
        if len(self._waiting) > ROOM or time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.save()
        if len(self._waiting) > ROOM:
            self._dropped += 1
        else:
            self._waiting += self._record(event)

    def _begin(self) -> Path:
        """The file of this life, behind those of earlier ones, and what readers want at its beginning."""
        folder = self._run / self._name
        folder.mkdir(parents=True, exist_ok=True)
        stamps = [f.name.split(".")[3] for f in folder.glob("events.out.tfevents.*")]
        stamp = max([int(time.time()), *(int(s) + 1 for s in stamps if s.isdigit())])
        now = time.time()
        head = [self._event(wall_time=now, file_version="brain.Event:2")]
        if self._purge_step is not None:
            start = self._session(status=self._session.START)
            head.append(self._event(wall_time=now, step=self._purge_step, session_log=start))
        self._waiting[:0] = b"".join(map(self._record, head))
        return folder / f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}.{os.getpid()}"

    def _record(self, event: Any) -> bytes:
        """An event as it stands in a file: length, checksums, bytes."""
        record = io.BytesIO()
        self._writer(record).write(event.SerializeToString())
        return record.getvalue()
