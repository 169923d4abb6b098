"""Work on many samples at once goes on when a worker dies."""

from __future__ import annotations

import logging
import os
import signal

import pytest

from segkit.data.parallel import CHUNK, in_chunks


def squares(parent: int, numbers: list[int]) -> list[int]:
    """Squares; the process that is given 7 is killed, unless it is the one that started all."""
    if 7 in numbers and os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return [n * n for n in numbers]


def test_a_worker_process_that_dies_costs_a_line_and_no_result(caplog):
    with caplog.at_level(logging.WARNING):
        found = list(in_chunks(squares, os.getpid(), list(range(20)), 2, processes=True))
    assert [n for chunk in found for n in chunk] == [n * n for n in range(20)]
    assert len(caplog.messages) == 1
    assert "a worker process died" in caplog.text


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("number", [1, 2, 7, 500])
def test_chunks_leave_no_worker_without_work_and_nobody_waiting_at_the_end(number, workers):
    sizes = [len(chunk) for chunk in in_chunks(lambda _, items: items, None, range(number), workers, False)]
    assert sum(sizes) == number
    assert len(sizes) >= min(number, workers)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= CHUNK
    assert sizes[-1] == 1
