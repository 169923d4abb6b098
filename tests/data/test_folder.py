import numpy as np
import pytest
from PIL import Image

from segkit.data.folder import folder
from segkit.types import UserError

LABELS = {"names": ["a", "b"]}


def picture(path, size=(6, 4), value=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0]), value, np.uint8)).save(path)


def layout(root, *names):
    for name in names:
        picture(root / name)
    return root


def listed(source):
    return {s.name: (s.image.name, s.mask.name, s.split) for s in source.samples}


def test_images_and_masks_pair_by_stem_whatever_their_extension(tmp_path):
    layout(
        tmp_path, "images/b.jpg", "images/sub/a.png", "masks/b.png", "masks/sub/a.tif", "images/.hidden.png"
    )
    (tmp_path / "images" / "notes.txt").write_text("no picture")
    assert listed(folder(tmp_path, LABELS)) == {
        "b": ("b.jpg", "b.png", ""),
        "sub/a": ("a.png", "a.tif", ""),
    }


@pytest.mark.parametrize(
    "names",
    [
        ("train/images/x.png", "train/masks/x.png", "Valid/images/x.png", "Valid/masks/x.png"),
        ("images/train/x.png", "masks/train/x.png", "images/Valid/x.png", "masks/Valid/x.png"),
    ],
)
def test_both_layouts_with_splits_are_recognised(tmp_path, names):
    source = folder(layout(tmp_path, *names), LABELS)
    assert {s.name: s.split for s in source.samples} == {"train/x": "train", "Valid/x": "val"}


def test_folders_that_are_no_splits_stay_part_of_the_name(tmp_path):
    source = folder(layout(tmp_path, "images/p1/x.png", "masks/p1/x.png"), LABELS, group="^([^/]+)/")
    assert [(s.name, s.group, s.split) for s in source.samples] == [("p1/x", "p1", "")]


def test_an_image_outside_the_splits_is_an_error(tmp_path):
    layout(tmp_path, "images/train/x.png", "masks/train/x.png", "images/y.png", "masks/y.png")
    with pytest.raises(UserError, match=r"1 of 2 images lie outside train/.*first: y"):
        folder(tmp_path, LABELS)


def test_prefixes_and_suffixes_are_stripped_and_one_folder_is_enough(tmp_path):
    layout(tmp_path, "img_1.jpg", "1_mask.png", "img_2.jpg", "2_mask.png")
    source = folder(tmp_path, LABELS, images=".", masks=".", image_prefix="img_", mask_suffix="_mask")
    assert listed(source) == {"1": ("img_1.jpg", "1_mask.png", ""), "2": ("img_2.jpg", "2_mask.png", "")}
    layout(tmp_path / "b", "1.jpg", "1_mask.png")
    assert list(listed(folder(tmp_path / "b", LABELS, images=".", masks=".", mask_suffix="_mask"))) == ["1"]


def test_globs_pair_by_what_they_leave_open(tmp_path):
    layout(tmp_path, "p1/photo/a.jpg", "p1/label/a.png", "p2/photo/a.jpg", "p2/label/a.png", "p2/photo/a.png")
    source = folder(tmp_path, LABELS, images="*/photo/*.jpg", masks="*/label/*.png")
    assert listed(source) == {"p1/a": ("a.jpg", "a.png", ""), "p2/a": ("a.jpg", "a.png", "")}
    layout(tmp_path / "c", "x/p1/image.png", "x/p1/mask.png", "x/p22/image.png", "x/p22/mask.png")
    source = folder(tmp_path / "c", LABELS, images="**/p?/image.png", masks="**/p[0-9]/mask.png")
    assert list(listed(source)) == ["x/p1"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    layout(tmp_path, "far/x.png", "masks/near/x.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "near").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "again").symlink_to(tmp_path / "far")
    assert list(listed(folder(tmp_path, LABELS))) == ["near/x"]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("photos/a.png", "masks/a.png"), {}, r"data.images=images: no such folder .* masks, photos; set"),
        (("images/a.txt.png", "masks/b.png"), {"images": "images/*.jpg"}, "no images in .*expected files"),
        (("images/a.png", "masks/a_m.png"), {}, r"no image has a mask.*set data.mask_suffix=_m"),
        (("images/img_a.png", "masks/a.png"), {}, r"set data.image_prefix=img_"),
        (("images/a.png", "masks/gt_a.png"), {}, r"set data.mask_prefix=gt_"),
        (
            ("images/a.png", "masks/a.png"),
            {"mask_suffix": "_x"},
            "there is, for example, a.png: set data.mask",
        ),
        (
            ("images/a.png", "images/a.jpg", "masks/a.png"),
            {},
            "two images have one name: .*a.jpg and .*a.png",
        ),
        (("images/a.png", "masks/a.png"), {"group": "(x)"}, "finds no group in the sample name 'a'"),
        (("images/a.png", "masks/a.png"), {"group": "("}, "no regular expression"),
        (("a.png",), {"images": ".", "masks": "."}, "same files"),
        (("images/a.png", "masks/a.png"), {"images": "images/[b-a]"}, "glob .* cannot be read: .*brackets"),
    ],
)
def test_a_mistake_is_named_with_its_repair(tmp_path, names, options, message):
    with pytest.raises(UserError, match=message) as caught:
        folder(layout(tmp_path, *names), LABELS, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("root", "message"), [(None, "data.root is not set"), ("nowhere", "is no folder")])
