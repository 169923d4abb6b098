"""Bytes -> damaged bytes; the same seed gives the same damage."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

Damage = Callable[[random.Random, bytearray], None]

EDGES = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
TOKENS = (
    *(b"", b"\0", b"\xff", b"\r\n", b"\n\n", b"'", b'"', b",", b":", b"- ", b"{", b"}", b"[", b"]", b"&a *a"),
    *(
        b"-1",
        b"0",
        b"1e999",
        b"nan",
        b"NaN",
        b"-inf",
        b"null",
        b"true",
        b"~",
        b"9" * 25,
        b"1.5",
        b"0x10",
        b"_",
    ),
    *(b"..", b"../", b"/", b"\\", b"%s", b"${x}", b"<b>", b"\xef\xbb\xbf", b"\xc3\x28", b"\xed\xa0\x80"),
    *(
        "ü".encode(),
        "\u2028".encode(),
        "\u202e".encode(),
        b"\x1b[31m",
        b" ",
        b"\t",
        b"!!python/name:os.system",
    ),
)


def flip(rng: random.Random, data: bytearray) -> None:
    """Turn some bits round."""
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(rng: random.Random, data: bytearray) -> None:
    """Put bytes over others."""
    at = rng.randrange(len(data))
    some = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", rng.randbytes(4), bytes(16)))
    data[at : at + len(some)] = some


def number(rng: random.Random, data: bytearray) -> None:
    """Put an extreme number where a length, an offset or a count may stand."""
    form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q", "B"))
    size = struct.calcsize(form)
    if len(data) >= size:
        value = rng.choice(EDGES) if rng.random() < 0.8 else rng.randrange(len(data) + 1)
        at = rng.randrange(min(len(data) - size + 1, 128 if rng.random() < 0.5 else len(data)))
        struct.pack_into(form, data, min(at, len(data) - size), value % 2 ** (8 * size))


def cut(rng: random.Random, data: bytearray) -> None:
    """Leave the end away."""
    del data[rng.randrange(len(data)) :]


def remove(rng: random.Random, data: bytearray) -> None:
    """Leave some bytes in the middle away."""
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 2, 4, 13, 64, 512))]


def repeat(rng: random.Random, data: bytearray) -> None:
    """Say something twice."""
    at = rng.randrange(len(data))
    part = data[at : at + rng.choice((1, 4, 12, 30, 100))]
    place = rng.randrange(len(data) + 1)
    data[place:place] = part * rng.choice((1, 1, 2, 20))


def insert(rng: random.Random, data: bytearray) -> None:
    """Put something between."""
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.choice(TOKENS) if rng.random() < 0.7 else rng.randbytes(rng.choice((1, 4, 40)))


def token(rng: random.Random, data: bytearray) -> None:
    """Put a word over what is there."""
    at = rng.randrange(len(data))
    data[at : at + rng.choice((1, 2, 4, 8))] = rng.choice(TOKENS)


def blank(rng: random.Random, data: bytearray) -> None:
    """What a file system leaves after a power cut: zeros."""
    at = rng.randrange(len(data))
    end = len(data) if rng.random() < 0.3 else min(len(data), at + rng.choice((8, 64, 512)))
    data[at:end] = bytes(end - at)


DAMAGES: tuple[Damage, ...] = (
    flip,
    flip,
    overwrite,
    number,
    number,
    cut,
    remove,
    repeat,
    insert,
    token,
    blank,
)


def damage(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, damaged once or several times, now and then joined to another one."""
    data = bytearray(rng.choice(seeds))
    if rng.random() < 0.08:
        other = rng.choice(seeds)
        data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        if data:
            rng.choice(DAMAGES)(rng, data)
    return bytes(data)


def png_with(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Damage inside a PNG's chunks, with checksums that are right: decoders get to see it."""
    data = rng.choice(seeds)
    chunks, position = [], 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    index = rng.randrange(len(chunks))
    kind, body = chunks[index]
    if kind == b"IDAT" and rng.random() < 0.7:
        body = zlib.compress(damage(rng, [zlib.decompress(body)]))
    elif body:
        body = damage(rng, [body])
    chunks[index] = (kind, body)
    if rng.random() < 0.2:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(chunks))
    if rng.random() < 0.1:
        del chunks[rng.randrange(len(chunks))]
    framed = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return data[:8] + b"".join(framed)


def zip_with(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Damage inside the files of an archive, with checksums that are right; records swapped or missing."""
    with zipfile.ZipFile(io.BytesIO(rng.choice(seeds))) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    names = list(kept)
    for _ in range(rng.choice((1, 1, 2))):
        name, other = rng.choice(names), rng.choice(names)
        what = rng.random()
        if what < 0.7:
            kept[name] = damage(rng, [kept.get(name) or b"x"])
        elif what < 0.85:
            kept[name] = kept.get(other, b"")
        else:
            kept.pop(name, None)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, body in kept.items():
            archive.writestr(zipfile.ZipInfo(name), body)
    return content.getvalue()
