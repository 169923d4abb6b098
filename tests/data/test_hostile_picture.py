"""Pictures that want to fill the memory, to hang, or to be read as something that they are not."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from segkit.data import limit
from segkit.data.file import FORMATS
from segkit.data.make import make_source
from segkit.data.read import image_size, read_image, read_mask
from segkit.types import UserError

RNG = np.random.default_rng(0)
PICTURE = np.kron(RNG.integers(20, 110, (5, 7, 3)), np.ones((8, 8, 1))).astype(np.uint8)
KINDS = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF", "webp": "WEBP", "bmp": "BMP", "gif": "GIF"}


@pytest.fixture(autouse=True)
def _limit(monkeypatch):
    monkeypatch.setenv(limit.VARIABLE, str(limit.DEFAULT))


def saved(kind, picture=PICTURE, **options):
    content = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(content, kind, **options)
    return content.getvalue()


def refused(tmp_path, data, match, readers=(read_image, read_mask), name="a.png"):
    """Every reader says one line that names the file."""
    path = tmp_path / name
    path.write_bytes(data)
    for read in readers:
        with pytest.raises(UserError, match=match) as caught:
            read(path)
        assert name in str(caught.value)
        assert str(caught.value).isprintable()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, body=b"", bits=8, color=2, before=(), interlace=0):
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlace)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *before]
    return b"".join([*parts, chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")])


def tiff(tags, following=0, order="<"):
    """A TIFF of one directory whose values all fit into their entries."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    entries = b"".join(
        struct.pack(f"{order}HHIHH" if kind == 3 else f"{order}HHII", tag, kind, 1, value, *[0] * (kind == 3))
        for tag, kind, value in tags
    )
    return head + struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", following)


def tiff_of(width, height, bits=8, samples=1, following=0):
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 0)]
    return tiff([*tags, (277, 3, samples), (278, 4, height), (279, 4, 8)], following) + bytes(64)


