import numpy as np
import pytest
from PIL import Image

from segkit.data.cityscapes import cityscapes
from segkit.types import UserError


def frame(root, split, city, number, masks=("labelIds", "instanceIds", "color")):
    stem = f"{city}_{number:06d}_000019"
    for folder, names in (("leftImg8bit", ["leftImg8bit"]), ("gtFine", [f"gtFine_{m}" for m in masks])):
        (root / folder / split / city).mkdir(parents=True, exist_ok=True)
        for name in names:
            Image.fromarray(np.full((2, 4), 26, np.uint8)).save(
                root / folder / split / city / f"{stem}_{name}.png"
            )


@pytest.fixture
def root(tmp_path):
    frame(tmp_path, "train", "aachen", 0)
    frame(tmp_path, "val", "lindau", 1)
    frame(tmp_path, "test", "berlin", 2)
    return tmp_path


def test_label_ids_are_found_and_cities_are_groups(root):
    source = cityscapes(root)
    assert [(s.name, s.group, s.split) for s in source.samples] == [
        ("aachen/aachen_000000_000019", "aachen", "train"),
        ("lindau/lindau_000001_000019", "lindau", "val"),
    ]
    assert source.samples[0].mask.name == "aachen_000000_000019_gtFine_labelIds.png"
    target = source.read(source.samples[0])[1]
    assert source.labels.names[target[0, 0]] == "car"


def test_the_official_test_part_must_be_asked_for_and_needs_masks(root):
    frame(root, "test", "berlin", 3, masks=())
    names = [s.name for s in cityscapes(root, official_test=True).samples if s.split == "test"]
    assert names == ["berlin/berlin_000002_000019"]


def test_an_image_without_a_mask_is_left_out_and_told(root):
    frame(root, "train", "aachen", 7, masks=("color",))
    frame(root, "val", "lindau", 8, masks=("color",))
    source = cityscapes(root)
    assert len(source.samples) == 2
    (fault,) = source.faults
    assert fault.kind == "unpaired"
    assert [name.rpartition("/")[2][:13] for name in fault.files] == ["aachen_000007", "lindau_000008"]


def test_a_missing_part_is_named(root):
    (root / "gtFine" / "val").rename(root / "gtFine" / "elsewhere")
    with pytest.raises(UserError, match=r"does not hold gtFine/val; it holds gtFine, leftImg8bit"):
        cityscapes(root)
