import numpy as np
import pytest
from PIL import Image

from segkit.data.labels import read_labels
from segkit.data.voc import voc
from segkit.files import write_png
from segkit.types import UserError


def picture(base, name, mask="SegmentationClass", value=15):
    """An image and its palette mask: a background pixel, one of ``value``, one of the border."""
    if not (base / "JPEGImages" / f"{name}.jpg").exists():
        Image.new("RGB", (3, 2)).save(base / "JPEGImages" / f"{name}.jpg")
    if mask:
        target = np.array([[0, value, 255], [0, value, 255]], np.uint8)
        write_png(base / mask / f"{name}.png", target, read_labels("voc21").colors)


def lists(base, **parts):
    for name, lines in parts.items():
        (base / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def root(tmp_path):
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (base / folder).mkdir(parents=True)
    for name in ("2007_000032", "2007_000039", "2007_000033"):
        picture(base, name)
    picture(base, "2008_000001", mask=None)  # detection alone: in no set of segmentation
    lists(base, train=["2007_000032", "2007_000039"], val=["2007_000033"])
    lists(base, trainval=["2007_000032", "2007_000039", "2007_000033"])
    return tmp_path


@pytest.mark.parametrize("place", [".", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_the_sets_are_official_parts_wherever_the_root_points(root, place):
    source = voc(root / place)
    assert [(s.name, s.split) for s in source.samples] == [
        ("2007_000032", "train"),
        ("2007_000039", "train"),
        ("2007_000033", "val"),
    ]
    assert source.faults == []
    image, target = source.read(source.samples[0])
    assert image.shape == (2, 3, 3)
    assert target.tolist() == [[0, 15, 255]] * 2
    assert source.labels.names[15] == "person"


def test_voc21_has_the_colours_that_the_development_kit_computes():
    def kit(index):  # VOCcode/VOClabelcolormap.m: bits of the index go to the channels, highest first
        color = [0, 0, 0]
        for shift in range(7, -1, -1):
            for channel in range(3):
                color[channel] |= (index >> channel & 1) << shift
            index >>= 3
        return tuple(color)

    labels = read_labels("voc21")
    assert labels.colors == tuple(kit(i) for i in range(21))
    assert labels.colors[labels.names.index("tvmonitor")] == (0, 64, 128)
    assert labels.ids == tuple((i,) for i in range(21))


def test_the_augmented_set_takes_sbds_masks_for_training_and_leaves_validation_alone(root):
    base = root / "VOCdevkit" / "VOC2012"
    (base / "SegmentationClassAug").mkdir()
    picture(base, "2008_000001", "SegmentationClassAug", value=7)
    picture(base, "2007_000033", "SegmentationClassAug", value=7)
    slim = "/JPEGImages/2008_000001.jpg /SegmentationClassAug/2008_000001.png"
    lists(base, trainaug=["2007_000032", slim])
    source = voc(root, augmented=True)
    assert [(s.name, s.mask.parent.name, s.split) for s in source.samples] == [
        ("2007_000032", "SegmentationClass", "train"),
        ("2008_000001", "SegmentationClassAug", "train"),
        ("2007_000033", "SegmentationClass", "val"),
    ]


def test_trainval_alone_leaves_the_split_open(root):
    sets = root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    (sets / "train.txt").unlink()
    (sets / "val.txt").unlink()
    assert [s.split for s in voc(root).samples] == [""] * 3


def test_a_test_set_counts_as_far_as_it_has_masks(root):
    base = root / "VOCdevkit" / "VOC2012"
    picture(base, "2007_000068")
    lists(base, test=["2007_000068", "2008_000001"])
    source = voc(root)
    assert [s.name for s in source.samples if s.split == "test"] == ["2007_000068"]
    assert source.faults == []


def test_listed_files_that_are_missing_are_faults(root):
    base = root / "VOCdevkit" / "VOC2012"
    lists(base, train=["2007_000032", "2008_000001", "2011_000003"])
    faults = voc(root).faults
    assert [f.kind for f in faults] == ["unpaired", "unpaired"]
    assert faults[0].files == (str(base / "JPEGImages" / "2008_000001.jpg"),)
    assert "neither image nor mask: 2011_000003" in faults[1].message


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("JPEGImages", r"holds no VOC2012 with JPEGImages; .* set data.root to VOCdevkit, or data.year"),
        ("SegmentationClass", r"SegmentationClass does not exist"),
        ("ImageSets/Segmentation", r"ImageSets/Segmentation does not exist \(the lists"),
    ],
)
def test_what_is_missing_is_named_in_one_line(root, gone, message):
    (root / "VOCdevkit" / "VOC2012" / gone).rename(root / "elsewhere")
    with pytest.raises(UserError, match=message) as caught:
        voc(root)
    assert "\n" not in str(caught.value)


def test_missing_or_empty_lists_are_errors(root):
    sets = root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    with pytest.raises(UserError, match="SegmentationClassAug does not exist"):
        voc(root, augmented=True)
    (sets / "val.txt").write_text("\n")
    with pytest.raises(UserError, match=r"val.txt is empty"):
        voc(root)
    for file in sets.iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"neither train.txt nor trainval.txt"):
        voc(root)
    with pytest.raises(UserError, match="no VOC2007"):
        voc(root, year=2007)


def test_a_picture_that_is_listed_twice_is_named_with_its_list(root):
    base = root / "VOCdevkit" / "VOC2012"
    lists(base, train=["2007_000032", "2007_000039", "2007_000032"])
    with pytest.raises(UserError, match=r"train\.txt lists 2007_000032 twice; remove one line$"):
        voc(root)
    lists(base, train=["2007_000032", "2007_000033"])
    with pytest.raises(UserError, match=r"train\.txt and val\.txt both list 2007_000033; remove it from one"):
        voc(root)
