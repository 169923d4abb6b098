import numpy as np
import pytest
from PIL import Image

from segkit.data.ade20k import ade20k
from segkit.data.labels import read_labels
from segkit.types import UserError

NAMES = {"training": ["ADE_train_00000001", "ADE_train_00000002"], "validation": ["ADE_val_00000001"]}


@pytest.fixture
def root(tmp_path):
    base = tmp_path / "ADEChallengeData2016"
    for part, names in NAMES.items():
        for folder in ("images", "annotations"):
            (base / folder / part).mkdir(parents=True)
        for name in names:
            Image.new("RGB", (4, 1)).save(base / "images" / part / f"{name}.jpg")
            mask = np.array([[0, 1, 21, 150]], np.uint8)
            Image.fromarray(mask).save(base / "annotations" / part / f"{name}.png")
    (base / "objectInfo150.txt").write_text("Idx\tRatio\n")
    return tmp_path


@pytest.mark.parametrize("place", [".", "ADEChallengeData2016"])
def test_training_and_validation_are_found_and_zero_is_ignored(root, place):
    source = ade20k(root / place)
    assert [(s.name, s.split) for s in source.samples] == [
        ("ADE_train_00000001", "train"),
        ("ADE_train_00000002", "train"),
        ("ADE_val_00000001", "val"),
    ]
    assert source.faults == []
    target = source.read(source.samples[0])[1]
    assert target.tolist() == [[255, 0, 20, 149]]
    assert [source.labels.names[i] for i in (0, 20, 149)] == ["wall", "car", "flag"]


def test_ade150_counts_from_one_in_the_official_order():
    labels = read_labels("ade150")
    assert labels.ids == tuple((i,) for i in range(1, 151))
    official = {1: "wall", 4: "floor", 13: "person", 40: "cushion", 61: "river", 90: "television receiver"}
    official |= {100: "buffet", 120: "ball", 137: "traffic light", 142: "crt screen", 150: "flag"}
    assert {i: labels.names[i - 1] for i in official} == official
    assert labels.colors[12] == (150, 5, 61)


def test_an_image_without_its_mask_is_a_fault(root):
    base = root / "ADEChallengeData2016"
    (base / "annotations" / "training" / "ADE_train_00000002.png").unlink()
    source = ade20k(root)
    assert [f.kind for f in source.faults] == ["unpaired"]
    assert source.faults[0].files[0].endswith("ADE_train_00000002.jpg")
    assert [s.split for s in source.samples] == ["train", "val"]


def test_a_missing_part_is_named(root):
    base = root / "ADEChallengeData2016"
    (base / "annotations" / "validation").rename(base / "elsewhere")
    with pytest.raises(UserError, match=r"does not hold annotations/validation; it holds annotations"):
        ade20k(root)
