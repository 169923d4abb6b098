from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.analysis.reduced import read_image_reduced, read_reduced
from segkit.data.folder import folder
from segkit.data.read import read_image
from segkit.data.streets import scene
from segkit.types import UserError

IMAGE, MASK = scene(1, 0, 480, 640)
TURN = 0x0112


def save(path, orientation=1, **options):
    exif = Image.Exif()
    exif[TURN] = orientation
    Image.fromarray(IMAGE).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_decoded_small_and_shows_the_same_the_right_way_up(orientation, tmp_path):
    path = save(tmp_path / "a.jpg", orientation, quality=92)
    whole = read_image(path)
    size = whole.shape[0] // 3, whole.shape[1] // 3
    small = read_image_reduced(path, size)
    assert small.shape == (whole.shape[0] // 2, whole.shape[1] // 2, 3)  # a third is no step
    one, other = (cv2.resize(p, size[::-1], interpolation=cv2.INTER_AREA) for p in (whole, small))
    assert np.abs(one.astype(int) - other).mean() < 2


def test_what_is_no_jpeg_or_not_large_is_as_it_was_read(tmp_path):
    png, jpeg = save(tmp_path / "a.png"), save(tmp_path / "a.jpg")
    assert (read_image_reduced(png, (60, 80)) == IMAGE).all()
    assert (read_image_reduced(jpeg, (300, 400)) == read_image(jpeg)).all()


def test_a_grey_jpeg_has_three_equal_channels(tmp_path):
    Image.fromarray(IMAGE).convert("L").save(tmp_path / "a.jpg")
    small = read_image_reduced(tmp_path / "a.jpg", (120, 160))
    assert small.shape == (120, 160, 3)
    assert (small == small[..., :1]).all()


def test_a_broken_file_is_told_as_always(tmp_path):
    path = save(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match="cannot be read"):
        read_image_reduced(path, (60, 80))


def test_a_mask_of_another_size_is_refused_as_always(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    save(tmp_path / "images/a.jpg")
    Image.fromarray(MASK).save(tmp_path / "masks/a.png")
    source = folder(tmp_path, "streets")
    image, target = read_reduced(source, source.samples[0], (120, 160))
    assert image.shape == (120, 160, 3)
    assert (target == MASK).all()
    Image.fromarray(MASK[:-1]).save(tmp_path / "masks/a.png")
    with pytest.raises(UserError, match="480"):
        read_reduced(source, source.samples[0], (120, 160))
