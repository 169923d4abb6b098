"""How a number is defined: eight published "mIoUs" of one prediction, ignored classes, categories."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from segkit.metric.cells import Counts
from segkit.metric.counts import OverlapCounts
from segkit.metric.overlap import overlap
from segkit.metric.protocol import Protocol, apply
from segkit.types import LabelSpace, UserError

GOLDEN_TARGET = np.array([[[0, 0, 0, 1], [0, 0, 1, 2]], [[0, 0, 0, 0], [0, 0, 1, 1]]])
GOLDEN_PREDICTION = np.array([[[0, 0, 1, 1], [0, 0, 1, 0]], [[0, 0, 0, 0], [0, 0, 0, 1]]])

# IoU by hand. Data set: 10/13, 3/5, 0/1, class 3 absent. First picture: 4/6, 2/3, 0/1, absent.
# Second picture: 6/7, 1/2, absent, absent.
FIRST, SECOND = (4 / 6, 2 / 3, 0), (6 / 7, 1 / 2)
EIGHT = [
    ("zero", "dataset", "miou", (10 / 13 + 3 / 5 + 0 + 0) / 4, 0.342),
    ("exclude", "dataset", "miou", (10 / 13 + 3 / 5 + 0) / 3, 0.456),
    ("exclude", "pair", "miou", sum(FIRST + SECOND) / 5, 0.538),
    ("exclude", "image", "miou", (sum(FIRST) / 3 + sum(SECOND) / 2) / 2, 0.562),
    ("one", "dataset", "miou", (10 / 13 + 3 / 5 + 0 + 1) / 4, 0.592),
    ("exclude", "dataset", "micro_iou", 13 / 19, 0.684),
    ("exclude", "image", "micro_iou", (6 / 10 + 7 / 9) / 2, 0.689),
    ("one", "image", "miou", ((sum(FIRST) + 1) / 4 + (sum(SECOND) + 2) / 4) / 2, 0.711),
]


def space(k: int, task: str = "multiclass", parents: tuple[str, ...] = ()) -> LabelSpace:
    names, ids = tuple(f"c{i}" for i in range(k)), tuple((i,) for i in range(k))
    return LabelSpace(names, ((0, 0, 0),) * k, ids, task=task, parents=parents or ("",) * k)


def counted(prediction, target, labels: LabelSpace) -> Counts:
    metric = OverlapCounts(labels)
    for i, (p, t) in enumerate(zip(torch.as_tensor(prediction), torch.as_tensor(target), strict=True)):
        metric.update(SimpleNamespace(prediction=p, target=t, index=i))
    return metric.count()


def drawn(seed: int, k: int, n: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Images in which each class may be missing, some pixels ignored."""
    rng = np.random.default_rng(seed)
    shape = (n, 4, 5)
    return rng.choice(rng.integers(0, k, k), shape), rng.choice([*rng.integers(0, k, k), 255], shape)


def assert_same_numbers(a: dict, b: dict) -> None:
    assert a["mean"] == pytest.approx(b["mean"], nan_ok=True)
    assert a["per_class"] == b["per_class"]


@pytest.mark.parametrize(("absent", "aggregate", "number", "by_hand", "published"), EIGHT)
def test_each_of_the_eight_mious_has_a_protocol(absent, aggregate, number, by_hand, published):
    labels = space(4)
    protocol = Protocol(absent=absent, aggregate=aggregate)
    result = overlap(counted(GOLDEN_PREDICTION, GOLDEN_TARGET, labels), labels, protocol)
    assert result["mean"][number] == pytest.approx(by_hand, abs=1e-15)
    assert round(result["mean"][number], 3) == published
    assert (result["protocol"]["aggregate"], result["protocol"]["absent_classes"]) == (aggregate, ["c3"])
    assert result["protocol"]["classes"] == [f"c{i}" for i in range(3 if absent == "exclude" else 4)]


def test_the_eight_mious_have_eight_values_and_two_of_them_stand_in_every_table():
    assert len({published for *_, published in EIGHT}) == 8
    labels = space(4)
    mean = overlap(counted(GOLDEN_PREDICTION, GOLDEN_TARGET, labels), labels)["mean"]
    assert round(mean["per_image_miou"], 3) == 0.538
    assert round(mean["micro_iou"], 3) == 0.684


