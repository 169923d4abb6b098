import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segkit.data.labels import labels_yaml, read_labels, shipped_labels
from segkit.data.palette import safe_colors, seen
from segkit.types import LabelSpace, UserError

VOID = [0, 1, 2, 3, 4, 5, 6]
NOT_EVALUATED = [9, 10, 14, 15, 16, 18, 29, 30]


def test_cityscapes19_maps_label_ids_to_the_official_train_ids():
    train_ids = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11}
    train_ids |= {25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    labels = read_labels("cityscapes19")
    target = labels.encode(np.arange(34, dtype=np.uint8)[None])[0]
    assert target.tolist() == [train_ids.get(i, 255) for i in range(34)]
    assert labels.parents[labels.names.index("rider")] == "human"
    assert len(set(labels.parents)) == 7
    assert labels.colors[labels.names.index("car")] == (0, 0, 142)


def test_cityscapes8_gives_every_label_id_a_category():
    target = read_labels("cityscapes8").encode(np.arange(34, dtype=np.uint8)[None])[0]
    sizes = np.bincount(target, minlength=8)
    assert sizes.tolist() == [7, 4, 6, 4, 2, 1, 2, 8]
    assert target[VOID].tolist() == [0] * 7


def test_cityscapes7_ignores_void_and_what_the_benchmark_does_not_evaluate():
    fine, coarse = read_labels("cityscapes19"), read_labels("cityscapes7")
    ids = np.arange(34, dtype=np.uint8)[None]
    target = coarse.encode(ids)[0]
    assert set(np.flatnonzero(target == 255)) == {*VOID, *NOT_EVALUATED}
    parents = [coarse.names.index(p) for p in fine.parents]
    assert [parents[c] for c in fine.encode(ids)[0] if c != 255] == [c for c in target if c != 255]


def test_camvid11_has_segnets_order_and_ignores_void():
    labels = read_labels("camvid11")
    assert labels.names[:4] == ("sky", "building", "pole", "road")
    assert labels.encode(np.array([[0, 10, 11]], np.uint8)).tolist() == [[0, 10, 255]]


@pytest.mark.parametrize("values", [[0, 1], [0, 255], [0, 4000], [0, 2**32 - 1]])
def test_binary_takes_every_value_but_zero_as_foreground(values):
    mask = np.array([values], np.uint32)
    assert read_labels("binary").encode(mask).tolist() == [[0, 1]]


@pytest.mark.parametrize("name", shipped_labels())
def test_every_shipped_label_space_survives_a_checkpoint(name):
    labels = read_labels(name)
    assert LabelSpace.from_dict(labels.to_dict()) == labels
    assert len(set(labels.colors)) == labels.num_classes


def test_a_file_and_a_mapping_mean_the_same(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("names: [road, {name: vehicle, ids: [13, 14], color: [1, 2, 3]}]\nids: null\n")
    with pytest.raises(UserError, match="class 'road' has no ids while 'vehicle' has"):
        read_labels(str(path))
    path.write_text(
        "names:\n- {name: road, ids: 7}\n- {name: vehicle, ids: [13, 14], color: [1, 2, 3]}\nignore: 0\n"
    )
    labels = read_labels(path)
    inline = {"names": ["road", "vehicle"], "ids": [7, [13, 14]], "ignore": [0], "colors": [None, [1, 2, 3]]}
    assert labels == read_labels(inline)
    assert labels.encode(np.array([[7, 14, 0]], np.uint8)).tolist() == [[0, 1, 255]]
    assert read_labels(labels) is labels


def test_ids_default_to_the_positions_of_the_names():
    labels = read_labels({"names": ["a", "b", "c"]})
    assert labels.ids == ((0,), (1,), (2,))
    assert labels.ignore == (255,)


def test_256_classes_move_the_ignore_index_instead_of_colliding_with_it():
    labels = read_labels({"names": [f"c{i}" for i in range(256)], "ignore": [300]})
    target = labels.encode(np.array([[255, 300]], np.uint16))
    assert target.dtype == np.uint16
    assert target.tolist() == [[255, 65535]]
    assert read_labels({"names": [f"c{i}" for i in range(256)]}).ignore == ()


def test_multilabel_ids_may_stand_in_several_classes():
    spec = {"task": "multilabel", "names": ["organ", "tumour"], "ids": [[1, 2], [2]], "rest": "none"}
    labels = read_labels(spec)
    target = labels.encode(np.array([[0, 1, 2, 255]], np.uint8))
    assert target.tolist() == [[[0, 0], [1, 0], [1, 1], [255, 255]]]


@pytest.mark.parametrize(("rest", "expected"), [("ignore", [255, 255]), ("tumour", [0, 1])])
def test_multilabel_obeys_rest(rest, expected):
    labels = read_labels({"task": "multilabel", "names": ["organ", "tumour"], "ids": [1, 2], "rest": rest})
    assert labels.encode(np.array([[9, 1]], np.uint8)).tolist() == [[expected, [1, 0]]]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60))