def test_a_missing_root_is_named(root, message):
    with pytest.raises(UserError, match=message):
        folder(root, LABELS)


def test_the_two_files_are_named_when_sizes_differ(tmp_path):
    picture(tmp_path / "images/a.png")
    picture(tmp_path / "masks/a.png", (4, 6))
    source = folder(tmp_path, LABELS)
    with pytest.raises(UserError, match=r"images/a.png is 6x4 but its mask .*masks/a.png is 4x6: one lies"):
        source.read(source.samples[0])


@pytest.mark.parametrize(
    ("labels", "values", "message"),
    [
        (
            {"names": ["a", "b"], "ignore": []},
            [0, 255],
            r"255 \(1 pixels\); it looks like a 0/255 binary mask",
        ),
        ({"names": [f"c{i}" for i in range(19)]}, [7, 33], "look like Cityscapes labelIds"),
        ("cityscapes19", [0, 18, 255], "look like Cityscapes trainIds"),
        ({"names": ["a", "b"]}, [0, 1, 2], "give ids 1 to 2"),
        ({"names": ["a", "b"], "ignore": []}, [0, 1, 255], "add 255 to `ignore`"),
        ({"names": ["a", "b"]}, list(range(100)), "instances, smoothed edges"),
        ({"names": ["a", "b"], "task": "binary"}, [0, 1, 7], "data.labels=binary"),
        ({"names": ["a", "b", "c"]}, [0, 9, 9, 11], r"9 \(2 pixels\), 11 \(1 pixels\); add them to `ids`"),
        ({"names": ["a"], "task": "multilabel", "ids": [1]}, [0, 5, 1], "`rest: none`"),
    ],
)
def test_an_unknown_id_comes_with_its_likely_cause(tmp_path, labels, values, message):
    picture(tmp_path / "images/a.png", (len(values), 1))
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "masks/a.png")
    source = folder(tmp_path, labels)
    with pytest.raises(UserError, match=f"masks/a.png holds ids .*{message}"):
        source.read(source.samples[0])


def test_a_sample_reads_as_rgb_and_target(tmp_path):
    layout(tmp_path, "images/a.png", "masks/a.png")
    source = folder(tmp_path, {"names": ["a", "b"], "ids": [0, 1]})
    image, target = source.read(source.samples[0])
    assert image.shape == (4, 6, 3)
    assert (target == 1).all()
    assert source.read(source.samples[0]._replace(mask=None))[1] is None


def test_files_without_a_partner_are_left_out_and_all_of_them_told(tmp_path):
    names = [f"images/{i}.png" for i in "abcdef"] + ["masks/a.png", "masks/x.png"]
    source = folder(layout(tmp_path, *names), LABELS)
    assert [s.name for s in source.samples] == ["a"]
    images, masks = source.faults
    assert images.files == tuple(str(tmp_path / f"images/{i}.png") for i in "bcdef")
    assert masks.files == (str(tmp_path / "masks/x.png"),)
    assert (images.kind, images.severity, images.samples) == ("unpaired", "error", ())
    assert "b.png, " in images.line()
    assert "and 2 more: 5 images without a mask (not annotated" in images.line()
    assert masks.line().endswith("add their images, or move these files elsewhere")
    assert folder(layout(tmp_path / "whole", "images/a.png", "masks/a.png"), LABELS).faults == []


def test_names_that_differ_only_in_capitals_are_told_as_such(tmp_path):
    source = folder(
        layout(tmp_path, "images/a.png", "masks/a.png", "images/B.png", "masks/b.png", "images/c.png"), LABELS
    )
    assert ["capital letters" in f.message for f in source.faults] == [True, True]
    assert source.faults[1].fix.startswith("rename these")


def test_an_unpaired_image_outside_the_splits_does_not_hide_them(tmp_path):
    source = folder(layout(tmp_path, "images/train/x.png", "masks/train/x.png", "images/y.png"), LABELS)
    assert [(s.name, s.split) for s in source.samples] == [("train/x", "train")]
    assert len(source.faults) == 1


@pytest.mark.parametrize("kind", ["rgb", "palette"])
def test_masks_of_colours_are_read_through_their_colour_map(tmp_path, kind):
    indices = np.random.default_rng(0).integers(0, 3, (5, 7)).astype(np.uint8)
    palette = np.array([(255, 0, 0), (0, 128, 0), (0, 0, 0)], np.uint8)
    picture(tmp_path / "images/a.png", (7, 5))
    (tmp_path / "masks").mkdir()
    mask = Image.fromarray(palette[indices])
    if kind == "palette":  # shuffled: its numbers mean nothing
        mask = Image.fromarray((7 * indices + 3).astype(np.uint8)).convert("P")
        colors = np.zeros((256, 3), np.uint8)
        colors[[3, 10, 17]] = palette
        mask.putpalette(colors.ravel().tolist())
    mask.save(tmp_path / "masks/a.png")
    names = [{"name": "a", "color": [255, 0, 0]}, {"name": "b", "color": [0, 128, 0]}]
    source = folder(tmp_path, {"masks": "color", "names": names, "ignore": [[0, 0, 0]]})
    expected = np.where(indices == 2, 255, indices)
    np.testing.assert_array_equal(source.read(source.samples[0])[1], expected)
    strict = folder(tmp_path, {"masks": "color", "names": names})
    with pytest.raises(UserError, match=r"does not know: \(0, 0, 0\) "):
        strict.read(strict.samples[0])
