"""The directories of a TIFF: how many pages, how large, and whether what they point at is there.

Layout: TIFF 6.0 (Adobe 1992), and BigTIFF, which has offsets of 64 bits.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WIDTH, HEIGHT, ORIENTATION = 256, 257, 274
PIECES = ((273, 279), (324, 325))  # where strips or tiles begin, and how many bytes each has
WANTED = {WIDTH, HEIGHT, ORIENTATION, *(tag for pair in PIECES for tag in pair)}
NUMBERS = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}  # type in the file -> numpy's
MANY = 10_000  # pages are not counted any further


class Directory(NamedTuple):
    """What is looked at in a TIFF.

    Attributes:
        width: Of the first page; 0 where the file does not say.
        height: The same.
        orientation: 1..8.
        pages: How many there are, at most `MANY`.
        fault: Why it cannot be whole; empty where it may be.
    """

    width: int = 0
    height: int = 0
    orientation: int = 1
    pages: int = 0
    fault: str = ""


def read_directory(data: bytes) -> Directory:
    """Follow the directories of a TIFF from the first to the last.

    Args:
        data: A whole file that begins with one of `TIFF`.
    """
    big = data[2:4] in (b"+\0", b"\0+")
    form = _Form("<" if data[:1] == b"I" else ">", big)
    try:
        position = form.first(data)
        tags = form.tags(data, position)
        seen = {position}
        while (position := form.following(data, position)) and len(seen) < MANY:
            if position in seen:
                return Directory(pages=len(seen), fault="its pages refer to each other in a circle")
            seen.add(position)
    except (struct.error, ValueError, OverflowError):
        return Directory(fault="it is truncated")
    width, height, turn = (_first(tags, tag) for tag in (WIDTH, HEIGHT, ORIENTATION))
    turn = turn if 1 <= turn <= 8 else 1
    return Directory(width, height, turn, len(seen), _pieces_fault(tags, len(data)))


def _first(tags: dict[int, NDArray[Any]], tag: int) -> int:
    values = tags.get(tag)
    return int(values[0]) if values is not None and len(values) else 0


def _pieces_fault(tags: dict[int, NDArray[Any]], size: int) -> str:
    """Say whether strips or tiles lie outside the file: some decoders leave their pixels black."""
    for starts, lengths in PIECES:
        if starts not in tags or lengths not in tags:
            continue
        begin, length = tags[starts].astype(np.float64), tags[lengths].astype(np.float64)
        if len(begin) != len(length) or not len(begin):
            return "its directory is damaged"
        if (begin + length).max() > size:
            return "it is truncated"
    return ""


class _Form:
    """How numbers are written in this file."""

    def __init__(self, order: str, big: bool) -> None:
        self.order, self.big = order, big
        self.head, self.entry, self.link = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")

    def _unpack(self, form: str, data: bytes, position: int) -> Any:
        return struct.unpack_from(self.order + form, data, position)

    def first(self, data: bytes) -> int:
        return int(self._unpack(self.link, data, 8 if self.big else 4)[0])

    def _entries(self, data: bytes, position: int) -> tuple[int, int, int]:
        """Number of entries, where they begin, and the size of one."""
        (count,) = self._unpack(self.head, data, position)
        return count, position + struct.calcsize(f"={self.head}"), struct.calcsize(f"={self.entry}")

    def following(self, data: bytes, position: int) -> int:
        """Where the next directory lies; 0 behind the last one."""
        count, begin, size = self._entries(data, position)
        return int(self._unpack(self.link, data, begin + count * size)[0])

    def tags(self, data: bytes, position: int) -> dict[int, NDArray[Any]]:
        """Values of the tags that are wanted."""
        count, begin, size = self._entries(data, position)
        found: dict[int, NDArray[Any]] = {}
        if begin + count * size > len(data):
            raise ValueError("the directory is not whole")
        for place in range(begin, begin + count * size, size):
            tag, kind, number, value = self._unpack(self.entry, data, place)
            if tag not in WANTED or kind not in NUMBERS:
                continue
            dtype = np.dtype(self.order + NUMBERS[kind])
            source, start = value, 0
            if number * dtype.itemsize > len(value):
                source, start = data, int(struct.unpack(self.order + self.link, value)[0])
            found[tag] = np.frombuffer(source, dtype, number, start)  # ValueError: too short
        return found
