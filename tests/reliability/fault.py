"""What can go wrong, put into the process of a training before it begins (see child.py)."""

import contextlib
import errno
import fnmatch
import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch

from segkit.module import SegmentationModule

EPOCH = [0]


def _know_the_epoch():
    def on_train_epoch_start(self):
        EPOCH[0] = self.current_epoch

    SegmentationModule.on_train_epoch_start = on_train_epoch_start


def poison(what, sample, epochs, above=-1):
    """Make loss, gradient or picture of a micro-batch no number: that with the sample, or every one."""
    step = SegmentationModule.training_step

    def training_step(self, batch, batch_idx):
        hit = self.current_epoch in epochs and self.trainer.global_step > above
        if not hit or (sample is not None and sample not in batch.names):
            return step(self, batch, batch_idx)
        if what == "picture":  # goes through all layers, and into the statistics of batch norm
            return step(self, batch._replace(image=batch.image.float() * torch.nan), batch_idx)
        loss = step(self, batch, batch_idx)
        if what == "loss":
            self.shares[-1] = self.shares[-1] * torch.nan
            return loss * torch.nan
        weight = next(self.net.parameters())
        return loss + (weight.sum() * 0).sqrt()  # 0, whose slope is 0 times infinity

    SegmentationModule.training_step = training_step


class _Full:
    """A file on a full disk: half of what is written to it fits, and then nothing."""

    def __init__(self, file):
        self.file, self.full = file, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        if not self.full:
            self.full = True
            written = self.file.write(content[: len(content) // 2])
            if isinstance(self.file, io.RawIOBase):
                return written
        raise OSError(errno.ENOSPC, "No space left on device")


def full_disk(names, first, last):
    """Refuse to write files of these names from one epoch to another."""
    _know_the_epoch()
    before = Path.open

    def path_open(self, mode="r", *args, **kwargs):
        file = before(self, mode, *args, **kwargs)
        wanted = any(fnmatch.fnmatch(self.as_posix(), f"*{name}*") for name in names)
        refused = wanted and set(mode) & set("wax") and first <= EPOCH[0] <= last
        return _Full(file) if refused else file

    Path.open = path_open


def fill_disk(folder, first, last):
    """Take all room on a small disk from one epoch to another."""
    filler = Path(folder) / "filler"

    def on_train_epoch_start(self):
        if first <= self.current_epoch <= last and not filler.exists():
            with filler.open("wb", buffering=0) as file:
                for size in (65536, 4096, 1):
                    try:
                        while file.write(bytes(size)) == size:
                            pass
                    except OSError:
                        pass
        elif self.current_epoch > last:
            filler.unlink(missing_ok=True)

    SegmentationModule.on_train_epoch_start = on_train_epoch_start


def die_at(call, number, after=False):
    """Kill this process, as ``kill -9`` does, at the n-th call of a function, before or after it."""
    owner, name = _find(call)
    function, count = getattr(owner, name), [0]

    def dying(*args, **kwargs):
        count[0] += 1
        if count[0] == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        if count[0] == number and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def _find(call):
    """``module:Class.name`` -> object and name."""
    module, _, path = call.partition(":")
    owner = __import__(module, fromlist=["_"])
    *parts, name = path.split(".")
    for part in parts:
        owner = getattr(owner, part)
    return owner, name


def clock_back(seconds, every):
    """Let the clock on the wall jump back at every so many looks at it."""
    now, looks = time.time, [0]

    def jumping():
        looks[0] += 1
        return now() - seconds * (looks[0] // every)

    time.time = jumping


def without(package):
    """A package that cannot be imported."""
    for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
        del sys.modules[name]
    sys.modules[package] = None


def record_syncs(folder, shadow):
    """Note what the disk is told to keep: contents of files and names in folders.

    ``shadow`` gets a copy of the content of each file (called after its number on the disk) and a
    list of the names in each folder, as they were when ``fsync`` was called for them; what is there
    at the beginning counts as synced.
    """
    shadow, root, fsync = Path(shadow), Path(folder).resolve(), os.fsync
    shadow.mkdir(exist_ok=True)

    def recording(handle):
        fsync(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.is_relative_to(root):
            note(path)

    def note(path):
        if path.is_dir():
            names = {e.name: [e.inode(), e.is_dir()] for e in os.scandir(path)}
            _put(shadow / f"names-{path.stat().st_ino}.json", json.dumps(names).encode())
        else:
            inode = path.stat().st_ino
            hold = shadow / f"hold-{inode}"  # a second name: the number is not given to another file
            if not hold.exists():
                os.link(path, hold)
            _put(shadow / f"content-{inode}", path.read_bytes())

    for path in (root, *root.rglob("*")):
        note(path)
    (shadow / "ready").touch()
    os.fsync = recording


def _put(path, content):
    spare = path.with_suffix(".new")
    with open(spare, "wb") as file:  # noqa: PTH123  # not Path.open, which faults replace
        file.write(content)
    os.rename(spare, path)  # noqa: PTH104


def pause_at(call, number, mark):
    """Stand still at the n-th call of a function until this process is killed."""
    owner, name = _find(call)
    function, count = getattr(owner, name), [0]

    def pausing(*args, **kwargs):
        count[0] += 1
        if count[0] == number:
            Path(mark).touch()
            while True:
                signal.pause()
        return function(*args, **kwargs)

    setattr(owner, name, pausing)


def swallow(place):
    """Let SIGTERM come where a library takes the exception for something else, and goes on."""
    import hydra.core.utils

    owner, name = {
        "record": (hydra.core.utils, "_save_config"),
        "begin": (SegmentationModule, "configure_optimizers"),
    }[place]
    before = getattr(owner, name)

    def instead(*args, **kwargs):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        return before(*args, **kwargs)

    setattr(owner, name, instead)
