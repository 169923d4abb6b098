"""Runs that are read from a PNG without decoding it are those of the decoded pixels."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segkit.data import png
from segkit.data.component import find_runs
from segkit.data.png import LARGE, SOME, is_grey_png, stored_runs

MASKS = st.tuples(st.integers(1, 20), st.integers(1, 20)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 7, 255]) | st.integers(0, 255))
)


@pytest.fixture
def any_size(monkeypatch):
    monkeypatch.setattr(png, "LARGE", 1)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))


def written(mask, filters, *, bits=8, interlaced=0, packed=None, more=b""):
    """A PNG whose rows have these filters: 0, nothing, or 1, differences to the left."""
    left = np.pad(mask, ((0, 0), (1, 0)))[:, :-1]
    rows = [
        bytes([f]) + (row - other * f).tobytes() for f, row, other in zip(filters, mask, left, strict=True)
    ]
    packed = zlib.compress(b"".join(rows)) if packed is None else packed
    header = struct.pack(">IIBBBBB", mask.shape[1], mask.shape[0], bits, 0, 0, 0, interlaced)
    halves = packed[: len(packed) // 2], packed[len(packed) // 2 :]
    data = [chunk(b"IHDR", header), more, *(chunk(b"IDAT", half) for half in halves), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(data)


def same(found, mask):
    assert found is not None
    expected = find_runs(mask)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)
    assert found.start.dtype == expected.start.dtype
    assert found.value.dtype == mask.dtype


@settings(max_examples=300, deadline=None, database=None)
@given(MASKS)
def test_runs_are_those_of_the_decoded_pixels(mask):
    data = written(mask, [1] * len(mask))
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "LARGE", 1)
        same(stored_runs(data), mask)


@pytest.mark.parametrize("shape", [(1024, 2048), (1, LARGE)])
def test_what_opencv_writes_is_read_so(shape):
    mask = np.random.default_rng(0).integers(0, 3, (shape[0], -(-shape[1] // 50)), np.uint8)
    mask = mask.repeat(50, axis=1)[:, : shape[1]]
    same(stored_runs(cv2.imencode(".png", mask)[1].tobytes()), mask)


def test_small_masks_are_left_to_the_decoder():
    mask = np.zeros((100, 100), np.uint8)
    assert stored_runs(cv2.imencode(".png", mask)[1].tobytes()) is None


MASK = np.arange(200, dtype=np.uint8).reshape(20, 10) // 3
ALL = [1] * 20
ROWS = b"".join(b"\1" + bytes(10) for _ in MASK)
OTHERS = {
    "another filter at once": written(MASK, [0] * 20),
    "another filter later": written(MASK, ALL[: SOME + 1] + [0] * (19 - SOME)),
    "16 bits": written(MASK, ALL, bits=16),
    "interlaced": written(MASK, ALL, interlaced=1),
    "a transparent value": written(MASK, ALL, more=chunk(b"tRNS", b"\0\1")),
    "cut": written(MASK, ALL, packed=zlib.compress(ROWS)[:-1]),
    "another sum": written(MASK, ALL, packed=zlib.compress(ROWS)[:-1] + b"?"),
    "a row too few": written(MASK, ALL, packed=zlib.compress(ROWS[:-11])),
    "a row too many": written(MASK, ALL, packed=zlib.compress(ROWS + ROWS[:11])),
    "not packed": written(MASK, ALL, packed=ROWS),
    "nothing": written(MASK, ALL, packed=b""),
    "a JPEG": cv2.imencode(".jpg", MASK)[1].tobytes(),
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_everything_else_is_left_to_the_decoder(data, any_size):
    assert stored_runs(data) is None


def test_what_unpacks_without_end_is_not_unpacked(any_size):
    endless = zlib.compress(b"\1" + bytes(2**28), 9)
    data = written(MASK, ALL, packed=endless)
    tracemalloc.start()
    try:
        assert stored_runs(data) is None
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [chunk(b"tEXt", b"Software\0me"), chunk(b"pHYs", bytes(9)), b""])
def test_a_grey_png_may_say_who_wrote_it(text):
    assert is_grey_png(written(MASK, ALL, more=text))


MORE = [chunk(b"zTXt", b"Raw profile type exif\0\0x"), chunk(b"eXIf", b"II*\0"), chunk(b"acTL", bytes(8))]


@pytest.mark.parametrize("more", MORE)
def test_a_png_with_more_than_its_pixels_is_no_plain_one(more):
    assert not is_grey_png(written(MASK, ALL, more=more))
