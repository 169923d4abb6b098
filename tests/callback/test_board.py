"""TensorBoard's files: in the order of a run's lives, and whole also where the disk was full."""

import errno
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segkit import lost
from segkit.callback.board import Board


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}, purge_orphaned_data=True)
    board.Reload()
    return {t: [(e.step, e.value) for e in board.Scalars(t)] for t in board.Tags()["scalars"]}


def log(run: Path, steps: range, value: float, purge: int | None = None) -> Board:
    board = Board(str(run))
    if purge is not None:
        board.purge_from(purge)
    for step in steps:
        board.log_metrics({"loss": value}, step)
    board.save()
    return board


@pytest.mark.parametrize("jump", [0, -1e6, 1e6])
def test_a_later_life_replaces_what_it_repeats_whatever_the_clock_says(jump, tmp_path, monkeypatch):
    log(tmp_path, range(6), 1.0)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    log(tmp_path, range(3, 8), 2.0, purge=3)
    log(tmp_path, range(5, 9), 3.0, purge=5)
    expected = [(s, 1.0) for s in range(3)] + [(3, 2.0), (4, 2.0)] + [(s, 3.0) for s in range(5, 9)]
    assert scalars(tmp_path)["loss"] == expected


def test_numbers_wait_for_room(tmp_path, monkeypatch, caplog):
    lost.begin()
    board = log(tmp_path, range(3), 1.0)
    before = Path.open

    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "open", full)
    for step in range(3, 9):
        board.log_metrics({"loss": 1.0}, step)
        board.save()
    assert caplog.text.count("TensorBoard: not written (no space left on device)") == 1
    monkeypatch.setattr(Path, "open", before)
    board.finalize("success")
    assert scalars(tmp_path)["loss"] == [(s, 1.0) for s in range(9)]
    assert lost.lost() == {}


def test_what_had_to_be_dropped_is_missing_at_the_end(tmp_path, monkeypatch):
    lost.begin()
    board = log(tmp_path, range(3), 1.0)
    monkeypatch.setattr("segkit.callback.board.ROOM", 10)
    monkeypatch.setattr(board, "save", lambda: lost.lose("TensorBoard", OSError(errno.ENOSPC, "full")))
    for step in range(3, 9):
        board.log_metrics({"loss": 1.0}, step)
    monkeypatch.undo()
    board.save()
    assert 3 <= len(scalars(tmp_path)["loss"]) < 9
    assert lost.lost() == {"TensorBoard": "no space left on device"}
    lost.begin()


def test_pictures_are_shown_as_they_are(tmp_path):
    board = Board(str(tmp_path))
    board.show_image("validation/street/1", np.full((4, 6, 3), 200, np.uint8), 5)
    board.save()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    image = events.Images("validation/street/1")[0]
    assert (image.step, image.height, image.width) == (5, 4, 6)
