"""A power cut loses what the disk was not told to keep; the run goes on to the same bits all the same."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

NAMES = "segkit.files:_sync_folder"
# Calls around the writing of checkpoints and numbers, and which of them the power fails at.
MOMENTS = {
    "segkit.files:write_bytes": (3, 8, 14),
    "os:replace": (3, 14, 30),
    NAMES: (10, 90, 160),
    "os:fsync": (10, 150, 300),
    "os:link": (3, 9, 17),
}
CUTS = 48  # of the soak


class Disk:
    """What a folder looks like when the power comes back.

    The child notes what ``fsync`` was called for (fault.py): contents of files, names in folders.
    Whatever else it has written may be on the disk or not, and a file that was not synced may be
    there in part. ``rng`` decides; without it nothing survives that was not synced.
    """

    def __init__(self, folder: Path, shadow: Path, rng: np.random.Generator | None = None) -> None:
        self.folder, self.shadow, self.rng = folder, shadow, rng

    def cut(self) -> None:
        """Make the folder what is left of it."""
        after = self.folder.with_name("after")
        after.mkdir()
        self._restore(self.folder, self.folder.stat().st_ino, after, synced_folder=True)
        shutil.rmtree(self.folder)
        shutil.rmtree(self.shadow, ignore_errors=True)
        after.rename(self.folder)

    def _lucky(self) -> bool:
        """Whether something that was not synced survives."""
        return self.rng is not None and bool(self.rng.random() < 0.5)

    def _restore(self, now: Path | None, inode: int, to: Path, synced_folder: bool = False) -> None:
        """The names of a folder, each as it was synced or as it is now, and what is behind them."""
        kept = self.shadow / f"names-{inode}.json"
        synced = json.loads(kept.read_text()) if kept.is_file() else {}
        current = {e.name: [e.stat().st_ino, e.is_dir()] for e in now.iterdir()} if now else {}
        for name in sorted({*synced, *current}):
            entry = current.get(name) if self._lucky() else synced.get(name)
            if entry is None:
                continue
            number, is_folder = entry
            there = now / name if now and current.get(name) == entry else None
            if is_folder:
                (to / name).mkdir()
                self._restore(there, number, to / name)
            else:
                (to / name).write_bytes(self._content(there, number))

    def _content(self, there: Path | None, inode: int) -> bytes:
        kept, hold = self.shadow / f"content-{inode}", self.shadow / f"hold-{inode}"
        synced = kept.read_bytes() if kept.is_file() else b""
        source = there if there is not None else hold
        current = source.read_bytes() if source.is_file() else b""
        if not self._lucky():
            return synced
        return current[: int(self.rng.integers(len(synced), len(current) + 1))] if self.rng else current


def cut(start, command: list[str], folder: Path, die: tuple | float, rng=None) -> bool:
    """Run a command until the power fails; return whether it had ended before."""
    work, shadow = folder / "work", folder / "shadow"
    work.mkdir(exist_ok=True)
    record = ("record_syncs", {"folder": str(work), "shadow": str(shadow)})
    if isinstance(die, tuple):
        running = start(command, work, record, die)
    else:
        running = start(command, work, record)
        running.process.join(die)
        running.send(signal.SIGKILL)
    code = running.wait()
    assert code in (0, -9), running.text()
    if code == 0:
        return True
    if (shadow / "ready").is_file():
        Disk(work, shadow, rng).cut()
    else:  # it had not begun
        shutil.rmtree(shadow, ignore_errors=True)
    return False


def go_on(folder: Path, options: list[str]) -> list[str]:
    """The command that a user types next: resume, if the run had begun."""
    if (folder / "work" / "run" / "checkpoints").is_dir():
        return ["resume=run"]
    return [*options, "hydra.run.dir=run", "ckpt_path=last"]


def finish(start, folder: Path, options: list[str]) -> Path:
    resumed = start(go_on(folder, options), folder / "work")
    assert resumed.wait() == 0, resumed.text()
    return folder / "work" / "run"


def test_a_power_cut_between_move_and_sync_of_the_folder_changes_no_bit(
    start, plain, whole, differences, tmp_path
):
    die = ("die_at", {"call": NAMES, "number": 160})
    assert not cut(start, [*plain, "hydra.run.dir=run"], tmp_path, die)
    run = tmp_path / "work" / "run"
    assert (run / "checkpoints" / "last.ckpt").is_file(), "what was synced is there"
    assert not (run / "report.html").exists()
    assert differences(whole, finish(start, tmp_path, plain)) == []


@pytest.mark.soak
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("call", "number"), [(c, n) for c, numbers in MOMENTS.items() for n in numbers])
def test_a_power_cut_around_a_write_changes_no_bit(
    call, after, number, start, plain, whole, differences, tmp_path
):
    die = ("die_at", {"call": call, "number": number, "after": after})
    assert not cut(start, [*plain, "hydra.run.dir=run"], tmp_path, die, np.random.default_rng(number))
    assert differences(whole, finish(start, tmp_path, plain)) == []


@pytest.mark.soak
def test_power_cuts_at_any_moment_change_no_bit(start, plain, whole, differences, tmp_path):
    """Whatever part of what was not synced survives, and also where the power fails again and again."""
    rng, cuts, runs = np.random.default_rng(0), 0, 0
    found: list[str] = []
    while cuts < CUTS:
        folder, runs = tmp_path / str(runs), runs + 1
        (folder / "work").mkdir(parents=True)
        while not cut(start, go_on(folder, plain), folder, float(rng.uniform(0.2, 4)), rng):
            cuts += 1
            if cuts % 4 == 0:
                finish(start, folder, plain)
                break
        found += differences(whole, folder / "work" / "run")
    print(json.dumps({"power cuts": cuts, "runs": runs, "differences": found}))
    assert found == []