def test_encoding_agrees_with_a_dictionary(values):
    labels = read_labels({"names": ["a", "b", "c"], "ids": [[0, 7], 200, 299], "ignore": [255], "rest": "b"})
    expected = [{0: 0, 7: 0, 200: 1, 299: 2, 255: 255}.get(v, 1) for v in values]
    assert labels.encode(np.array([values], np.uint16))[0].tolist() == expected


def test_an_unknown_id_is_named_with_its_pixels_even_beyond_the_table():
    labels = read_labels({"names": ["a", "b"]})
    with pytest.raises(UserError, match=r"70000 \(2 pixels\)"):
        labels.encode(np.array([[0, 70000, 70000]], np.uint32))


RED, GREEN, BLUE = [255, 0, 0], [0, 128, 0], [0, 0, 255]
COLORS = {"masks": "color", "names": ["a", "b"]}
BAD = {
    "names.*twice": {"names": ["a", "a"]},
    "id 1 is both 'a' and 'b'": {"names": ["a", "b"], "ids": [1, 1]},
    "id 3 is both class 'b' and in `ignore`": {"names": ["a", "b"], "ids": [1, 3], "ignore": [3]},
    "color of class 'a'": {"names": ["a", "b"], "colors": [[0, 0, 256], [0, 0, 0]]},
    "2 names, colors: 1": {"names": ["a", "b"], "colors": [[0, 0, 0]]},
    "2 names, ids: 3": {"names": ["a", "b"], "ids": [1, 2, 3]},
    "task: binary": {"names": ["a"]},
    "exactly 2 names": {"task": "binary", "names": ["a", "b", "c"]},
    "unknown key `colours`; did you mean 'colors'": {"names": ["a", "b"], "colours": []},
    "unknown key of class 0 `colour`; did you mean 'color'": {"names": [{"name": "a", "colour": 1}, "b"]},
    "65535": {"names": [f"c{i}" for i in range(65536)], "ignore": []},
    "put it in quotes": {"names": ["yes", False]},
    "has a meaning in `rest`": {"names": ["a", "ignore"]},
    "no mask value": {"names": ["a", "b"], "ids": [-1, 2]},
    "hold a number twice": {"names": ["a", "b"], "ids": [[1, 1], 2]},
    "given twice": {"names": [{"name": "a", "ids": 1}, "b"], "ids": [1, 2]},
    "rest=erorr; did you mean 'error'": {"names": ["a", "b"], "rest": "erorr"},
    "task=multi is unknown": {"names": ["a", "b"], "task": "multi"},
    "must list the classes": {"ids": [1, 2]},
    "'b' has no parent": {"names": [{"name": "a", "parent": "x"}, "b"]},
    "masks=colour is unknown; choose index, color": {"names": ["a", "b"], "masks": "colour"},
    "masks: color goes with task: multiclass": {"names": ["a"], "masks": "color", "task": "multilabel"},
    r"ids of class 'a': 3 is no colour; with masks: color give \[red": {**COLORS, "ids": [3, RED]},
    r"ids of class 'a': 7 is no colour": {**COLORS, "ids": [[7, 8], RED]},
    r"ids of class 'a': \[0, 0, 256\] is no colour": {**COLORS, "ids": [[[0, 0, 256]], RED]},
    r"color of class 'b' must be": {**COLORS, "colors": [RED, 5]},
    r"ignore: 255 is no colour": {**COLORS, "colors": [RED, GREEN], "ignore": 255},
    r"colour \(255, 0, 0\) is both 'a' and 'b'; .*; merge these classes": {**COLORS, "colors": [RED, RED]},
    r"hold a colour twice: \[\(255, 0, 0\), \(255, 0, 0\)\]": {**COLORS, "ids": [[RED, RED], GREEN]},
    r"\(255, 0, 0\) is both class 'a' and in `ignore`": {**COLORS, "colors": [RED, GREEN], "ignore": [RED]},
    "class 'b' has no color, by which masks: color knows it": {**COLORS, "colors": [RED, None]},
    r"ids of class 'b': \[255, 0, 0\] is a colour; set masks: color": {
        "names": ["a", "b"],
        "ids": [1, [RED]],
    },
}


@pytest.mark.parametrize("message", BAD)
def test_a_mistake_is_named_in_one_line(message):
    with pytest.raises(UserError, match=message) as caught:
        read_labels(BAD[message])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cityscape19", "did you mean 'cityscapes19'"),
        (None, "data.labels is not set: give one of .*binary, .*`python -m segkit.analyze .* writes one"),
        ("nowhere.yaml", "does not exist"),
    ],
)
def test_a_wrong_name_says_what_to_type(spec, message):
    with pytest.raises(UserError, match=message):
        read_labels(spec)


def test_broken_yaml_is_one_line(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("names: [a, b\nids: :")
    with pytest.raises(UserError, match=r"broken.yaml: not readable as YAML") as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)


