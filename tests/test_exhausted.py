"""A machine that has run out of something says so in one line."""

from __future__ import annotations

import errno
import re

import pytest

import segkit.data.file as file_module
from segkit.cli import explain
from segkit.data.file import PAUSES, read_bytes
from segkit.error import ShortOfResources, UserError
from segkit.exhausted import LOADERS, explain_exhausted

DEAD = "DataLoader worker (pid 7) is killed by signal: "


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError(f"{DEAD}Killed. "), "of the validation part was"),
        (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), "decoder"),
        (RuntimeError(f"{DEAD}Segmentation fault. "), "crashed (Segmentation fault)"),
        (RuntimeError(f"{DEAD}Bus error. It is possible that dataloader's workers are out of"), "/dev/shm"),
        (RuntimeError("unable to open shared memory object </torch_1_2> in read-write mode"), "/dev/shm"),
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space"), "/dev/shm"),
        (RuntimeError("received 0 items of ancdata"), "ulimit -n"),
        (OSError(errno.EMFILE, "Too many open files", "x.png"), "ulimit -n"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory left"),
        (MemoryError(), "memory left"),
    ],
)
def test_what_runs_out_is_named_with_what_to_type(error, words, monkeypatch):
    monkeypatch.setitem(LOADERS, 7, "validation")
    line = explain(error, "evaluate", [])
    assert words in line
    assert re.search(r"data\.\w+", line)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), ValueError("x"), OSError(errno.ENOENT, "x")]
)
def test_other_errors_are_not_explained_away(error):
    assert explain_exhausted(error) is None


def test_a_file_that_a_server_gives_at_the_third_attempt_is_read(tmp_path, monkeypatch):
    path = tmp_path / "x.bin"
    path.write_bytes(b"content")
    asked = stumbling(monkeypatch, errno.ESTALE, times=2)
    assert read_bytes(path) == b"content"
    assert asked == list(PAUSES)


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, UserError), (errno.EMFILE, ShortOfResources)])
def test_attempts_are_bounded_and_no_file_is_blamed_for_the_machine(number, kind, tmp_path, monkeypatch):
    (tmp_path / "x.bin").write_bytes(b"content")
    asked = stumbling(monkeypatch, number, times=99)
    with pytest.raises(UserError) as caught:
        read_bytes(tmp_path / "x.bin")
    assert type(caught.value) is kind
    assert len(asked) <= len(PAUSES)


def stumbling(monkeypatch, number, times):
    """Opening fails so often; the list takes the pauses that are made."""
    asked, true, left = [], file_module._contents, [times]

    def contents(path):
        if left[0]:
            left[0] -= 1
            raise OSError(number, "it stumbles", str(path))
        return true(path)

    monkeypatch.setattr(file_module, "_contents", contents)
    monkeypatch.setattr(file_module.time, "sleep", asked.append)
    return asked
