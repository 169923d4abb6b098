"""Whoever asks a command to stop is heard, also where a library swallows it."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from segkit.cli import one_line
from segkit.stop import asked, heed, listening

CODES = [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGUSR2, 75), (signal.SIGINT, 130)]


@pytest.fixture(autouse=True)
def handlers():
    """Those of a process that nobody has touched; pytest's own are back behind the test."""
    before = {number: signal.getsignal(number) for number, _ in CODES}
    for number, _ in CODES:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def swallowed(number):
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), number)
        time.sleep(5)
        pytest.fail("the signal was not heard")


def code_of(number, then):
    """Exit code of a command that gets a signal which is swallowed, and then does something else."""

    def command():
        with one_line("train"), listening():
            swallowed(number)
            then()

    with pytest.raises(SystemExit) as ended:
        command()
    return ended.value.code


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_swallowed_signal_is_heeded_later(number, code, capsys):
    assert code_of(number, heed) == code
    assert capsys.readouterr().err == "segkit train: stopped\n"


@pytest.mark.parametrize(("number", "code"), CODES)
def test_an_error_that_a_library_makes_of_a_signal_is_no_mistake_of_the_users(number, code, capsys):
    assert code_of(number, lambda: int("Error building model validator")) == code
    assert capsys.readouterr().err == "segkit train: stopped\n"


def test_what_one_command_was_asked_is_nothing_to_the_next():
    with listening():
        swallowed(signal.SIGTERM)
        assert asked() == signal.SIGTERM
    with listening():
        assert asked() is None
        heed()


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_who_listens_already_or_ignores_a_signal_keeps_that(handler):
    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)
    with listening():
        assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == handler
        assert signal.getsignal(signal.SIGUSR1) not in (signal.SIG_DFL, handler)
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