class Oracle(torch.nn.Module):
    """Predicts the class that the red channel of a picture names, 50 per class."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, image):
        classes = image[:, 0].long() // 50
        return torch.nn.functional.one_hot(classes, 4).movedim(-1, 1).float() + self.weight


@pytest.fixture
def golden_run(finished, tmp_path, monkeypatch):
    """The golden example as files, and a network that predicts it."""
    from segkit import checkpoint

    names = [{"name": f"c{i}", "ids": i, "color": [0, 0, i]} for i in range(4)]
    labels = {"task": "multiclass", "names": names, "ignore": [255], "rest": "error"}
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(labels))
    for kind, masks in (("images", 50 * GOLDEN_PREDICTION), ("masks", GOLDEN_TARGET)):
        (tmp_path / kind).mkdir()
        for name, mask in zip("ab", masks.astype(np.uint8), strict=True):
            pixels = np.stack([mask] * 3, -1) if kind == "images" else mask
            Image.fromarray(pixels).save(tmp_path / kind / f"{name}.png")
    loaded = checkpoint.load(finished)
    config = {**loaded.config, "data": {**loaded.config["data"], "fit": "crop"}}  # pictures at their own size
    oracle = loaded._replace(config=config, labels=space(4), net=Oracle())
    monkeypatch.setattr(checkpoint, "load", lambda *_: oracle)
    return tmp_path


def evaluate_golden(command, folder, *options: str):
    arguments = ["run=oracle", "data=folder", "data.root=.", "data.labels=labels.yaml", "split=all"]
    return command("evaluate", *arguments, "metric=basic", "hydra.run.dir=out", *options, cwd=folder)


@pytest.mark.parametrize(("absent", "aggregate", "number", "by_hand", "published"), EIGHT)
def test_the_command_gives_each_of_the_eight_mious(
    absent, aggregate, number, by_hand, published, golden_run, command
):
    options = [f"metric.protocol.absent={absent}", f"metric.protocol.aggregate={aggregate}"]
    done = evaluate_golden(command, golden_run, *options)
    assert done.code == 0, done.err
    written = json.loads((golden_run / "out" / "metrics.json").read_text())
    assert written["mean"][number] == pytest.approx(by_hand, abs=1e-15)
    assert written["protocol"]["aggregate"] == aggregate


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("metric.protocol.absent=none", "metric.protocol.absent=none"),
        ("metric.protocol.aggregate=batch", "metric.protocol.aggregate=batch"),
        ("metric.protocol.level=group", "metric.protocol.level=group"),
        ("metric.protocol.ignore_classes=[sky]", "metric.protocol.ignore_classes: there is no class 'sky'"),
        ("metric.protocol.ignore_classes=c1", "metric.protocol.ignore_classes=c1"),
        ("metric.protocol.level=category", "metric.protocol.level=category: the label space gives"),
    ],
)
def test_a_protocol_that_cannot_be_is_one_line(option, message, golden_run, command):
    done = evaluate_golden(command, golden_run, option)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert message in done.err


@pytest.mark.parametrize("key", ["absent", "aggregate", "level"])
def test_a_protocol_names_the_choices(key):
    with pytest.raises(UserError, match=rf"metric\.protocol\.{key}=some: choose \w+, \w+"):
        Protocol(**{key: "some"})


def test_ships_that_are_all_missed_as_often_copied():
    """5 of 100 pixels are ship, all is predicted background; Dice is 47.5 % only by a wrong formula."""
    target = np.zeros((1, 10, 10), int)
    target[0, 0, :5] = 1
    labels = space(2, "binary")
    result = overlap(counted(np.zeros_like(target), target, labels), labels)
    assert result["per_class"]["c0"]["iou"] == 95 / 100
    assert result["per_class"]["c0"]["dice"] == 2 * 95 / (2 * 95 + 5)
    assert result["per_class"]["c1"]["iou"] == result["per_class"]["c1"]["dice"] == 0
    assert result["mean"]["miou"] == 0.475
    assert round(result["mean"]["dice"], 3) == 0.487


# ---- classes that are left out --------------------------------------------------------------

aggregates = st.sampled_from(["dataset", "image", "pair"])
absents = st.sampled_from(["exclude", "zero", "one"])
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(2, 6), st.data(), aggregates)
def test_ignoring_classes_equals_targets_that_ignore_them(seed, k, data, aggregate):
    """A class that is left out appears as a prediction at most, which no mean looks at."""
    dropped = data.draw(st.sets(st.integers(0, k - 1), min_size=1, max_size=k - 1))
    prediction, target = drawn(seed, k)
    labels, names = space(k), [f"c{c}" for c in sorted(dropped)]
    protocol = Protocol(ignore_classes=names, aggregate=aggregate)
    result = overlap(counted(prediction, target, labels), labels, protocol)
    again = counted(prediction, np.where(np.isin(target, sorted(dropped)), 255, target), labels)
    kept = [c for c in range(k) if c not in dropped]
    narrow = again._replace(counts=again.counts[:, kept])
    expected = overlap(
        narrow,
        LabelSpace(tuple(f"c{c}" for c in kept), ((0, 0, 0),) * len(kept), tuple((c,) for c in kept)),
        Protocol(aggregate=aggregate),
    )
    assert_same_numbers(result, expected)
    assert result["protocol"]["ignored_classes"] == names


def test_what_is_predicted_as_an_ignored_class_is_still_wrong():
    labels = space(3)
    result = overlap(
        counted([[[0, 2, 1, 1]]], [[[0, 0, 1, 2]]], labels), labels, Protocol(ignore_classes=["c2"])
    )
    assert result["per_class"]["c0"]["iou"] == 1 / 2
    assert result["per_class"]["c1"]["iou"] == 1  # its wrong pixel lies on c2, which counts nowhere
    assert "c2" not in result["per_class"]
    assert result["mean"]["pixel_accuracy"] == pytest.approx(2 / 3)


def test_all_classes_ignored_leave_no_number():
    labels = space(2)
    result = overlap(counted([[[0, 1]]], [[[0, 1]]], labels), labels, Protocol(ignore_classes=["c0", "c1"]))
    assert set(result["mean"].values()) == {None}
    assert result["per_class"] == {}


# ---- categories -----------------------------------------------------------------------------


def mapped(prediction, target, parents: tuple[str, ...]):
    """Masks of the categories: orphans are ignored in the target, and a class of their own as predictions."""
    names = list(dict.fromkeys(p for p in parents if p))
    place = np.array([names.index(p) if p else len(names) for p in parents])
    coarse = np.where(target == 255, 255, place[np.minimum(target, len(parents) - 1)])
    return place[prediction], np.where(coarse == len(names), 255, coarse), names


@settings(max_examples=80, deadline=None)
@given(seeds, st.lists(st.sampled_from(["p", "q", "r", ""]), min_size=2, max_size=7), aggregates, absents)
def test_categories_equal_masks_whose_pixels_are_merged(seed, parents, aggregate, absent):
    assume(any(parents))
    labels = space(len(parents), parents=tuple(parents))
    prediction, target = drawn(seed, len(parents))
    fine = counted(prediction, target, labels)
    counts, merged = apply(Protocol(level="category"), fine, labels)
    p, t, names = mapped(prediction, target, labels.parents)
    coarse = counted(p, t, space(len(names) + 1))
    np.testing.assert_array_equal(counts.counts, coarse.counts[:, : len(names)])
    np.testing.assert_array_equal(counts.confusion, coarse.confusion[: len(names), : len(names)])
    assert merged.names == tuple(names)
    protocol = Protocol(aggregate=aggregate, absent=absent)
    result = overlap(fine, labels, replace(protocol, level="category"))
    coarse_labels = LabelSpace(tuple(names), ((0, 0, 0),) * len(names), ((0,),) * len(names))
    cut = coarse._replace(counts=coarse.counts[:, : len(names)])
    assert_same_numbers(result, overlap(cut, coarse_labels, protocol))
    assert result["protocol"]["level"] == "category"


def test_a_category_whose_classes_are_all_ignored_has_no_number():
    labels = space(3, parents=("p", "q", "q"))
    counts = counted([[[0, 1, 2, 0]]], [[[0, 0, 1, 2]]], labels)
    result = overlap(counts, labels, Protocol(level="category", ignore_classes=["c1", "c2"]))
    assert list(result["per_class"]) == ["p"]
    assert result["mean"]["miou"] == 1 / 2


def test_a_category_may_be_called_like_an_ignored_class():
    """Ignoring the class human leaves the category human, which has riders."""
    names = ("human", "rider", "road")
    labels = LabelSpace(names, ((0, 0, 0),) * 3, ((0,), (1,), (2,)), parents=("human", "human", "flat"))
    counts = counted([[[0, 1, 2, 2]]], [[[0, 1, 2, 1]]], labels)
    result = overlap(counts, labels, Protocol(level="category", ignore_classes=["human"]))
    assert result["per_class"]["human"]["iou"] == 1 / 2
    assert result["protocol"]["classes"] == ["human", "flat"]


@pytest.mark.parametrize("protocol", [Protocol(ignore_classes=["c0"]), Protocol(level="category")])
def test_classes_that_overlap_can_neither_be_ignored_nor_merged(protocol):
    labels = space(2, "multilabel", ("p", "p"))
    counts = counted(np.ones((1, 2, 2, 2), int), np.ones((1, 2, 2, 2), int), labels)
    with pytest.raises(UserError, match="not for multilabel tasks, whose classes overlap"):
        overlap(counts, labels, protocol)
