import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from segkit.data.labelme import labelme
from segkit.types import UserError

HEIGHT, WIDTH = 24, 32


def shape(label, points, kind="polygon", **more):
    flags = {"flags": {}, "group_id": None, "description": ""}
    return {"label": label, "points": points, "shape_type": kind} | flags | more


def png(mask):
    content = io.BytesIO()
    Image.fromarray(mask).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def write(root, name, shapes, image=True, **more):
    """A file as labelme 5 writes it, with its image beside it."""
    path = root / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{path.stem}.png"}
    document |= {"imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
    path.write_text(json.dumps(document | more))
    if image:
        Image.new("RGB", (WIDTH, HEIGHT)).save(path.with_suffix(".png"))
    return path


def target(root, shapes, labels=None):
    write(root, "a", shapes)
    source = labelme(root, labels)
    return source.read(source.samples[0])[1]


def painted(*areas):
    """Areas (left, top, right, bottom, value), the last pixels included."""
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    for left, top, right, bottom, value in areas:
        canvas[top : bottom + 1, left : right + 1] = value
    return canvas


# --- shapes, by hand from labelme.utils.shape_to_mask ------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("polygon", [[3, 2], [9, 2], [9, 7], [3, 7]]),
        (None, [[3, 2], [9, 2], [9, 7], [3, 7]]),  # older files do not say
        ("oriented_rectangle", [[3, 2], [9, 2], [9, 7], [3, 7]]),
        ("rectangle", [[3, 2], [9, 7]]),
        ("rectangle", [[9, 7], [3, 2]]),
        ("rectangle", [[3, 7], [9, 2]]),
    ],
)
def test_an_outline_belongs_to_its_shape(tmp_path, kind, points):
    assert np.array_equal(target(tmp_path, [shape("cat", points, kind)]), painted((3, 2, 9, 7, 1)))


def test_a_circle_is_its_centre_and_a_point_of_its_rim(tmp_path):
    found = target(tmp_path, [shape("cat", [[12, 10], [15, 14]], "circle")])
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 15, 7, 17)  # radius 5
    assert abs(found.sum() - np.pi * 5.5**2) < 10


def test_a_point_is_a_disc_of_radius_5(tmp_path):
    found = target(tmp_path, [shape("cat", [[12, 10]], "point")])
    assert np.array_equal(found, target(tmp_path, [shape("cat", [[12, 10], [15, 14]], "circle")]))


@pytest.mark.parametrize("kind", ["line", "linestrip"])
def test_a_line_is_10_pixels_wide(tmp_path, kind):
    found = target(tmp_path, [shape("cat", [[4, 12], [20, 12]], kind)])
    assert found[:, 12].sum() == 10
    assert found[:, 4:20].any(0).all()


def test_a_linestrip_goes_on(tmp_path):
    found = target(tmp_path, [shape("cat", [[6, 6], [20, 6], [20, 18]], "linestrip")])
    assert (found[17, 20], found[6, 12], found[17, 8]) == (1, 1, 0)


def test_a_mask_lies_between_its_points_and_is_cut_at_the_border(tmp_path):
    mask = np.array([[1, 0, 1], [0, 1, 0]], np.uint8) * 255
    expected = painted()
    expected[4:6, 5:8] = mask > 0
    item = shape("cat", [[5.0, 4.0], [7.0, 5.0]], "mask", mask=png(mask))
    assert np.array_equal(target(tmp_path, [item]), expected)
    item = shape("cat", [[-1, 23], [1, 24]], "mask", mask=png(mask))
    expected = painted()
    expected[23, :2] = [0, 1]
    assert np.array_equal(target(tmp_path, [item]), expected)


def test_a_later_shape_lies_above_an_earlier_one(tmp_path):
    shapes = [
        shape("dog", [[2, 2], [12, 12]], "rectangle"),
        shape("cat", [[6, 6], [20, 20]], "rectangle"),
        shape("dog", [[8, 8], [9, 9]], "rectangle"),
    ]
    expected = painted((2, 2, 12, 12, 2), (6, 6, 20, 20, 1), (8, 8, 9, 9, 2))
    assert np.array_equal(target(tmp_path, shapes), expected)


