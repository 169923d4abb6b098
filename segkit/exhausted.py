"""What a machine says that has run out of something, or has lost a process -> one line.

Libraries say it in many words and at any place, so it is known by its text.
"""

from __future__ import annotations

import errno
import os
import re

from segkit.error import LOOK

DEATH = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: ([\w ]+)|exited unexpectedly)"
)
SHARED = re.compile(
    r"unable to (?:open|allocate|mmap|write|resize)\b.*(?:shared memory|shm|torch_)|shared memory object"
)
FILES = re.compile(r"too many open files|received 0 items of ancdata", re.IGNORECASE)
MEMORY = re.compile(
    r"can(?:no|')t allocate memory|unable to allocate|out of memory|insufficient memory", re.IGNORECASE
)

NO_FILES = "too many open files: allow more with `ulimit -n 65536`, or set data.num_workers=0"
NO_SHARED = (
    "there is no room left in /dev/shm, through which loader processes hand over pictures: enlarge it "
    "(docker run --shm-size=8g), or set data.num_workers=0"
)
NO_MEMORY = (
    "the machine has no memory left: try a smaller data.batch_size (trainer.accumulate_grad_batches "
    "makes up for it), a smaller data.size, or fewer data.num_workers"
)

SHARED_MEMORY, ROOM = "/dev/shm", 2**16  # where it is on Linux; bytes below which it is full

# Process number of each loader process -> the part that it reads.
LOADERS: dict[int, str] = {}


def explain_exhausted(error: BaseException) -> str | None:
    """Return one line that says what ran out and what to do; ``None`` for any other error."""
    text = " ".join(str(error).split())
    if death := DEATH.search(text):
        return _death(death[1], death[2] or "")
    if FILES.search(text) or getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
        return NO_FILES
    if SHARED.search(text) or (getattr(error, "errno", None) == errno.ENOSPC and _no_shared_room()):
        return NO_SHARED
    if isinstance(error, MemoryError) or MEMORY.search(text):
        return NO_MEMORY
    return None


def _no_shared_room() -> bool:
    """Whether what is full is the shared memory: a semaphore that finds no room there names no file."""
    try:
        state = os.statvfs(SHARED_MEMORY)
    except (OSError, AttributeError):  # no such place, or Windows
        return False
    return state.f_bavail * state.f_frsize < ROOM


def _death(numbers: str, signal: str) -> str:
    parts = {LOADERS.get(int(number), "") for number in re.findall(r"\d+", numbers)} - {""}
    who = f"a loader process of the {' and '.join(sorted(parts))} part" if parts else "a loader process"
    if signal.startswith("Bus error"):
        return f"{who} was killed: {NO_SHARED}"
    if not signal:  # torch did not see how
        return (
            f"{who} died, because the machine ran short of memory or the decoder of a picture crashed: set "
            f"data.num_workers=0, or a smaller data.batch_size; `{LOOK}` looks at every file"
        )
    if signal in ("Killed", "Terminated"):
        return (
            f"{who} was killed, probably because the machine ran short of memory: set data.num_workers=0, or "
            "fewer than now, or a smaller data.batch_size"
        )
    return (
        f"{who} crashed ({signal}), in the decoder of a picture or for want of memory: set "
        f"data.num_workers=0; `{LOOK}` looks at every file"
    )
