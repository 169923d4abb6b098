"""What describes data: label spaces, tables, lists, annotations, names of files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from fuzzing.engine import damage, png_with
from fuzzing.reader import Read, Reader
from fuzzing.tree import csv_with, json_with, yaml_with
from segkit.data.coco import coco
from segkit.data.csv import csv
from segkit.data.frozen import HASH_MARK, read_split, write_split
from segkit.data.labelme import labelme
from segkit.data.labels import labels_yaml, read_labels
from segkit.data.pets import pets
from segkit.data.planes import planes
from segkit.data.source import FileSource
from segkit.data.voc import voc
from segkit.types import Sample, Source

INDEX = {
    "task": "multiclass",
    "names": [
        {"name": "road", "ids": 0, "parent": "flat"},
        {"name": "car", "ids": [1, 2], "parent": "things"},
    ],
    "ignore": [255],
    "rest": "error",
}
INDEX_LISTS = {"names": ["a", "b", "c"], "ids": [0, [1, 7], 2], "colors": [[0, 0, 0], [1, 2, 3], [9, 9, 9]]}
COLOR = {
    "masks": "color",
    "names": [{"name": "road", "color": [128, 64, 128]}, {"name": "car", "ids": [[0, 0, 142], [0, 0, 70]]}],
    "ignore": [[0, 0, 0]],
    "rest": "ignore",
}
BINARY = {"task": "binary", "names": ["background", "cell"], "ids": [0, 255], "ignore": [], "rest": "cell"}
MULTI = {"task": "multilabel", "names": ["a", "b"], "rest": "none", "ids": [[1, 3], [2, 3]]}
SPACES = [INDEX, INDEX_LISTS, BINARY, MULTI]


def _texts(trees: Sequence[Any], dump: Callable[[Any], str]) -> list[bytes]:
    return [dump(tree).encode() for tree in trees]


def _labels(home: Path) -> Read:
    path = home / "labels.yaml"
    values = np.arange(300, dtype=np.uint16).reshape(10, 30)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        space = read_labels(path)
        assert space.num_classes >= 2 or space.task == "multilabel"
        assert len(space.names) == len(space.ids) == len(space.colors)
        (home / "again.yaml").write_text(labels_yaml(space), encoding="utf-8")
        assert read_labels(home / "again.yaml") == space
        if space.rest != "error" and space.masks == "index":
            space.encode(values)

    return read


def pictures(home: Path, *names: str) -> None:
    for name in names:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4), 1 if "mask" in name else 0).save(home / name)


def first(source: Source) -> None:
    """Names are safe to write below a folder; what is listed can be read, or is refused in one line."""
    for sample in source.samples:
        parts = Path(sample.name).parts
        assert not Path(sample.name).is_absolute(), sample.name
        assert ".." not in parts, sample.name
    if source.samples:
        source.read(source.samples[0])


def _csv(home: Path) -> Read:
    pictures(home, "i/a.png", "i/b.png", "i/c.png", "mask/a.png", "mask/b.png", "mask/c.png")

    def read(data: bytes) -> None:
        (home / "table.csv").write_bytes(data)
        first(csv(home, {"names": ["x", "y"]}, file="table.csv"))

    return read


TABLES = [
    [
        ["image", "mask", "split", "group"],
        ["i/a.png", "mask/a.png", "train", "g1"],
        ["i/b.png", "mask/b.png", "val", "g2"],
        ["i/c.png", "mask/c.png", "test", ""],
    ],
    [["image", "mask"], ["i/a.png", "mask/a.png"], ["i/b.png", "mask/b.png"]],
]
SAMPLES = [Sample(n, Path(), None, f"g{n}") for n in ("a", "b", "c/d", "ü, e")]
SPLIT = [["name", "split", "group"], *([s.name, "train", s.group] for s in SAMPLES[:3])]


def _split_seeds() -> list[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        write_split(Path(place) / "split.csv", SAMPLES, ["train", "val", "test", "train"])
        whole = (Path(place) / "split.csv").read_bytes()
    return [whole, whole.partition(b"\n")[2]]


def _split(home: Path) -> Read:
    path, whole = home / "split.csv", _split_seeds()[0]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        parts = read_split(path, SAMPLES)
        assert len(parts) == len(SAMPLES)
        if data.startswith(HASH_MARK.encode()) and whole.strip() not in data.replace(b"\r\n", b"\n"):
            raise AssertionError("a split that was changed after it was frozen was taken as it is")

    return read


POLYGON = [1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]
COCO = {
    "info": {},
    "images": [{"id": i, "file_name": f"{n}.png", "height": 4, "width": 6} for i, n in enumerate("ab")],
    "categories": [{"id": 1, "name": "cat", "color": [1, 2, 3]}, {"id": 7, "name": "dog", "isthing": 1}],
    "annotations": [
        {
            "id": 1,
            "image_id": 0,
            "category_id": 1,
            "iscrowd": 0,
            "segmentation": [POLYGON],
            "bbox": [1, 1, 3, 2],
        },
        {
            "id": 2,
            "image_id": 0,
            "category_id": 7,
            "iscrowd": 1,
            "segmentation": {"size": [4, 6], "counts": [3, 9, 12]},
        },
        {"id": 3, "image_id": 1, "category_id": 7, "segmentation": {"size": [4, 6], "counts": "5220007"}},
    ],
}


def _coco(home: Path) -> Read:
    pictures(home, "images/a.png", "images/b.png")

    def read(data: bytes) -> None:
        (home / "a.json").write_bytes(data)
        source = coco(home, annotations="a.json", images="images")
        first(source)
        for sample in source.samples[1:]:
            source.read(sample)

    return read


KINDS = [
    {
        "label": "cat",
        "shape_type": "polygon",
        "points": [[1, 1], [4, 1], [4, 3]],
        "group_id": None,
        "flags": {},
    },
    {"label": "dog", "shape_type": "rectangle", "points": [[0, 0], [3, 2]]},
    {"label": "cat", "shape_type": "circle", "points": [[3, 2], [4, 2]]},
    {"label": "__ignore__", "shape_type": "linestrip", "points": [[0, 0], [3, 2], [5, 3]]},
    {"label": "dog", "shape_type": "point", "points": [[2, 2]]},
    {"label": "dog", "shape_type": "oriented_rectangle", "points": [[1, 1], [4, 1], [4, 3], [1, 3]]},
]
LABELME = {
    "version": "5.0.1",
    "flags": {},
    "shapes": KINDS,
    "imagePath": "a.png",
    "imageData": None,
    "imageHeight": 4,
    "imageWidth": 6,
}


def _labelme(home: Path) -> Read:
    pictures(home, "a.png")

    def read(data: bytes) -> None:
        (home / "a.json").write_bytes(data)
        first(labelme(home))

    return read


def _list(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A list of names of which some are odd."""
    lines = rng.choice(seeds).decode().splitlines()
    for _ in range(rng.choice((1, 2, 3))):
        odd = rng.choice(
            ("..", "/", "../../etc/passwd", "a b", "#", " ", "\ud800", "\0", "x" * 300, "ü", "~", "a")
        )
        lines[rng.randrange(len(lines))] = odd
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _voc(home: Path) -> Read:
    for name in "abc":
        pictures(home, f"VOC2012/JPEGImages/{name}.jpg", f"VOC2012/SegmentationClass/{name}.png")
    lists = home / "VOC2012/ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("c\n")

    def read(data: bytes) -> None:
        (lists / "train.txt").write_bytes(data)
        first(voc(home))

    return read


