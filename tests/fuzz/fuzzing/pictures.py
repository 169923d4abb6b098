"""Pictures and masks."""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from PIL import Image

from fuzzing.engine import damage, png_with
from fuzzing.reader import Read, Reader
from segkit.analysis.reduced import read_image_reduced
from segkit.data import png
from segkit.data.component import find_runs
from segkit.data.file import read_bytes
from segkit.data.jpeg import JPEG
from segkit.data.limit import allow_pixels, max_pixels
from segkit.data.look import look
from segkit.data.read import image_size, read_image, read_mask
from segkit.data.source import FileSource
from segkit.types import LabelSpace, Sample, UserError

RNG = np.random.default_rng(0)
PICTURE = cv2.resize(RNG.integers(0, 256, (3, 4, 3), np.uint8), (18, 11))
INDEX = RNG.integers(0, 5, (11, 18)).astype(np.uint8)
LIMIT = 2**20  # pixels; a bomb of a mutated header is refused from here on


def _saved(kind: str, picture: Any, **options: Any) -> bytes:
    content = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(content, kind, **options)
    return content.getvalue()


def _palette(values: Any) -> Image.Image:
    picture = Image.fromarray(values).convert("P")
    picture.putpalette(RNG.integers(0, 256, 768).tolist())
    return picture


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    exif[270] = "about"
    return exif


def _cv(suffix: str, picture: Any, *options: int) -> bytes:
    return bytes(cv2.imencode(suffix, picture, options)[1])