# --- labels -----------------------------------------------------------------------------------------

BOX, INNER = [[2, 2], [12, 12]], [[6, 6], [8, 8]]


def test_the_labels_that_occur_become_classes_behind_the_background(tmp_path):
    write(tmp_path, "a", [shape("dog", BOX, "rectangle"), shape("__ignore__", INNER, "rectangle")])
    write(tmp_path, "b", [shape("cat", BOX, "rectangle"), shape("_background_", INNER, "rectangle")])
    source = labelme(tmp_path)
    assert source.labels.names == ("background", "cat", "dog")
    assert np.array_equal(
        source.read_target(source.samples[0]), painted((2, 2, 12, 12, 2), (6, 6, 8, 8, 255))
    )
    assert np.array_equal(source.read_target(source.samples[1]), painted((2, 2, 12, 12, 1), (6, 6, 8, 8, 0)))


@pytest.mark.parametrize(
    ("labels", "cat", "outside"),
    [
        ({"names": ["dog", "_background_", "cat"]}, 2, 1),
        ({"names": ["background", "dog"], "rest": "dog"}, 1, 0),
        ({"names": ["background", "dog"], "rest": "ignore"}, 255, 0),
        ({"names": ["cat", "dog"], "rest": "ignore"}, 0, 255),
        ("binary", 1, 0),
    ],
)
def test_given_classes_are_found_by_name(tmp_path, labels, cat, outside):
    found = target(tmp_path, [shape("cat", BOX, "rectangle")], labels)
    assert (found[5, 5], found[20, 20]) == (cat, outside)


def test_a_multilabel_task_keeps_every_label_of_a_pixel(tmp_path):
    shapes = [
        shape("cat", BOX, "rectangle"),
        shape("dog", INNER, "rectangle"),
        shape("__ignore__", [[0, 0], [1, 1]], "rectangle"),
        shape("bird", [[20, 20], [21, 21]], "rectangle"),
    ]
    found = target(tmp_path, shapes, {"task": "multilabel", "names": ["cat", "dog"], "rest": "none"})
    assert [found[y, x].tolist() for y, x in ((3, 3), (7, 7), (0, 0), (20, 20), (23, 0))] == [
        [1, 0],
        [1, 1],
        [255, 255],
        [0, 0],
        [0, 0],
    ]


def test_an_unknown_label_is_named_with_its_file_and_the_nearest_class(tmp_path):
    write(tmp_path, "a", [shape("catt", BOX, "rectangle")])
    with pytest.raises(UserError, match=r"a.json: the label 'catt' is none of .* did you mean 'cat'\?"):
        labelme(tmp_path, {"names": ["background", "cat"]})
    with pytest.raises(UserError, match="no class `background` for what lies outside all shapes"):
        labelme(tmp_path, {"names": ["catt", "cat"]})


def test_the_classes_of_one_run_read_the_data_of_another(tmp_path):
    write(tmp_path, "a", [shape("dog", BOX, "rectangle"), shape("cat", INNER, "rectangle")])
    first = labelme(tmp_path)
    again = labelme(tmp_path, first.labels)  # as from a checkpoint
    one, other = (s.read_target(s.samples[0]) for s in (first, again))
    assert np.array_equal(one, other)


# --- images and folders -----------------------------------------------------------------------------


def test_folders_are_official_parts_and_groups_are_found(tmp_path):
    for name in ("train/p1_a", "train/p2_b", "val/p3_c"):
        write(tmp_path, name, [shape("cat", BOX, "rectangle")])
    source = labelme(tmp_path, group="(p[0-9])_")
    assert [(s.name, s.group, s.split) for s in source.samples] == [
        ("train/p1_a", "p1", "train"),
        ("train/p2_b", "p2", "train"),
        ("val/p3_c", "p3", "val"),
    ]
    assert source.mask_files(source.samples[0]) == (tmp_path / "train" / "p1_a.json",)
    assert source.target_size(source.samples[0]) == (HEIGHT, WIDTH)
    assert source.faults == []


