"""Work on many samples at once goes on when a worker dies."""

from __future__ import annotations

import logging
import os
import signal

from segkit.data.parallel import in_chunks


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
