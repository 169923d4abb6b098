import numpy as np
import pytest
from PIL import Image

from segkit.data.camvid import camvid
from segkit.types import UserError


@pytest.fixture
def root(tmp_path):
    for split, name in (("train", "0006R0_f1"), ("val", "0016E5_1"), ("test", "Seq05VD_2")):
        for folder, suffix in ((split, ".jpg"), (f"{split}annot", ".png")):
            (tmp_path / folder).mkdir()
            Image.fromarray(np.full((4, 6), 11, np.uint8)).save(tmp_path / folder / f"{name}{suffix}")
    return tmp_path


def test_official_splits_and_sequences_are_kept(root):
    source = camvid(root)
    assert [(s.name, s.group, s.split) for s in source.samples] == [
        ("0006R0_f1", "0006R0", "train"),
        ("0016E5_1", "0016E5", "val"),
        ("Seq05VD_2", "Seq05VD", "test"),
    ]
    image, target = source.read(source.samples[0])
    assert image.shape == (4, 6, 3)
    assert (target == 255).all()


def test_masks_without_their_folder_are_an_error(root):
    (root / "valannot").rename(root / "other")
    with pytest.raises(UserError, match="must hold the folders val and valannot; it holds other, test"):
        camvid(root)


def test_a_data_set_without_val_and_test_is_accepted(root):
    for name in ("val", "valannot", "test", "testannot"):
        (root / name).rename(root / f"no{name}")
    assert [s.split for s in camvid(root).samples] == ["train"]


def test_the_root_must_be_given():
    with pytest.raises(UserError, match=r"data.root is not set: give the folder that holds CamVid's"):
        camvid(None)


def test_files_without_a_partner_are_left_out_and_told_part_by_part(root):
    for name in ("train/0006R0_f2.jpg", "val/0016E5_2.jpg", "testannot/Seq05VD_9.png"):
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(root / name)
    source = camvid(root)
    assert len(source.samples) == 3
    images, masks = source.faults
    assert images.files == (str(root / "train/0006R0_f2.jpg"), str(root / "val/0016E5_2.jpg"))
    assert masks.files == (str(root / "testannot/Seq05VD_9.png"),)