def _pets(home: Path) -> Read:
    for name in "abc":
        pictures(home, f"images/{name}.jpg", f"mask/{name}.png")
    (home / "annotations").mkdir()
    (home / "mask").rename(home / "annotations/trimaps")
    (home / "annotations/test.txt").write_text("c 1 1 1\n")

    def read(data: bytes) -> None:
        (home / "annotations/trainval.txt").write_bytes(data)
        first(pets(home))

    return read


def _planes(home: Path) -> Read:
    """One file of several that make a target is damaged."""
    pictures(home, "images/1.png", "masks/a/1.png", "masks/b/1.png")

    def read(data: bytes) -> None:
        (home / "masks/b/1.png").write_bytes(data)
        source: FileSource = planes(home)
        source.read(source.samples[0])

    return read


def _plane_seeds() -> list[bytes]:
    import io

    content = io.BytesIO()
    Image.new("L", (6, 4), 1).save(content, "PNG")
    return [content.getvalue()]


TABLE_READERS = [
    Reader(
        "label space", _texts(SPACES, yaml.safe_dump), _labels, (damage, yaml_with(SPACES), yaml_with(SPACES))
    ),
    Reader("colour label space", _texts([COLOR], yaml.safe_dump), _labels, (damage, yaml_with([COLOR]))),
    Reader(
        "samples csv",
        [b"\n".join(",".join(r).encode() for r in t) for t in TABLES],
        _csv,
        (damage, csv_with(TABLES)),
    ),
    Reader("split csv", _split_seeds(), _split, (damage, csv_with([SPLIT]))),
    Reader("coco json", _texts([COCO], json.dumps), _coco, (damage, json_with([COCO]), json_with([COCO]))),
    Reader(
        "labelme json",
        _texts([LABELME], json.dumps),
        _labelme,
        (damage, json_with([LABELME]), json_with([LABELME])),
    ),
    Reader(
        "voc list", [b"a\nb\n", b"/JPEGImages/a.jpg /SegmentationClass/a.png\nb\n"], _voc, (damage, _list)
    ),
    Reader("pets list", [b"a 1 1 1\nb 2 1 1\n"], _pets, (damage, _list)),
    Reader("plane", _plane_seeds(), _planes, (damage, png_with)),
]