def test_default_colours_differ_for_every_kind_of_vision():
    colors = seen(np.array([(0, 0, 0), *safe_colors(20)]))
    distance = np.linalg.norm(colors[:, :, None] - colors[:, None], axis=-1).min(0)
    assert distance[~np.eye(21, dtype=bool)].min() > 15  # 2.3 is just noticeable
    assert len(safe_colors(1000)) == 1000


def packed(*colors):
    return np.array([[65536 * r + 256 * g + b for r, g, b in colors]], np.uint32)


def test_colours_mean_classes_and_several_may_mean_one():
    labels = read_labels(
        {
            "masks": "color",
            "names": [
                {"name": "road", "color": RED},
                {"name": "car", "ids": [GREEN, BLUE]},
                {"name": "tree", "ids": [[1, 2, 3]], "color": [9, 9, 9]},
            ],
            "ignore": [[0, 0, 0]],
        }
    )
    assert labels.encode(packed(RED, GREEN, BLUE, [1, 2, 3], [0, 0, 0])).tolist() == [[0, 1, 1, 2, 255]]
    assert labels.colors == ((255, 0, 0), (0, 128, 0), (9, 9, 9))
    with pytest.raises(UserError, match=r"not in the label space: \(9, 9, 9\) \(1 pixels\)"):
        labels.encode(packed([9, 9, 9]))


def test_no_colour_is_ignored_unless_the_label_space_says_so():
    spec = {**COLORS, "colors": [RED, [0, 0, 255]]}
    assert read_labels(spec).ignore == ()
    assert read_labels(spec).encode(packed([0, 0, 255])).tolist() == [[1]]  # its id is 255
    assert read_labels({**spec, "ignore": GREEN}).ignore == (128 << 8,)


def test_with_colours_too_the_rest_can_be_a_class_without_a_colour_of_its_own():
    spec = {"task": "binary", "masks": "color", "names": ["background", "crack"], "rest": "background"}
    labels = read_labels({**spec, "colors": [None, RED]})
    assert labels.encode(packed([5, 5, 5], RED)).tolist() == [[0, 1]]


def test_a_checkpoint_from_before_colours_is_read_as_index_masks():
    values = read_labels("camvid11").to_dict()
    del values["masks"]
    assert LabelSpace.from_dict(values) == read_labels("camvid11")
    colored = read_labels({**COLORS, "colors": [RED, GREEN]})
    assert LabelSpace.from_dict(colored.to_dict()) == colored


@st.composite
def label_spaces(draw):
    """Every kind of label space that a file can describe."""
    task, masks = draw(st.sampled_from(["multiclass", "binary", "multilabel"])), "index"
    if task != "multilabel":
        masks = draw(st.sampled_from(["index", "color"]))
    text = st.text(min_size=1, max_size=8).filter(lambda t: t.isprintable() and t.strip())
    odd = st.sampled_from(
        ["no", "1", "1.5", "null", "~", "=", "<<", "a: b", "{x", "- a", "#", "'", '"', "é🚗"]
    )
    name = (text | odd).filter(lambda t: t not in ("error", "ignore", "none"))
    count = 2 if task == "binary" else draw(st.integers(1 if task == "multilabel" else 2, 6))
    names = draw(st.lists(name, min_size=count, max_size=count, unique=True))
    color = st.tuples(*[st.integers(0, 255)] * 3).map(list)
    number = color if masks == "color" else st.integers(0, 2**24 - 1)
    drawn = draw(st.lists(number, max_size=12, unique_by=str))
    owner = [draw(st.integers(0, count)) for _ in drawn]
    groups = [[i for i, o in zip(drawn, owner, strict=True) if o == c] for c in range(count + 1)]
    spec = {"task": task, "masks": masks, "names": names, "ids": groups[:count], "ignore": groups[count]}
    spec["colors"] = draw(st.none() | st.lists(st.none() | color, min_size=count, max_size=count))
    spec["rest"] = draw(st.sampled_from([*names, "error", "ignore"] + ["none"] * (task == "multilabel")))
    if draw(st.booleans()):
        spec["names"] = [{"name": n, "parent": draw(name)} for n in names]
    return read_labels(spec)


@given(label_spaces())
def test_a_label_space_written_as_yaml_is_read_back_the_same(labels):
    text = "# a comment may precede\n" + labels_yaml(labels)
    assert read_labels(yaml.safe_load(text)) == labels


@pytest.mark.parametrize("name", shipped_labels())
def test_every_shipped_label_space_can_be_written(name, tmp_path):
    (tmp_path / "labels.yaml").write_text(labels_yaml(read_labels(name)))
    assert read_labels(tmp_path / "labels.yaml") == read_labels(name)


def test_a_written_label_space_has_one_readable_line_per_class():
    lines = labels_yaml(read_labels("camvid11")).splitlines()
    assert "  - {name: road, ids: 3, color: [128, 64, 128]}" in lines
    assert "ignore: [11]" in lines
    written = labels_yaml(read_labels({**COLORS, "colors": [RED, GREEN]}))
    assert "  - {name: a, color: [255, 0, 0]}\n" in written
