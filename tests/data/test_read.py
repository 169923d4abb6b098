import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from segkit.data.read import image_size, read_image, read_mask
from segkit.types import UserError

RNG = np.random.default_rng(0)
PICTURE = cv2.resize(RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8), (28, 20))
INDEX = RNG.integers(0, 12, (20, 28)).astype(np.uint8)


def save(path, picture, **options):
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.webp"])
def test_lossless_pictures_come_back_as_they_were(tmp_path, name):
    path = save(tmp_path / name, PICTURE, **({"lossless": True} if name == "a.webp" else {}))
    np.testing.assert_array_equal(read_image(path), PICTURE)
    assert image_size(path) == (20, 28)


def test_a_jpeg_decodes_to_what_pillow_sees(tmp_path):
    path = save(tmp_path / "a.jpg", PICTURE, quality=95)
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(read_image(path) - expected).max() <= 3  # decoders round chroma differently


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_kind_of_pixel_becomes_rgb_without_alpha(tmp_path, mode, suffix):
    picture = Image.fromarray(PICTURE)
    picture.putalpha(Image.fromarray(PICTURE[..., 0])) if mode.endswith("A") else None
    path = save(tmp_path / f"a{suffix}", picture.convert(mode))
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.writeable
    np.testing.assert_array_equal(image, np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_divided_by_257(tmp_path, suffix, channels):
    values = RNG.integers(0, 65536, (20, 28, channels)).astype(np.uint16)
    values[0, :2] = [[65535], [128]]
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), values[..., ::-1])
    expected = np.broadcast_to(np.round(values / 257), (20, 28, 3))
    np.testing.assert_array_equal(read_image(path), expected)
    assert image_size(path) == (20, 28)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg"])
def test_exif_orientation_is_applied(tmp_path, turn, name):
    exif = Image.Exif()
    exif[274] = turn
    options = {"lossless": True} if name == "a.webp" else {"quality": 95, "subsampling": 0}
    path = save(tmp_path / name, PICTURE, exif=exif, **({} if name == "a.png" else options))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB")).astype(int)
    image = read_image(path)
    assert image_size(path) == image.shape[:2] == expected.shape[:2]
    assert np.abs(image - expected).max() <= 3


def test_image_and_mask_with_one_orientation_stay_aligned(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    image = save(tmp_path / "image.png", np.dstack([INDEX] * 3), exif=exif)
    mask = save(tmp_path / "mask.png", INDEX, exif=exif)
    np.testing.assert_array_equal(read_image(image)[..., 0], read_mask(mask))


@pytest.mark.parametrize("name", ["m.png", "m.tif", "m.bmp", "m.gif"])
def test_palette_masks_give_indices_and_never_colours(tmp_path, name):
    mask = Image.fromarray(INDEX, "L").convert("P")
    mask.putpalette([v for i in range(256) for v in (i * 7 % 256, 255 - i, i * 3 % 256)])
    path = save(tmp_path / name, mask, **({"optimize": False} if name == "m.gif" else {}))
    np.testing.assert_array_equal(read_mask(path), INDEX)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_masks_give_their_stored_values(tmp_path, dtype, suffix):
    stored = (INDEX.astype(int) * (20 if dtype == np.uint8 else 5000)).astype(dtype)
    path = save(tmp_path / f"m{suffix}", stored)
    mask = read_mask(path)
    assert mask.dtype == dtype
    np.testing.assert_array_equal(mask, stored)


def test_32_bit_masks_are_unsigned(tmp_path):
    mask = read_mask(save(tmp_path / "m.tif", INDEX.astype(np.int32) * 100_000))
    assert mask.dtype == np.uint32
    np.testing.assert_array_equal(mask, INDEX.astype(np.uint32) * 100_000)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit_masks_hold_zero_and_one(tmp_path, suffix):
    path = save(tmp_path / f"m{suffix}", INDEX > 5)
    np.testing.assert_array_equal(read_mask(path), INDEX > 5)


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_masks_of_few_bits_are_not_stretched(tmp_path, bits):
    values = (np.arange(16 * 4).reshape(4, 16) % 2**bits).astype(np.uint8)
    path = tmp_path / "m.png"
    path.write_bytes(_grey_png(values, bits))
    np.testing.assert_array_equal(read_mask(path), values)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_equal_channels_count_as_one(tmp_path, suffix):
    for channels in ([INDEX] * 3, [INDEX] * 3 + [np.full_like(INDEX, 255)]):
        path = save(tmp_path / f"m{suffix}", np.dstack(channels))
        np.testing.assert_array_equal(read_mask(path), INDEX)


def test_equal_16_bit_channels_keep_all_bits(tmp_path):
    stored = INDEX.astype(np.uint16) * 1001
    cv2.imwrite(str(tmp_path / "m.png"), np.dstack([stored] * 3))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), stored)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_coloured_mask_is_refused_with_its_colours(tmp_path, suffix):
    mask = np.zeros((4, 4, 3), np.uint8)
    mask[:2] = (128, 64, 0)
    path = save(tmp_path / f"m{suffix}", mask)
    with pytest.raises(
        UserError, match=r"2 colours: \(0, 0, 0\), \(128, 64, 0\); set `masks: color`.*analyze"
    ):
        read_mask(path)


def test_a_mask_in_the_alpha_channel_is_not_read_as_background(tmp_path):
    zero = np.zeros_like(INDEX)
    path = save(tmp_path / "m.png", np.dstack([zero, zero, zero, INDEX]))
    with pytest.raises(UserError, match="transparency"):
        read_mask(path)