@pytest.mark.parametrize(
    "path", ["../images/a.png", r"..\images\a.png", "../../data/images/a.png", r"C:\Users\me\a.png"]
)
def test_the_image_is_found_however_its_path_is_written(tmp_path, path):
    root = tmp_path / "data"
    write(root, "json/a", [shape("cat", BOX, "rectangle")], image=False, imagePath=path)
    place = "json" if path.startswith("C:") else "images"
    (root / place).mkdir(exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / place / "a.png")
    source = labelme(root)
    assert source.samples[0].image == root / place / "a.png"


@pytest.mark.parametrize("path", ["../../outside.png", "../data/../../outside.png", "ABSOLUTE"])
def test_an_image_outside_of_the_root_is_refused(tmp_path, path):
    root = tmp_path / "data"
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "outside.png")
    path = str(tmp_path / "outside.png") if path == "ABSOLUTE" else path
    write(root, "json/a", [shape("cat", BOX, "rectangle")], image=False, imagePath=path)
    with pytest.raises(UserError, match=r"a.json: its imagePath leads out of data.root"):
        labelme(root)
    write(root, "json/b", [shape("cat", BOX, "rectangle")])
    source = labelme(root)
    assert [s.name for s in source.samples] == ["json/b"]
    assert [(f.kind, f.severity) for f in source.faults] == [("unpaired", "error")]


@pytest.mark.parametrize("path", ["gone.png", "a.json"])
def test_the_copy_inside_the_file_is_used_where_the_image_is_gone(tmp_path, path, monkeypatch):
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    item = shape("cat", BOX, "rectangle")
    write(tmp_path / "data", "a", [item], image=False, imagePath=path, imageData=png(pixels))
    for _ in range(2):  # unpacked, and found again
        source = labelme(tmp_path / "data")
        image, found = source.read(source.samples[0])
        assert np.array_equal(image, pixels)
        assert found[5, 5] == 1
    assert len(list((tmp_path / "cache" / "labelme").iterdir())) == 1


