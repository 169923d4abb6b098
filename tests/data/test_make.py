import subprocess
import sys

import pytest

from segkit.data.folder import folder
from segkit.data.labels import read_labels
from segkit.data.make import loader_keys, make_source
from segkit.types import UserError

STREETS = {"_target_": "segkit.data.streets.Streets", "labels": "streets", "train_samples": 3}


def test_a_node_becomes_its_source_and_the_loaders_keys_are_passed_by():
    source = make_source({**STREETS, "size": [2, 3], "batch_size": 7, "root": None})
    assert sum(s.split == "train" for s in source.samples) == 3
    assert source.labels == read_labels("streets")
    assert {"size", "batch_size", "split"} <= set(loader_keys())
    assert not {"root", "labels"} & set(loader_keys())


def test_another_label_space_can_be_put_in_its_place():
    labels = read_labels({"names": ["a", "b"], "rest": "ignore"})
    assert make_source(STREETS, labels).labels is labels
    assert make_source({**STREETS, "labels": None}, {"names": ["x", "y"]}).labels.names == ("x", "y")


def test_a_target_that_finds_the_classes_itself_may_go_without_a_label_space(tmp_path):
    from PIL import Image

    for name in ("images/a.png", "masks/car/a.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("L", (4, 3)).save(tmp_path / name)
    node = {"_target_": "segkit.data.planes.planes", "root": str(tmp_path), "labels": None}
    assert make_source(node).labels.names == ("car",)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({}, "no data is chosen"),
        ({"root": "x"}, "no data is chosen"),
        ({**STREETS, "labels": None}, "data.labels is not set"),
        ({**STREETS, "labels": 3}, "data.labels=3: expected"),
        ({**STREETS, "height": "x"}, "data.height=x: expected a whole number"),
        ({**STREETS, "heigth": 3}, "did you mean 'data.height'"),
        ({**STREETS, "height": 3}, "data.height=3 is too small"),
        ({**STREETS, "root": "here"}, "street scenes have no files"),
    ],
)
def test_a_mistake_is_named_by_its_key(node, message):
    with pytest.raises(UserError, match=message) as caught:
        make_source(node)
    assert "\n" not in str(caught.value)


def test_nothing_heavy_is_imported():
    assert folder  # what a verb needs besides
    code = "import sys, segkit.data.make, segkit.data.convert, segkit.data.planes; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "lightning", "albumentations", "matplotlib"} & set(eval(done.stdout))