def test_masks_that_cannot_hold_indices_are_refused(tmp_path):
    with pytest.raises(UserError, match="is a JPEG, which invents values"):
        read_mask(save(tmp_path / "m.jpg", INDEX))
    with pytest.raises(UserError, match="holds fractions"):
        read_mask(save(tmp_path / "f.tif", INDEX.astype(np.float32)))
    with pytest.raises(UserError, match=r"negative numbers \(down to -1\)"):
        read_mask(save(tmp_path / "n.tif", INDEX.astype(np.int32) - 1))
    cv2.imwrite(str(tmp_path / "d.tif"), np.dstack([INDEX.astype(np.uint16) * 1000] * 3))
    with pytest.raises(UserError, match="16 bits per channel"):
        read_mask(tmp_path / "d.tif")
    with pytest.raises(UserError, match="2 pages"):
        read_mask(save(tmp_path / "s.tif", INDEX, save_all=True, append_images=[Image.fromarray(INDEX)]))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "a.webp"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, name, kept):
    path = save(tmp_path / name, PICTURE)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UserError, match=f"{name} cannot be read: ") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_a_jpeg_that_ends_after_its_thumbnail_is_truncated(tmp_path):
    small = io.BytesIO()
    Image.fromarray(PICTURE).save(small, "JPEG")
    path = save(tmp_path / "a.jpg", PICTURE, exif=b"Exif\0\0" + small.getvalue())
    read_image(path)  # the whole file is fine
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="truncated"):
        read_image(path)


def test_a_jpeg_with_something_appended_is_fine(tmp_path):
    path = save(tmp_path / "a.jpg", PICTURE)
    whole = read_image(path)
    path.write_bytes(path.read_bytes() + b"motion \xff\xda picture")
    np.testing.assert_array_equal(read_image(path), whole)


def test_a_damaged_png_is_an_error(tmp_path):
    path = save(tmp_path / "a.png", PICTURE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        read_image(path)
    with pytest.raises(UserError, match="damaged"):
        read_mask(path)


def test_files_that_are_no_pictures_are_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("hello")
    for read in (read_image, read_mask, image_size):
        with pytest.raises(UserError, match=r"a.png cannot be read: it is no picture"):
            read(path)
        with pytest.raises(UserError, match=r"b.png does not exist"):
            read(tmp_path / "b.png")


def test_an_enormous_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", PICTURE)
    monkeypatch.setenv("SEGKIT_MAX_PIXELS", "100")
    for read in (read_image, read_mask, image_size):
        with pytest.raises(UserError, match="tiles"):
            read(path)


def _grey_png(values, bits):
    """A grey PNG with 2 or 4 bits per pixel, which neither library writes."""
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    planes = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(planes.reshape(len(values), -1), axis=1)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


PALETTE = RNG.integers(0, 256, (256, 3)).astype(np.uint8)
COLORED = PALETTE[INDEX]
PACKED = (COLORED.astype(np.uint32) * [65536, 256, 1]).sum(2)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_a_coloured_mask_gives_packed_colours(tmp_path, suffix):
    path = save(tmp_path / f"m{suffix}", COLORED, **({"lossless": True} if suffix == ".webp" else {}))
    mask = read_mask(path, "color")
    assert mask.dtype == np.uint32
    np.testing.assert_array_equal(mask, PACKED)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".gif"])
def test_a_palette_mask_can_be_read_by_its_colours(tmp_path, suffix):
    mask = Image.fromarray(INDEX).convert("P")
    mask.putpalette(PALETTE.ravel().tolist())
    path = save(tmp_path / f"m{suffix}", mask)
    np.testing.assert_array_equal(read_mask(path, "color"), PACKED)


def test_transparency_does_not_change_a_masks_colours(tmp_path):
    mask = Image.fromarray(INDEX).convert("P")
    mask.putpalette(PALETTE.ravel().tolist())
    kinds = {"one": {"transparency": 0}, "many": {"transparency": bytes(range(256))}}
    for name, options in kinds.items():
        np.testing.assert_array_equal(
            read_mask(save(tmp_path / f"{name}.png", mask, **options), "color"), PACKED
        )
    alpha = np.dstack([COLORED, INDEX])
    np.testing.assert_array_equal(read_mask(save(tmp_path / "a.png", alpha), "color"), PACKED)
    key = {"transparency": tuple(int(v) for v in COLORED[0, 0])}
    np.testing.assert_array_equal(read_mask(save(tmp_path / "k.png", COLORED, **key), "color"), PACKED)


def test_grey_and_one_bit_masks_are_grey_colours(tmp_path):
    grey = read_mask(save(tmp_path / "g.png", INDEX), "color")
    np.testing.assert_array_equal(grey, INDEX.astype(np.uint32) * 0x10101)
    black_white = read_mask(save(tmp_path / "b.png", INDEX > 5), "color")
    np.testing.assert_array_equal(black_white, (INDEX > 5) * 0xFFFFFF)


def test_colours_that_cannot_be_told_apart_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "d.png"), COLORED.astype(np.uint16) * 3)
    for path in (tmp_path / "d.png", save(tmp_path / "g.png", INDEX.astype(np.uint16) * 3)):
        with pytest.raises(UserError, match="more than 8 bits per channel"):
            read_mask(path, "color")
    with pytest.raises(UserError, match="is a JPEG"):
        read_mask(save(tmp_path / "m.jpg", COLORED), "color")


def test_coloured_masks_obey_exif_orientation_as_pictures_do(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    path = save(tmp_path / "m.png", COLORED, exif=exif)
    np.testing.assert_array_equal(
        read_mask(path, "color"), (read_image(path).astype(np.uint32) * [65536, 256, 1]).sum(2)
    )