RGB = Image.fromarray(PICTURE)
DEEP = PICTURE.astype(np.uint16) * 257
SEEDS = {
    "png": [
        *(_saved("PNG", RGB.convert(m)) for m in ("RGB", "L", "RGBA", "LA", "P", "1")),
        *(_saved("PNG", INDEX.astype(np.uint16)), _cv(".png", DEEP), _saved("PNG", PICTURE, exif=_exif())),
    ],
    "jpeg": [
        *(_saved("JPEG", RGB.convert(m), quality=q) for m, q in (("RGB", 90), ("L", 50), ("CMYK", 80))),
        *(_saved("JPEG", RGB, progressive=True), _saved("JPEG", RGB, exif=_exif(), subsampling=0)),
        _cv(".jpg", PICTURE, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    ],
    "tiff": [
        *(_saved("TIFF", RGB.convert(m)) for m in ("RGB", "L", "RGBA", "P", "1", "CMYK")),
        *(_saved("TIFF", RGB, compression=c) for c in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
        *(_cv(".tif", DEEP), _saved("TIFF", INDEX.astype(np.float32)), _saved("TIFF", RGB, big_tiff=True)),
    ],
    "webp": [_saved("WEBP", RGB), _saved("WEBP", RGB, lossless=True), _saved("WEBP", RGB, exif=_exif())],
    "bmp": [*(_saved("BMP", RGB.convert(m)) for m in ("RGB", "L", "P", "1", "RGBA")), _cv(".bmp", PICTURE)],
    "gif": [_saved("GIF", _palette(INDEX)), _saved("GIF", _palette(INDEX), interlace=False)],
}
MASKS = {
    "index png": [_saved("PNG", INDEX), _saved("PNG", INDEX.astype(np.uint16)), _saved("PNG", INDEX > 2)],
    "palette png": [_saved("PNG", _palette(INDEX)), _saved("PNG", _palette(INDEX), transparency=0)],
    "mask tiff": [
        *(_saved("TIFF", v) for v in (INDEX, INDEX.astype(np.int32), INDEX.astype(np.uint16), INDEX > 2)),
        *(_saved("TIFF", INDEX, compression=c) for c in ("tiff_lzw", "tiff_adobe_deflate")),
        *(_saved("TIFF", _palette(INDEX)), _cv(".tif", np.dstack([INDEX.astype(np.uint16)] * 3))),
    ],
    "mask gif": SEEDS["gif"],
}
COLORS = np.array([[0, 0, 0], [128, 64, 128], [70, 70, 70], [220, 20, 60], [0, 0, 142]], np.uint8)
COLOR_MAPS = [_saved("PNG", COLORS[INDEX]), _saved("PNG", np.dstack([COLORS[INDEX], INDEX * 0 + 255]))]
COLOR_MAPS += [_saved("TIFF", COLORS[INDEX]), _saved("BMP", COLORS[INDEX]), _saved("PNG", _palette(INDEX))]


def _image(home: Path) -> Read:
    allow_pixels(LIMIT)
    path = home / "picture.png"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        try:
            pixels = read_image(path)
        except UserError:
            _sized(path)
            raise
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert 0 < pixels.shape[0] * pixels.shape[1] <= max_pixels()
        assert _sized(path) == pixels.shape[:2]
        _same_elsewhere(data, pixels)
        read_image_reduced(path, (2, 2))

    return read


def _sized(path: Path) -> tuple[int, int] | None:
    try:
        return image_size(path)
    except UserError:
        return None


def _same_elsewhere(data: bytes, pixels: Any) -> None:
    """Pillow, where it is not what decoded the picture, sees the same, and misses nothing."""
    if not data.startswith(b"\x89PNG") or data[24] == 16:
        return
    with Image.open(io.BytesIO(data)) as picture:
        transparent = picture.info.pop("transparency", None) is not None
        if not transparent and max(Image.Exif().get(274, 1), 1) == 1 and "exif" not in picture.info:
            np.testing.assert_array_equal(pixels, np.array(picture.convert("RGB")))


def _mask(masks: Any) -> Callable[[Path], Read]:
    def prepare(home: Path) -> Read:
        allow_pixels(LIMIT)
        path = home / "mask.png"
        names = tuple(f"c{i}" for i in range(len(COLORS)))
        packed = [(int(r) << 16) + (int(g) << 8) + int(b) for r, g, b in COLORS]
        ids = tuple((i,) for i in (range(5) if masks == "index" else packed))
        colors = tuple(tuple(c) for c in COLORS.tolist())
        labels = LabelSpace(names, colors, ids, ignore=(), masks=masks)
        source = FileSource([Sample("a", path, path)], labels)

        def read(data: bytes) -> None:
            path.write_bytes(data)
            row = look(source, source.samples[0])
            assert row is not None
            try:
                values = read_mask(path, masks)
                assert values.ndim == 2
                assert values.dtype.kind == "u"
                assert 0 < values.size <= max_pixels()
                target = source.read_target(source.samples[0])
                assert target is not None
                assert set(np.unique(target)) <= {0, 1, 2, 3, 4}
            except UserError as error:
                if not row.mask_error:
                    raise AssertionError(f"no fault, but {error}") from error
                raise
            assert not row.mask_error, row.mask_error
            assert row.mask_size == values.shape == _sized(path)
            assert int(row.pixels.sum()) == values.size

        return read

    return prepare


def _rows(home: Path) -> Read:
    """Rows of differences: what is found without decoding is what decoding finds."""
    allow_pixels(LIMIT)
    path = home / "mask.png"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        whole = read_bytes(path)
        with patch.object(png, "LARGE", 1):
            runs = png.stored_runs(whole)
        values = read_mask(path) if runs is None else _decoded(path)
        if runs is not None:
            for found, expected in zip(runs, find_runs(values), strict=True):
                np.testing.assert_array_equal(found, expected)

    return read


def _decoded(path: Path) -> Any:
    try:
        return read_mask(path)
    except UserError as error:
        raise AssertionError(f"read without decoding, but {error}") from error


def _labelme(home: Path) -> Read:
    """A mask inside a JSON: the picture is damaged, not the JSON around it."""
    from segkit.data.labelme import labelme

    allow_pixels(LIMIT)
    (home / "a.png").write_bytes(SEEDS["png"][0])

    def read(data: bytes) -> None:
        text = base64.b64encode(data).decode()
        shape = {"label": "x", "shape_type": "mask", "points": [[0, 0], [17, 10]], "mask": text}
        content = {"imagePath": "a.png", "imageHeight": 11, "imageWidth": 18, "shapes": [shape]}
        (home / "a.json").write_text(json.dumps(content))
        source = labelme(home)
        source.read(source.samples[0])

    return read


def _exif_with(rng: Any, seeds: Any) -> bytes:
    """A JPEG that is whole but for its EXIF data."""
    exif = b"Exif\0\0" + damage(rng, [_exif().tobytes()[6:]])
    start = exif[:65_000]
    return JPEG + b"\xff\xe1" + struct.pack(">H", len(start) + 2) + start + seeds[0][2:]


PICTURE_READERS = [
    *(
        Reader(
            f"image {kind}",
            seeds,
            _image,
            {"png": (damage, png_with, png_with), "jpeg": (damage, damage, _exif_with)}.get(kind, (damage,)),
        )
        for kind, seeds in SEEDS.items()
    ),
    *(
        Reader(kind, seeds, _mask("index"), (damage, png_with) if "png" in kind else (damage,))
        for kind, seeds in MASKS.items()
    ),
    Reader("colour map", COLOR_MAPS, _mask("color"), (damage,)),
    Reader("colour map png", COLOR_MAPS[:2], _mask("color"), (png_with,)),
    Reader("mask of differences", [_cv(".png", INDEX), _cv(".png", INDEX[:1])], _rows, (damage, png_with)),
    Reader("labelme mask", MASKS["index png"], _labelme, (damage, png_with)),
]