BOMBS = {
    "png": png(30_000, 30_000),
    "grey png": png(30_000, 30_000, color=0),
    "jpeg": (lambda b: b.replace(b"\x00\x28\x00\x38", struct.pack(">HH", 60_000, 60_000), 1))(
        saved("JPEG")  # 40x56 stands in its frame
    ),
    "tiff": tiff_of(100_000, 100_000),
    "tiff that only OpenCV reads": tiff_of(100_000, 100_000, bits=16, samples=3),
    "webp": (lambda b: b[:24] + struct.pack("<I", 16_382 << 14 | 16_382)[:3] + b[27:])(
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(10)
    ),
    "bmp": (lambda b: b[:18] + struct.pack("<ii", 40_000, 40_000) + b[26:])(saved("BMP")),
    "gif": (lambda b: b[:6] + struct.pack("<HH", 65_000, 65_000) + b[10:])(saved("GIF")),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_by_its_header_and_the_message_names_the_key(tmp_path, kind):
    match = (
        "cannot be read|data.max_pixels"
        if kind == "webp"
        else r"more pixels than data\.max_pixels=\d+ allows"
    )
    refused(tmp_path, BOMBS[kind], match, (read_image, read_mask, image_size))


def test_the_limit_lets_larger_pictures_pass_where_a_user_asks_for_it(tmp_path):
    path = tmp_path / "images" / "a.png"
    path.parent.mkdir()
    path.write_bytes(saved("PNG"))
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(saved("PNG", PICTURE[..., 0] // 64))
    node = {"_target_": "segkit.data.folder.folder", "root": str(tmp_path), "labels": {"names": ["a", "b"]}}
    source = make_source({**node, "max_pixels": PICTURE.shape[0] * PICTURE.shape[1] - 1})
    with pytest.raises(
        UserError, match=r"is 56x40, more pixels than data.max_pixels=2239 allows; raise that"
    ):
        source.read(source.samples[0])
    source = make_source({**node, "max_pixels": 2240})
    np.testing.assert_array_equal(source.read(source.samples[0])[0], PICTURE)
    for value in (0, -1, True, 1.5, "many", 2**40):
        with pytest.raises(UserError, match=r"data.max_pixels=.*: give a whole number from 1 to"):
            make_source({**node, "max_pixels": value})
    assert make_source(node) is not None
    assert limit.max_pixels() == limit.DEFAULT


def test_a_picture_beyond_pillows_own_guard_can_be_allowed(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(saved("PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # refuses from 2000 on
    assert read_image(path).shape == PICTURE.shape
    assert image_size(path) == PICTURE.shape[:2]


def test_the_limit_reaches_worker_processes(tmp_path):
    limit.allow_pixels(1234)
    assert os.environ[limit.VARIABLE] == "1234"  # what every child inherits


@pytest.mark.parametrize(
    ("width", "height"), [(0, 5), (5, 0), (2**31, 2**31), (2**32 - 1, 1), (1, 2**31), (2**21, 1)]
)
def test_absurd_sides_are_refused(tmp_path, width, height):
    for color in (0, 2, 3):
        refused(tmp_path, png(width, height, color=color), "cannot be read|more pixels than|may exceed")
    for bits, samples in ((8, 1), (16, 3), (8, 60_000)):
        file = tiff_of(width, height, bits, samples)
        refused(tmp_path, file, "cannot be read|more pixels than|may exceed", (read_image, read_mask))


@pytest.mark.parametrize("height", [-(2**31), -(2**31) + 1, 2**31 - 1, 0])
def test_a_bmp_of_negative_or_no_height_is_refused(tmp_path, height):
    data = saved("BMP")
    data = data[:18] + struct.pack("<ii", 56, height) + data[26:]
    refused(tmp_path, data, "cannot be read|more pixels than|may exceed")


@pytest.mark.parametrize("samples", [0, 5, 7, 255, 65_535])
def test_channel_counts_that_no_picture_has_are_refused(tmp_path, samples):
    refused(tmp_path, tiff_of(5, 5, 8, samples), "cannot be read", (read_image,))


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6, 0.9, 0.97])
def test_a_cut_file_is_named_whatever_it_is(tmp_path, suffix, part):
    data = saved(KINDS[suffix], Image.fromarray(PICTURE).convert("P") if suffix == "gif" else PICTURE)
    readers = (read_mask,) if suffix == "gif" else (read_image,)
    refused(tmp_path, data[: int(len(data) * part)], "cannot be read", readers, f"a.{suffix}")


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_whose_data_ends_early_is_named_even_where_an_end_mark_follows(tmp_path, mode, subsampling):
    """Decoders fill the rest with grey and say nothing."""
    picture = Image.fromarray(np.tile(PICTURE, (4, 4, 1))).convert(mode)
    data = saved("JPEG", picture, quality=90, subsampling=subsampling)
    path = tmp_path / "whole.jpg"
    path.write_bytes(data)
    whole = read_image(path)
    start = data.index(b"\xff\xda") + 14
    for part in (0.05, 0.5, 0.95):
        cut = data[: int(start + (len(data) - start) * part)].rstrip(b"\xff") + b"\xff\xd9"
        refused(tmp_path, cut, "cannot be read: it is truncated", (read_image,), "a.jpg")
    assert (whole[-1, -1] < 128).all()


def test_a_picture_whose_corner_is_that_grey_is_read(tmp_path):
    path = tmp_path / "a.jpg"
    for value in (63, 64, 127, 128):
        path.write_bytes(saved("JPEG", np.full((40, 56, 3), value, np.uint8)))
        assert np.abs(read_image(path).astype(int) - value).max() <= 1


def test_a_foreign_marker_inside_a_jpeg_is_named(tmp_path):
    data = saved("JPEG", np.tile(PICTURE, (4, 4, 1)), quality=90)
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    for marker in (b"\xff\xc8", b"\xff\xd9\x00\x00", b"\xff\x02", b"\xff\xd8"):
        broken = data[:middle] + marker + data[middle + len(marker) :]
        refused(tmp_path, broken, "cannot be read: it(s contents are| is) (damaged|truncated)", (read_image,))


def test_a_name_does_not_decide_what_a_file_is(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(saved("JPEG", quality=95))
    assert np.abs(read_image(path).astype(int) - PICTURE).max() < 40  # the picture, not noise
    refused(tmp_path, path.read_bytes(), "is a JPEG, which invents values", (read_mask,))
    for text in (b"hello\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"P6 1 1 255 abc", b"\0" * 100):
        refused(tmp_path, text, "it is no picture", (read_image, read_mask, image_size))


def test_no_other_kind_of_file_reaches_a_decoder(tmp_path):
    """Pillow would hand an EPS to Ghostscript, whatever it is called."""
    assert set(FORMATS) == set(KINDS.values())
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) (w) file\n%%EOF\n"
    refused(tmp_path, eps, "it is no picture", (read_image, read_mask, image_size))
    for kind in ("PPM", "TGA", "ICO", "JPEG2000", "PCX", "SGI"):
        refused(tmp_path, saved(kind, PICTURE[:32, :32]), "it is no picture")


def _zipped(kind, name=b"Comment\0"):
    return chunk(kind, name + b"\0" + zlib.compress(bytes(200 * 2**20), 9))


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_text_and_profiles_that_unpack_to_hundreds_of_megabytes_cost_nothing(tmp_path, kind):
    import tracemalloc

    name = b"Comment\0\1\0\0" if kind == b"iTXt" else b"Comment\0"
    body = b"".join(b"\0" + row.tobytes() for row in PICTURE)
    path = tmp_path / "a.png"
    path.write_bytes(png(56, 40, body, before=[_zipped(kind, name)]))
    tracemalloc.start()
    try:
        try:
            np.testing.assert_array_equal(read_image(path), PICTURE)
        except UserError as error:
            assert "cannot be read" in str(error)  # noqa: PT017 - both are right
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("value", [0, 9, 255, 65_535])
def test_an_orientation_out_of_range_means_upright(tmp_path, suffix, value):
    exif = Image.Exif()
    exif[274] = value
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(saved(KINDS[suffix], exif=exif, **({"lossless": True} if suffix == "webp" else {})))
    assert image_size(path) == read_image(path).shape[:2] == PICTURE.shape[:2]


def test_broken_and_huge_exif_data_harm_nothing(tmp_path):
    path = tmp_path / "a.jpg"
    loop = b"Exif\0\0" + tiff([(34665, 4, 8), (274, 3, 6)], following=8)
    for exif in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", loop, b"Exif\0\0" + RNG.bytes(60_000)):
        path.write_bytes(saved("JPEG", exif=exif))
        assert read_image(path).size == PICTURE.size


def test_animations_are_refused_at_once(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), 25 * i, np.uint8)) for i in range(9)]
    gif = saved("GIF", frames[0], save_all=True, append_images=frames[1:])
    last = gif[gif.rindex(b"\x2c\0\0\0\0\4\0\4") : -1]
    refused(tmp_path, gif[:-1] + last * 10_000 + b";", "is animated", name="a.gif")
    for kind in ("PNG", "WEBP"):
        animation = saved(kind, frames[0], save_all=True, append_images=frames[1:5])
        refused(tmp_path, animation, "is animated")


def test_a_tiff_of_many_pages_or_of_pages_in_a_circle_is_refused(tmp_path):
    refused(tmp_path, tiff_of(5, 5, following=8), "in a circle")
    page = saved("TIFF", PICTURE[..., 0])
    (first,) = struct.unpack_from("<I", page, 4)
    entries = struct.unpack_from("<H", page, first)[0]
    size = 2 + 12 * entries + 4
    directory, pages = page[first : first + size - 4], 60_000
    many = page[:first] + b"".join(
        directory + struct.pack("<I", first + (i + 1) * size if i + 1 < pages else 0) for i in range(pages)
    )
    refused(tmp_path, many, "holds 10000 pages")


@pytest.mark.parametrize("bits", [8, 16])
def test_interlaced_pngs_and_16_bits_are_read_as_others_read_them(tmp_path, bits):
    values = (PICTURE.astype(">u2") * 257 if bits == 16 else PICTURE)[:8, :8]
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    rows = [
        b"\0" + line.tobytes()
        for top, left, down, right in passes
        for line in values[top::down, left::right]
        if line.size
    ]
    path = tmp_path / "a.png"
    path.write_bytes(png(8, 8, b"".join(rows), bits=bits, interlace=1))
    np.testing.assert_array_equal(read_image(path), PICTURE[:8, :8])


def test_a_palette_with_too_few_entries_keeps_the_numbers_of_a_mask(tmp_path):
    values = RNG.integers(0, 9, (5, 7), np.uint8)
    body = b"".join(b"\0" + row.tobytes() for row in values)
    path = tmp_path / "m.png"
    path.write_bytes(png(7, 5, body, color=3, before=[chunk(b"PLTE", bytes(6))]))
    np.testing.assert_array_equal(read_mask(path), values)


def test_transparent_values_do_not_change_a_mask(tmp_path):
    values = RNG.integers(0, 9, (5, 7), np.uint8)
    body = b"".join(b"\0" + row.tobytes() for row in values)
    path = tmp_path / "m.png"
    for color, extra in (
        (0, [chunk(b"tRNS", b"\0\3")]),
        (3, [chunk(b"PLTE", bytes(768)), chunk(b"tRNS", b"\0")]),
    ):
        path.write_bytes(png(7, 5, body, color=color, before=extra))
        np.testing.assert_array_equal(read_mask(path), values)


def test_a_cmyk_jpeg_is_read_in_its_colours(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(saved("JPEG", Image.fromarray(PICTURE).convert("CMYK"), quality=95, subsampling=0))
    assert np.abs(read_image(path).astype(int) - PICTURE).mean() < 8


def test_compressed_data_that_ends_early_is_named_though_every_checksum_is_right(tmp_path):
    body = b"".join(b"\0" + row.tobytes() for row in PICTURE)
    for color, lines in ((2, body), (0, b"".join(b"\0" + row.tobytes() for row in PICTURE[..., 0]))):
        for part in (0.1, 0.5, 0.98):
            file = png(56, 40, lines[: int(len(lines) * part)], color=color)
            refused(tmp_path, file, "cannot be read")


def test_a_pipe_is_no_picture_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for read in (read_image, read_mask, image_size):
        with pytest.raises(UserError, match="is no file"):
            read(tmp_path / "a.png")


def test_text_chunks_of_a_writer_that_means_well_are_no_fault(tmp_path):
    about = PngImagePlugin.PngInfo()
    about.add_text("Title", "x" * 10_000, zip=True)
    path = tmp_path / "a.png"
    path.write_bytes(saved("PNG", pnginfo=about))
    np.testing.assert_array_equal(read_image(path), PICTURE)
