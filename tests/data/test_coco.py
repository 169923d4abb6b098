import importlib.util
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as tools
from pycocotools.coco import COCO

from segkit.data.coco import coco
from segkit.data.count import count_pixels
from segkit.data.labels import read_labels
from segkit.data.region import run_area, run_mask, unpack_runs
from segkit.types import UserError

HEIGHT, WIDTH = 20, 30
# pycocotools' decoder, which only the tests call, is behind numpy's times.
old_numpy = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
CATEGORIES = [{"id": 1, "name": "date"}, {"id": 3, "name": "fig"}, {"id": 7, "name": "nut"}]


def box(left, top, right, bottom):
    """The polygon of the pixels left..right - 1, top..bottom - 1."""
    return [left, top, right, top, right, bottom, left, bottom]


def annotation(category, shape, image=1, **more):
    return {"id": more.pop("id", 0), "image_id": image, "category_id": category, "segmentation": shape} | more


def write(root, annotations, name="trainval.json", folder="images", files=("a.jpg",), categories=CATEGORIES):
    """An export: images 1, 2, ... and their annotations."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    images = []
    for number, file in enumerate(files, start=1):
        path = root / folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(path)
        images.append({"id": number, "file_name": file, "height": HEIGHT, "width": WIDTH})
    document = {"images": images, "categories": categories, "annotations": annotations}
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def ids(source, position=0):
    """The target as category ids, 0 for the background, -1 for ignored."""
    sample = source.samples[position]
    target = source.read(sample)[1]
    table = np.full(256, -1)
    for index, numbers in enumerate(source.labels.ids):
        table[index] = numbers[0]
    return table[target]


def by_hand(*painted):
    canvas = np.zeros((HEIGHT, WIDTH), int)
    for (left, top, right, bottom), value in painted:
        canvas[top:bottom, left:right] = value
    return canvas


def uncompressed(mask):
    flat = mask.ravel(order="F")
    borders = [0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]
    runs = [int(r) for r in np.diff(borders)]
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


# --- shapes -------------------------------------------------------------------------------------


@old_numpy
def test_every_kind_of_annotation_is_drawn_as_pycocotools_draws_it(tmp_path):
    rng = np.random.default_rng(0)
    shapes = [rng.uniform(0, [WIDTH, HEIGHT], (n, 2)).ravel().tolist() for n in (3, 4, 7, 12)]
    blob = (rng.random((HEIGHT, WIDTH)) < 0.3).astype(np.uint8)
    packed = tools.encode(np.asfortranarray(blob))
    kinds = [
        [shapes[0]],
        [shapes[1], shapes[2]],  # several parts
        [[-3.0, -2.0, 12.0, 4.5, 40.0, 25.0]],  # reaches out
        [shapes[3]],
        {"size": packed["size"], "counts": packed["counts"].decode()},
        uncompressed(blob),
    ]
    files = [f"{i}.jpg" for i in range(len(kinds))]
    items = [annotation(3, kind, image=i + 1, id=i) for i, kind in enumerate(kinds)]
    path = write(tmp_path, items, files=files)
    source, theirs = coco(tmp_path, annotations="trainval.json"), COCO(path)
    for position, item in enumerate(items):
        expected = theirs.annToMask(theirs.anns[item["id"]])
        assert np.array_equal(ids(source, position), 3 * expected), kinds[position]
    assert np.array_equal(ids(source, 4), 3 * blob)


masks = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0, 1)).map(
    lambda t: (np.random.default_rng(t[2]).random((t[0], t[1])) < t[3]).astype(np.uint8)
)


@old_numpy
@given(masks)
def test_compressed_run_lengths_are_read_as_pycocotools_writes_them(mask):
    packed = tools.encode(np.asfortranarray(mask))
    runs = unpack_runs(packed["counts"])
    assert runs.tolist() == uncompressed(mask)["counts"]
    assert run_area(runs) == tools.area(packed) == mask.sum()
    start, inner = run_mask(runs)
    flat = np.zeros(mask.size, np.uint8)
    flat[start : start + len(inner)] = inner
    assert np.array_equal(flat.reshape(mask.shape, order="F"), tools.decode(packed))


@given(st.lists(st.integers(0, 2**24), min_size=1, max_size=30))
def test_long_runs_survive_compression(runs):
    packed = tools.frPyObjects({"size": [1, sum(runs)], "counts": runs}, 1, max(sum(runs), 1))
    assert unpack_runs(packed["counts"]).tolist() == runs


@given(st.binary(max_size=40))
def test_any_other_text_is_refused_or_gives_whole_numbers(text):
    try:
        runs = unpack_runs(text)
    except ValueError:
        return
    assert runs.dtype == np.int64


# --- overlap, crowds, several files -------------------------------------------------------------

BIG, SMALL, LATER = (2, 2, 20, 16), (8, 6, 12, 10), (10, 4, 28, 8)
PILE = [annotation(1, [box(*SMALL)]), annotation(3, [box(*BIG)]), annotation(7, [box(*LATER)])]


def test_the_smallest_annotation_lies_on_top(tmp_path):
    write(tmp_path, PILE)
    source = coco(tmp_path, annotations="trainval.json")
    assert np.array_equal(ids(source), by_hand((BIG, 3), (LATER, 7), (SMALL, 1)))


def test_of_equal_annotations_the_later_lies_on_top(tmp_path):
    first, second = (2, 2, 10, 6), (6, 2, 14, 6)
    write(tmp_path, [annotation(7, [box(*first)]), annotation(1, [box(*second)])])
    assert np.array_equal(ids(coco(tmp_path, annotations="trainval.json")), by_hand((first, 7), (second, 1)))


def test_the_last_annotation_lies_on_top_on_request(tmp_path):
    write(tmp_path, PILE)
    source = coco(tmp_path, annotations="trainval.json", overlap="last")
    assert np.array_equal(ids(source), by_hand((SMALL, 1), (BIG, 3), (LATER, 7)))


def test_overlap_of_different_classes_can_be_ignored(tmp_path):
    same = (22, 6, 26, 12)  # a second nut over the first: no contradiction
    write(tmp_path, [*PILE, annotation(7, [box(*same)])])
    source = coco(tmp_path, annotations="trainval.json", overlap="ignore")
    layers = [by_hand((area, value)) for area, value in ((SMALL, 1), (BIG, 3), (LATER, 7), (same, 7))]
    found = np.stack(layers)
    expected = found.max(0)
    lowest = np.where(found > 0, found, 99).min(0)
    expected[(lowest < 99) & (lowest != expected)] = -1
    assert np.array_equal(ids(source), expected)


def test_overlap_within_one_merged_class_is_no_contradiction(tmp_path):
    write(tmp_path, PILE)
    labels = {"names": ["background", "food"], "ids": [0, [1, 3, 7]]}
    source = coco(tmp_path, labels, annotations="trainval.json", overlap="ignore")
    assert set(np.unique(source.read(source.samples[0])[1])) == {0, 1}


def test_a_multilabel_task_keeps_every_class_of_a_pixel(tmp_path):
    crowd = (0, 17, 5, 20)
    write(tmp_path, [*PILE, annotation(1, uncompressed(by_hand((crowd, 1))), iscrowd=1)])
    labels = {"task": "multilabel", "names": ["date", "fig", "nut"], "ids": [1, 3, 7], "rest": "none"}
    source = coco(tmp_path, labels, annotations="trainval.json", overlap="ignore")
    target = source.read(source.samples[0])[1]
    expected = np.stack([by_hand((a, 1)) for a in (SMALL, BIG, LATER)], -1)
    expected[by_hand((crowd, 1)) == 1] = 255
    assert np.array_equal(target, expected)


@pytest.mark.parametrize(("crowd", "value"), [("ignore", -1), ("class", 3)])
def test_crowds_are_ignored_but_for_what_is_annotated_in_them(tmp_path, crowd, value):
    inside = (8, 6, 12, 10)
    region = uncompressed(by_hand((BIG, 1)))
    write(tmp_path, [annotation(1, [box(*inside)]), annotation(3, region, iscrowd=1)])
    source = coco(tmp_path, annotations="trainval.json", crowd=crowd)
    assert np.array_equal(ids(source), by_hand((BIG, value), (inside, 1)))


def test_stuff_lies_below_things_however_small_it_is(tmp_path):
    stuff = [{"id": 92, "name": "banner"}, {"id": 183, "name": "other"}]
    wall, other = by_hand(((0, 0, 30, 3), 1)), by_hand(((9, 7, 11, 9), 1))
    write(tmp_path, [annotation(3, [box(*BIG)])], "annotations/instances_train2017.json", "train2017")
    packed = tools.encode(np.asfortranarray(wall.astype(np.uint8)))
    packed["counts"] = packed["counts"].decode()
    items = [annotation(92, packed), annotation(183, uncompressed(other))]
    write(tmp_path, items, "annotations/stuff_train2017.json", "train2017", categories=stuff)
    files = ["annotations/stuff_train2017.json", "annotations/instances_train2017.json"]
    source = coco(tmp_path, train_annotations=files)
    assert source.labels.names == ("background", "date", "fig", "nut", "banner", "other")
    assert np.array_equal(ids(source), by_hand(((0, 0, 30, 3), 92), (BIG, 3)))
    assert [p.name for p in source.mask_files(source.samples[0])] == [f.split("/")[1] for f in files]
    official = coco(tmp_path, "coco171", train_annotations=files)
    target = official.read(official.samples[0])[1]
    assert official.labels.names[target[1, 0]] == "banner"
    assert target[19, 29] == 255  # nobody annotated it


# --- layout -------------------------------------------------------------------------------------


def test_cocos_own_layout_is_found_by_itself(tmp_path):
    for part, number in (("train", 9), ("val", 139)):
        file = f"{number:012d}.jpg"
        write(tmp_path, PILE, f"annotations/instances_{part}2017.json", f"{part}2017", (file,))
    (tmp_path / "annotations" / "captions_train2017.json").write_text("{}")
    source = coco(tmp_path)
    assert [(s.name, s.split) for s in source.samples] == [("000000000009", "train"), ("000000000139", "val")]
    assert source.samples[0].image == tmp_path / "train2017" / "000000000009.jpg"
    assert source.samples[0].mask == tmp_path / "annotations" / "instances_train2017.json"
    assert source.target_size(source.samples[0]) == (HEIGHT, WIDTH)
    assert source.faults == []


def test_names_carry_their_part_where_parts_share_them(tmp_path):
    for part in ("train", "valid"):
        write(tmp_path, PILE, f"{part}/_annotations.coco.json", part, ("0001.jpg", "0002.jpg"))
    source = coco(
        tmp_path,
        train_annotations="train/_annotations.coco.json",
        val_annotations="valid/_annotations.coco.json",
    )
    assert [s.name for s in source.samples] == ["train/0001", "train/0002", "val/0001", "val/0002"]
    assert source.samples[3].image == tmp_path / "valid" / "0002.jpg"


def test_a_group_is_found_in_the_name_and_parts_stay_open(tmp_path):
    write(tmp_path, PILE, files=("p1_a.jpg", "p1_b.jpg", "sub/p2_a.jpg"))
    source = coco(tmp_path, annotations="trainval.json", group="(p[0-9]+)_")
    assert [(s.name, s.group, s.split) for s in source.samples] == [
        ("p1_a", "p1", ""),
        ("p1_b", "p1", ""),
        ("sub/p2_a", "p2", ""),
    ]


def test_data_without_official_parts_is_counted_after_it_was_divided(tmp_path):
    write(tmp_path, PILE, files=("a.jpg", "b.jpg"))
    source = coco(tmp_path, annotations="trainval.json")
    samples = [s._replace(split=p) for s, p in zip(source.samples, ("train", "val"), strict=True)]
    assert source.mask_files(samples[0]) == (tmp_path / "trainval.json",)
    counts = count_pixels(source, samples, cache=tmp_path / "cache")
    assert counts.sum(1).tolist() == [HEIGHT * WIDTH] * 2


def test_images_without_annotation_are_background_or_left_out_or_unlabelled(tmp_path):
    write(tmp_path, PILE, files=("a.jpg", "empty.jpg"))
    assert not ids(coco(tmp_path, annotations="trainval.json"), 1).any()
    skipped = coco(tmp_path, annotations="trainval.json", unannotated="skip")
    assert [s.name for s in skipped.samples] == ["a"]
    open_ = coco(tmp_path, annotations="trainval.json", unannotated="unlabelled")
    assert [s.mask is None for s in open_.samples] == [False, True]
    assert open_.read(open_.samples[1])[1] is None
    assert open_.target_size(open_.samples[1]) is None


def test_a_file_without_annotations_must_be_meant(tmp_path):
    path = write(tmp_path, [])
    document = json.loads(path.read_text())
    del document["annotations"]  # as in image_info_test2017.json
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"every pixel would be background; .*data.unannotated=unlabelled"):
        coco(tmp_path, annotations="trainval.json")
    source = coco(tmp_path, annotations="trainval.json", unannotated="unlabelled")
    assert source.samples[0].mask is None


def test_the_annotations_of_a_large_set_are_kept_without_masks(tmp_path):
    items = [annotation(3, [box(*BIG)], image=i % 500 + 1) for i in range(5000)]
    path = write(tmp_path, items)
    document = json.loads(path.read_text())
    document["images"] = [dict(document["images"][0], id=i + 1, height=4000, width=6000) for i in range(500)]
    for i, image in enumerate(document["images"]):
        image["file_name"] = f"{i}.jpg"
    path.write_text(json.dumps(document))
    for i in range(500):
        (tmp_path / "images" / f"{i}.jpg").touch()
    tracemalloc.start()
    coco(tmp_path, annotations="trainval.json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # one mask of this size has 24 MB


# --- classes ------------------------------------------------------------------------------------


def test_the_files_own_categories_come_behind_the_background_in_the_order_of_their_ids(tmp_path):
    colored = [{"id": 9, "name": "b", "color": [1, 2, 3]}, {"id": 2, "name": "a", "color": [4, 5, 6]}]
    write(tmp_path, [annotation(9, [box(*BIG)])], categories=colored)
    labels = coco(tmp_path, annotations="trainval.json").labels
    assert labels.names == ("background", "a", "b")
    assert labels.ids == ((0,), (2,), (9,))
    assert labels.colors[1:] == ((4, 5, 6), (1, 2, 3))


def test_a_category_with_the_id_zero_moves_the_background(tmp_path):
    write(tmp_path, [annotation(0, [box(*BIG)])], categories=[{"id": 0, "name": "a"}, {"id": 1, "name": "b"}])
    source = coco(tmp_path, annotations="trainval.json")
    assert source.labels.ids == ((65535,), (0,), (1,))
    target = source.read(source.samples[0])[1]
    assert np.array_equal(target, by_hand((BIG, 1)))
    again = coco(tmp_path, source.labels, annotations="trainval.json")  # as from a checkpoint
    assert np.array_equal(again.read(again.samples[0])[1], target)
    with pytest.raises(UserError, match=r"0 is the category 'a' here, .*ids: \[65535, \[0, 1\]\]"):
        coco(tmp_path, "binary", annotations="trainval.json")


def test_a_category_called_background_is_the_background(tmp_path):
    categories = [{"id": 4, "name": "Background"}, {"id": 5, "name": "a"}]
    write(tmp_path, [annotation(5, [box(*BIG)]), annotation(4, [box(*SMALL)])], categories=categories)
    source = coco(tmp_path, annotations="trainval.json")
    assert source.labels.names == ("background", "a")
    assert np.array_equal(source.read(source.samples[0])[1], by_hand((BIG, 1), (SMALL, 0)))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("binary", by_hand((BIG, 1))),
        ({"names": ["background", "fig"], "ids": [0, 3], "ignore": [7]}, by_hand((BIG, 1))),
        ({"names": ["fig", "date"], "ids": [3, 1], "rest": "ignore"}, by_hand((BIG, 1)) - 1),
    ],
)
def test_given_labels_map_category_ids(tmp_path, labels, expected):
    write(tmp_path, [annotation(3, [box(*BIG)])])
    source = coco(tmp_path, labels, annotations="trainval.json")
    assert np.array_equal(source.read(source.samples[0])[1], expected.astype(np.uint8))


def test_official_labels_fit_cocos_category_ids():
    things = read_labels("coco80")
    assert (things.num_classes, things.names[0], things.ids[0]) == (81, "background", (0,))
    known = {1: "person", 13: "stop sign", 27: "backpack", 44: "bottle", 62: "chair", 90: "toothbrush"}
    everything = read_labels("coco171")
    for labels in (things, everything):
        assert {labels.ids[labels.names.index(n)][0]: n for n in known.values()} == known
    gaps = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}  # paper's categories that were never annotated
    assert {i for (i,) in everything.ids} == set(range(1, 183)) - gaps
    assert everything.ignore == (0, 183)
    assert [everything.names[everything.ids.index((i,))] for i in (92, 149, 169, 182)] == [
        "banner",
        "road",
        "tree",
        "wood",
    ]


# --- mistakes -----------------------------------------------------------------------------------


def fault(tmp_path, item, **more):
    good = annotation(1, [box(*SMALL)], id=100)
    path = write(tmp_path, [good, item], **more)
    source = coco(tmp_path, annotations="trainval.json")
    assert np.array_equal(ids(source) == 1, by_hand((SMALL, 1)) == 1)  # the others are still there
    (found,) = source.faults
    assert (found.kind, found.files) == ("annotation", (str(path),))
    return found


WRONG = {
    "id 5, first in a.jpg) have no outline": (annotation(1, []), "error"),
    "have no outline (a box alone?)": ({"image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4]}, "error"),
    "refer to an image that the file does not list": (annotation(1, [box(*BIG)], image=99), "warning"),
    "have a category that the file does not list": (annotation(42, [box(*BIG)]), "error"),
    "polygon of less than 3 points": (annotation(1, [[1, 1, 5, 5]]), "warning"),
    "a polygon that is no list of numbers": (annotation(1, [[1, 1, 5, 5, 3, 3, 9]]), "error"),
    "is no list of numbers x, y": (annotation(1, [1, 1, 5, 1, 5, 5]), "error"),
    "no list of numbers x": (annotation(1, [["a", 1, 5, 1, 5, 5]]), "error"),
    "that is no list": (annotation(1, "polygon"), "error"),
    "have points far outside": (annotation(1, [[1e9, 1, 5, 1, 5, 5]]), "error"),
    "points far outside their picture": (annotation(1, [[float("nan"), 1, 5, 1, 5, 5]]), "error"),
    "lie outside their picture": (annotation(1, [box(31, 2, 40, 9)]), "error"),
    "reach out of their picture": (annotation(1, [box(*SMALL), box(27, 17, 34, 24)]), "warning"),
    "run lengths for a picture of another size": (annotation(1, {"size": [9, 9], "counts": [81]}), "error"),
    "run lengths that are none": (annotation(1, {"size": [20, 30], "counts": [3, 4]}), "error"),
    "lengths that are none": (annotation(1, {"size": [20, 30], "counts": [-3, 603]}), "error"),
    "that are none": (annotation(1, {"counts": [600]}), "error"),
    # 600 modulo 2^64: a sum that goes round must not ask for all memory.
    "have run lengths that are none": (
        annotation(1, {"size": [20, 30], "counts": [2**62] * 4 + [600]}),
        "error",
    ),
    "are none": (annotation(1, {"size": [20, 30], "counts": "ä"}), "error"),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_annotation_is_a_fault_and_the_rest_is_kept(tmp_path, text):
    item, severity = WRONG[text]
    if text.startswith("reach"):
        path = write(tmp_path, [item])
        (found,) = coco(tmp_path, annotations="trainval.json").faults
        assert found.files == (str(path),)
    else:
        found = fault(tmp_path, item | {"id": 5})
    assert text in found.message
    assert found.severity == severity
    assert "\n" not in found.line()


@pytest.mark.parametrize("counts", ["03", "oooooooooooooooooooo0", "o", "PPYo1"])
def test_run_lengths_that_do_not_fit_are_named_when_they_are_read(tmp_path, counts):
    write(tmp_path, [annotation(1, {"size": [HEIGHT, WIDTH], "counts": counts})])
    source = coco(tmp_path, annotations="trainval.json")
    with pytest.raises(UserError, match=r"trainval.json: an annotation of a.jpg cannot be drawn") as caught:
        source.read(source.samples[0])
    assert "\n" not in str(caught.value)


def test_images_that_are_missing_are_faults(tmp_path):
    write(tmp_path, PILE, files=("a.jpg", "b.jpg"))
    (tmp_path / "images" / "b.jpg").unlink()
    source = coco(tmp_path, annotations="trainval.json")
    assert [s.name for s in source.samples] == ["a"]
    assert [(f.kind, f.files) for f in source.faults] == [("unpaired", (str(tmp_path / "images" / "b.jpg"),))]
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(UserError, match=r"none of the 2 images of .*trainval.json exists .*set data.images"):
        coco(tmp_path, annotations="trainval.json")


def edited(tmp_path, change):
    path = write(tmp_path, PILE)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(change(document) or document))


BROKEN = {
    "no list `images`": lambda d: d.pop("images") and None,
    "no list `categories`": lambda d: d.pop("categories") and None,
    "holds list, such as results have": lambda d: d["annotations"],
    "image a.jpg has no height and width": lambda d: d["images"][0].pop("height") and None,
    "image a.jpg cannot be 9000000x9000000": lambda d: d["images"][0].update(height=9000000, width=9000000),
    "image a.jpg has no height": lambda d: d["images"][0].update(height=True),
    "image 0 has no file_name": lambda d: d["images"][0].pop("file_name") and None,
    "image id 1 stands for a.jpg and for a.jpg": lambda d: d["images"].append(d["images"][0]),
    "lists no images": lambda d: d["images"].clear(),
    "needs a name and an id": lambda d: d["categories"].append({"id": "x", "name": "y"}),
    "category id 1 is both 'date' and 'y'": lambda d: d["categories"].append({"id": 1, "name": "y"}),
    "category ids 1 and 8 are both called 'date'": lambda d: d["categories"].append(
        {"id": 8, "name": "date"}
    ),
    "annotation 0 has no image_id": lambda d: d["annotations"][0].pop("image_id") and None,
    "annotation 0 has no image_id or category_id": lambda d: d["annotations"].insert(0, 5),
    "no annotation refers to an image that is listed": lambda d: d["images"][0].update(id="1"),
    "holds panoptic annotations": lambda d: d["annotations"][0].update(segments_info=[]),
    "none of the 1 images": lambda d: d["images"][0].update(file_name="i" * 300 + "/a.jpg"),
    "leads out of": lambda d: d["images"][0].update(file_name="../../../etc/passwd"),
    "out of .* and of data.root": lambda d: d["images"][0].update(file_name="/etc/passwd"),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_file_is_one_line(tmp_path, message):
    edited(tmp_path, BROKEN[message])
    with pytest.raises(UserError, match=message) as caught:
        coco(tmp_path, annotations="trainval.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{", b"[" * 100000])
def test_what_is_no_json_is_one_line(tmp_path, content):
    write(tmp_path, PILE).write_bytes(content)
    with pytest.raises(UserError, match=r"trainval.json cannot be read as JSON") as caught:
        coco(tmp_path, annotations="trainval.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, r"no annotations/instances_train\*.json; it holds trainval.json: set data.annotations=trainval"),
        ({"annotations": "nowhere.json"}, r"nowhere.json does not exist"),
        ({"annotations": "trainval.json", "images": "nowhere"}, r"data.images=nowhere: no such folder in"),
        ({"annotations": "trainval.json", "val_annotations": "x"}, "keep one of them"),
        ({"annotations": "trainval.json", "val_images": "images"}, "data.val_images is set, but data.val_an"),
        ({"annotations": "trainval.json", "labels": {"names": ["a", "b"], "ids": [1, 3]}}, "no id 0"),
        (
            {"annotations": "trainval.json", "labels": {"names": ["background", "b"], "ids": [0, 3]}},
            r"do not know the category ids 1 \('date', 1 annotations\), 7 \('nut', 1 annotations\)",
        ),
    ],
)
def test_a_wrong_key_is_named_with_the_right_one(tmp_path, keys, message):
    write(tmp_path, PILE)
    with pytest.raises(UserError, match=message) as caught:
        coco(tmp_path, **keys)
    assert "\n" not in str(caught.value)


def test_two_years_of_coco_must_be_told_apart(tmp_path):
    for year in (2014, 2017):
        write(tmp_path, PILE, f"annotations/instances_train{year}.json", f"train{year}")
    with pytest.raises(
        UserError, match=r"choose with data.train_annotations=annotations/instances_train2017"
    ):
        coco(tmp_path)


def test_parts_with_other_categories_are_refused(tmp_path):
    write(tmp_path, PILE, "train.json")
    write(tmp_path, PILE, "val.json", categories=[*CATEGORIES[:2], {"id": 7, "name": "pear"}])
    with pytest.raises(UserError, match=r"val.json: category id 7 is 'pear', but 'nut' in another file"):
        coco(tmp_path, train_annotations="train.json", val_annotations="val.json")


def test_polygons_without_pycocotools_say_what_to_install(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    hidden = lambda name, *a: None if name == "pycocotools" else find(name, *a)  # noqa: E731
    monkeypatch.setattr("segkit.data.coco.importlib.util.find_spec", hidden)
    write(tmp_path, PILE)
    with pytest.raises(UserError, match=r"pip install 'segkit\[coco\]'"):
        coco(tmp_path, annotations="trainval.json")
    write(tmp_path, [annotation(3, uncompressed(by_hand((BIG, 1))))])
    assert np.array_equal(ids(coco(tmp_path, annotations="trainval.json")), by_hand((BIG, 3)))


def test_an_image_of_another_size_than_its_json_says_is_named(tmp_path):
    write(tmp_path, PILE)
    Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / "images" / "a.jpg")
    source = coco(tmp_path, annotations="trainval.json")
    with pytest.raises(UserError, match=r"a.jpg is 20x30 but its mask .*trainval.json is 30x20"):
        source.read(source.samples[0])