@pytest.mark.parametrize("broken", ["cut off", "no picture", "no base64", "not ASCII"])
def test_a_broken_copy_is_a_fault_that_names_the_json(tmp_path, broken, monkeypatch):
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    whole = base64.b64decode(png(pixels))
    text = {"no base64": "abcde", "not ASCII": "é"}.get(broken)
    text = text or base64.b64encode(whole[: len(whole) // 2] if broken == "cut off" else b"text").decode()
    item = shape("cat", BOX, "rectangle")
    write(tmp_path / "data", "a", [item])
    path = write(tmp_path / "data", "b", [item], image=False, imagePath="gone.png", imageData=text)
    source = labelme(tmp_path / "data")
    assert [s.name for s in source.samples] == ["a"]
    (fault,) = source.faults
    assert fault.line() == f"{path}: 1 file: imageData cannot be decoded; save it again in labelme"
    assert not (tmp_path / "cache").exists()


def test_a_file_without_sizes_takes_them_from_the_image(tmp_path):
    write(tmp_path, "a", [shape("cat", BOX, "rectangle")], imageHeight=None, imageWidth=None)
    source = labelme(tmp_path)
    assert source.target_size(source.samples[0]) == (HEIGHT, WIDTH)


def test_images_without_a_file_are_a_warning(tmp_path):
    write(tmp_path, "a", [shape("cat", BOX, "rectangle")])
    Image.new("RGB", (4, 4)).save(tmp_path / "forgotten.png")
    (fault,) = labelme(tmp_path).faults
    assert (fault.kind, fault.severity, fault.files) == (
        "unpaired",
        "warning",
        (str(tmp_path / "forgotten.png"),),
    )


# --- mistakes ---------------------------------------------------------------------------------------

WRONG = {
    "without a label": shape(" ", BOX, "rectangle"),
    "without a label,": {"points": BOX},
    "without a label, ": "cat",
    "shape_type is none of polygon": shape("cat", BOX, "spline"),
    "whose shape_type is none of": shape("cat", BOX, ["polygon"]),
    "too few or too many points": shape("cat", BOX, "polygon"),
    "too few or too many": shape("cat", [[1, 1], [2, 2], [3, 3]], "rectangle"),
    "no pairs of numbers": shape("cat", [1, 2, 3]),
    "no pairs of": shape("cat", [["a", "b"], [1, 2], [3, 4]]),
    "pairs of numbers": shape("cat", [[1, 2], [float("nan"), 5], [1, 5]]),
    "mask is no PNG": shape("cat", [[2, 2], [4, 4]], "mask", mask="AAAA"),
    "mask is no": shape("cat", [[2, 2], [4, 4]], "mask"),
    "whose mask is no PNG": shape("cat", [[2, 2], [9, 9]], "mask", mask=png(np.ones((3, 3), np.uint8))),
    "far outside": shape("cat", [[2, 2], [1e9, 4], [4, 4]]),
    "lie outside": shape("cat", [[40, 2], [45, 2], [45, 4]]),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_shape_is_a_fault_and_the_rest_is_drawn(tmp_path, text):
    path = write(tmp_path, "a", [shape("dog", BOX, "rectangle"), WRONG[text]])
    source = labelme(tmp_path)
    (fault,) = source.faults
    assert text.strip(", ") in fault.message
    assert (fault.kind, fault.severity, fault.files) == ("annotation", "error", (str(path),))
    assert np.array_equal(source.read(source.samples[0])[1], painted((2, 2, 12, 12, 1)))


def test_a_shape_that_reaches_out_is_cut_with_a_warning(tmp_path):
    write(tmp_path, "a", [shape("cat", [[-4, -4], [3, 3]], "rectangle")])
    source = labelme(tmp_path)
    assert [f.severity for f in source.faults] == ["warning"]
    assert np.array_equal(source.read(source.samples[0])[1], painted((0, 0, 3, 3, 1)))


def test_broken_and_foreign_files_are_faults(tmp_path):
    write(tmp_path, "a", [shape("cat", BOX, "rectangle")])
    (tmp_path / "broken.json").write_text('{"shapes": [')
    (tmp_path / "coco.json").write_text('{"images": [], "annotations": []}')
    (tmp_path / "deep.json").write_bytes(b"[" * 100000)
    write(tmp_path, "huge", [], imageHeight=10**9, imageWidth=10**9)
    write(tmp_path, "odd", [], imageHeight=True)
    source = labelme(tmp_path)
    assert [s.name for s in source.samples] == ["a"]
    found = {tuple(f.rpartition("/")[2] for f in fault.files): fault for fault in source.faults}
    assert found["broken.json", "deep.json"].severity == "error"
    assert found[("coco.json",)].severity == "warning"
    assert "imageHeight" in found["huge.json", "odd.json"].message
    assert not any("\n" in fault.line() for fault in source.faults)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", r"a.json: no labelme file \(it has no list `shapes`\)"),
        ("{", r"a.json: not readable as JSON"),
        ('{"shapes": [], "imagePath": 3}', r"a.json: its image is neither at imagePath"),
        ('{"shapes": [], "imagePath": null, "imageData": "?"}', r"a.json: its image is neither at imagePath"),
    ],
)
def test_data_without_a_single_good_file_is_one_line(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=message):
        labelme(tmp_path)


def test_data_without_labels_or_files_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"expected files that end with \.json"):
        labelme(tmp_path)
    write(tmp_path, "a", [shape("__ignore__", BOX, "rectangle")])
    with pytest.raises(UserError, match="there is nothing to learn"):
        labelme(tmp_path)
