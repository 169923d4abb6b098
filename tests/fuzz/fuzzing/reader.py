"""What is fuzzed: files to begin with, and a call that reads one."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fuzzing.engine import damage

Read = Callable[[bytes], Any]
Make = Callable[[random.Random, Sequence[bytes]], bytes]


class Reader(NamedTuple):
    """A reader of files.

    Attributes:
        name: What it reads.
        seeds: Whole files.
        prepare: Gets an empty folder; returns a function that writes a file there and reads it.
            That raises `UserError`, or returns; what is wrong with what it returns it asserts.
        makers: Ways to make a damaged file of the seeds, chosen in equal shares.
        seldom: One of so many of the files that are asked for is shown: some take long.
        slow: Fewer of its files are shown in every run of the tests.
    """

    name: str
    seeds: Sequence[bytes]
    prepare: Callable[[Path], Read]
    makers: tuple[Make, ...] = (damage,)
    seldom: int = 1
    slow: bool = False

    def case(self, number: int) -> bytes:
        """The damaged file of a number."""
        rng = random.Random(f"{self.name} {number}")
        return rng.choice(self.makers)(rng, self.seeds)
