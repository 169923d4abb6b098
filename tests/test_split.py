"""`segkit split`: what it freezes stays, is right, and is what training then uses."""

from __future__ import annotations

import csv
import json
import shlex

import numpy as np
import pytest
from PIL import Image

from segkit.data.divergence import divergence
from segkit.types import SPLITS

LABELS = "names: [ground, road, car, kite]\nids: [[0], [1], [2], [3]]\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))


def add(root, numbers, folder=""):
    """Write tiny pictures of 10 sequences: class 1 in most, class 2 in some, class 3 in few."""
    for i in numbers:
        mask = np.zeros((8, 8), np.uint8)
        mask[: i % 6] = 1
        mask[7, : 3 * (i % 4 == 0)] = 2
        mask[6, : 2 * (i % 13 == 0)] = 3
        for name, picture in (("images", mask[..., None] * np.full(3, 60, np.uint8)), ("masks", mask)):
            path = root / name / folder / f"s{i % 10}_{i:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)


@pytest.fixture
def data(tmp_path):
    add(tmp_path / "data", range(90))
    (tmp_path / "labels.yaml").write_text(LABELS)
    return tmp_path


FOLDER = ["data=folder", "data.root=data", "data.labels=labels.yaml"]
FROZEN = "outputs/split/folder/split.csv"


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()[1:]))


def parts(path):
    return {row["name"]: row["split"] for row in rows(path)}


def test_a_split_is_frozen_reported_and_trained_on(data, command):
    done = command("split", *FOLDER, "data.group='^([^_]+)_'", "split.ratios=[0.6,0.2,0.2]", cwd=data)
    assert done.code == 0, done.err
    assert len({(row["group"], row["split"]) for row in rows(data / FROZEN)}) == 10
    about = json.loads((data / "outputs/split/folder/split.json").read_text())
    masks = {p.stem: np.asarray(Image.open(p)) for p in (data / "data/masks").iterdir()}
    counts = np.array([np.bincount(masks[row["name"]].ravel(), minlength=4) for row in rows(data / FROZEN)])
    chosen = np.array([SPLITS.index(row["split"]) for row in rows(data / FROZEN)])
    assert about["divergence"]["worst"] == pytest.approx(divergence(counts, chosen, (0.6, 0.2, 0.2)).worst)
    assert about["divergence"]["worst"] < about["random"]["worst"]
    for p, part in enumerate(SPLITS):
        kite = about["classes"]["kite"]["parts"][part]
        assert kite["images"] == (counts[chosen == p, 3] > 0).sum() > 0
        assert kite["pixel_share"] == pytest.approx(counts[chosen == p, 3].sum() / counts[:, 3].sum())
    for text in ("kite", "worst ratio: ", "a random split: worst", "(median of 20)", f"frozen: {FROZEN}"):
        assert text in done.out
    for name in ("plots/split.png", "plots/split.csv"):
        assert (data / "outputs/split/folder" / name).is_file()
    use = shlex.split(next(x for x in done.out.splitlines() if x.startswith("train with: ")))[2:]
    assert use[:3] == ["python", "-m", "segkit.train"]
    quick = ["data.size=[32,32]", "data.batch_size=8", "data.num_workers=0", "model.depth=2", "augment=none"]
    quick += ["model.base_width=4", "trainer.max_epochs=1", "threads=1", "logger=none", "test=false"]
    trained = command("train", *use[3:], *quick, "hydra.run.dir=run", cwd=data)
    assert trained.code == 0, trained.err
    assert parts(data / "run/split.csv") == parts(data / FROZEN)


def test_a_frozen_split_is_never_changed_silently(data, command):
    assert command("split", *FOLDER, cwd=data).code == 0
    before = (data / FROZEN).read_bytes()
    again = command("split", *FOLDER, cwd=data)
    assert again.code == 0, again.err
    assert f"unchanged: {FROZEN}" in again.out
    for change, was in (
        ("split.ratios=[0.8,0.1,0.1]", "split.ratios=[0.7,0.15,0.15]"),
        ("seed=1", "seed=0"),
        ("split.folds=3", "split.folds=null"),
        ("split.official=false", "split.official=true"),
    ):
        done = command("split", *FOLDER, change, cwd=data)
        assert done.code == 2
        assert f"was made with {was}; give that" in done.err
        assert "split.existing=replace to draw it anew" in done.err
        assert len(done.err.splitlines()) == 1
    assert (data / FROZEN).read_bytes() == before
    text = before.decode().replace(",val,", ",test,", 1)
    (data / FROZEN).write_text(text)
    edited = command("split", *FOLDER, cwd=data)
    assert edited.code == 2
    assert "was changed after it was frozen" in edited.err
    assert command("split", *FOLDER, "seed=1", "split.existing=replace", cwd=data).code == 0
    assert (data / FROZEN).read_text() != text


@pytest.mark.parametrize("record", ["[]", '{"files": ["../labels.csv"]}', '{"files": ["notes.txt"]}'])
def test_a_report_of_something_else_removes_nothing(data, command, record):
    (data / "mine.json").write_text(record)
    (data / "notes.txt").write_text("keep me")
    done = command("split", *FOLDER, "split.file=mine.csv", "split.existing=replace", cwd=data)
    assert done.code == 2
    assert "mine.json is no report of segkit split; delete it" in done.err
    assert (data / "notes.txt").is_file()


def test_new_samples_need_an_explicit_word(data, command):
    assert command("split", *FOLDER, cwd=data).code == 0
    old = parts(data / FROZEN)
    add(data / "data", range(90, 120))
    (data / "data/images/s0_000.png").unlink()
    (data / "data/masks/s0_000.png").unlink()
    done = command("split", *FOLDER, cwd=data)
    assert done.code == 2
    assert "lists samples that the data does not have: 1 (first: s0_000)" in done.err
    assert "does not list samples that the data has: 30 (first: s0_090, s0_100, s0_110)" in done.err
    assert "split.existing=extend places new samples" in done.err
    assert parts(data / FROZEN) == old
    done = command("split", *FOLDER, "split.existing=extend", cwd=data)
    assert done.code == 0, done.err
    assert f"extended (30 new, 1 gone): {FROZEN}" in done.out
    new = parts(data / FROZEN)
    assert len(new) == 119
    assert {n: p for n, p in new.items() if n in old} == {n: p for n, p in old.items() if n != "s0_000"}
    about = json.loads((data / "outputs/split/folder/split.json").read_text())
    assert about["divergence"]["worst"] < 0.5 * about["random"]["worst"]
    assert "unchanged" in command("split", *FOLDER, "split.existing=extend", cwd=data).out


def test_folds_are_k_splits_of_which_each_sample_validates_one(data, command):
    done = command("split", *FOLDER, "split.folds=3", "split.ratios=[0.6,0.2,0.2]", cwd=data)
    assert done.code == 0, done.err
    files = [data / f"outputs/split/folder/split_fold{i}.csv" for i in (1, 2, 3)]
    columns = zip(*(parts(f).values() for f in files), strict=True)
    kinds = [tuple(sorted(column)) for column in columns]
    assert set(kinds) == {("train", "train", "val"), ("test",) * 3}
    assert kinds.count(("test",) * 3) == 18
    shown = ",".join(f"outputs/split/folder/split_fold{i}.csv" for i in (1, 2, 3))
    assert f"--multirun data=folder data.root=data data.labels=labels.yaml data.split={shown}" in done.out
    files[1].unlink()
    gone = command("split", *FOLDER, "split.folds=3", "split.ratios=[0.6,0.2,0.2]", cwd=data)
    assert gone.code == 2
    assert "split_fold2.csv is missing beside" in gone.err
    assert command("split", *FOLDER, "split.existing=replace", cwd=data).code == 0
    assert not any(f.is_file() for f in files)
    assert (data / FROZEN).is_file()


def test_new_samples_join_folds(data, command):
    folds = [*FOLDER, "split.folds=3"]
    assert command("split", *folds, cwd=data).code == 0
    files = [data / f"outputs/split/folder/split_fold{i}.csv" for i in (1, 2, 3)]
    old = [parts(f) for f in files]
    add(data / "data", range(90, 110))
    done = command("split", *folds, "split.existing=extend", cwd=data)
    assert done.code == 0, done.err
    for before, file in zip(old, files, strict=True):
        assert {n: p for n, p in parts(file).items() if n in before} == before
        assert len(parts(file)) == 110


def test_official_splits_are_kept_and_measured_unless_new_ones_are_asked_for(tmp_path, command):
    for part, numbers in (("train", range(30)), ("val", range(30, 50)), ("test", range(50, 60))):
        add(tmp_path / "data", numbers, part)
    (tmp_path / "labels.yaml").write_text(LABELS)
    done = command("split", *FOLDER, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "the data's own split is kept; split.official=false draws a new one" in done.out
    kept = parts(tmp_path / FROZEN)
    assert [list(kept.values()).count(p) for p in SPLITS] == [30, 20, 10]
    done = command("split", *FOLDER, "split.official=false", "name=new", cwd=tmp_path)
    assert done.code == 0, done.err
    new = parts(tmp_path / "outputs/split/new/split.csv")
    assert [list(new.values()).count(p) for p in SPLITS] == [42, 9, 9]
    worst = [
        json.loads((tmp_path / f"outputs/split/{name}/split.json").read_text())["divergence"]["worst"]
        for name in ("folder", "new")
    ]
    assert worst[1] < 0.5 * worst[0]


def test_a_split_may_be_frozen_elsewhere(data, command):
    done = command("split", *FOLDER, "split.file=mine/cars.csv", cwd=data)
    assert done.code == 0, done.err
    assert "data.split=mine/cars.csv" in done.out
    assert len(parts(data / "mine/cars.csv")) == 90
    assert json.loads((data / "mine/cars.json").read_text())["files"] == ["cars.csv"]


def test_a_class_that_cannot_be_on_all_sides_is_named(data, command):
    mask = np.zeros((8, 8), np.uint8)
    for path in (data / "data/masks").iterdir():
        Image.fromarray(mask + 3 * (path.stem == "s3_003")).save(path)
    done = command("split", *FOLDER, cwd=data)
    assert done.code == 0, done.err
    assert "missing: no image of val shows kite; its images lie in 1 group" in done.out
    assert "missing: no image of test shows kite; its images lie in 1 group" in done.out
    assert parts(data / FROZEN)["s3_003"] == "train"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["split.ratios=[0.7,0.2,0.2]"], "split.ratios=[0.7, 0.2, 0.2]: give sizes of train, val and test"),
        (["split.ratios=[1.2,-0.2,0]"], "that add to 1, none below 0 and train above it"),
        (["split.ratios=[0,0.5,0.5]"], "train above it"),
        (["split.ratios=[1,0,0]"], "split.ratios=[1, 0, 0]: no sample is left for validation"),
        (["split.ratios=[0.8,0,0.2]"], "give val more than 0, such as [0.8,0.2,0]"),
        (["split.ratios=0.7"], "split.ratios=0.7: give sizes"),
        (["split.folds=0"], "split.folds=0: give a whole number, at least 2, or null"),
        (["split.folds=1"], "split.folds=1: give a whole number, at least 2, or null"),
        (["split.folds=95"], "split.folds=95: 90 samples cannot be divided into 95 folds"),
        (["split.folds=9", "data.group='^([^_]+)_'", "split.ratios=[0.5,0.1,0.4]"], None),
        (["split.folds=2", "split.ratios=[1,0,0]"], None),
        (
            ["split.folds=10", "data.group='^([^_]+)_'"],
            "10 groups cannot be divided into 10 folds and a test",
        ),
        (["split.existing=keen"], "split.existing=keen: choose keep, extend or replace"),
        (["split.official=maybe"], "split.official=maybe: choose true or false"),
        (["split.file=a.txt"], "split.file=a.txt: give the name of a .csv file"),
        (["seed=-1"], "seed=-1: give a whole number, at least 0"),
        (["workers=0"], "workers=0: give a whole number, at least 1"),
        (["split.fold=3"], "there is no key 'split.fold'; did you mean 'split.folds'"),
    ],
)
def test_bad_values_are_one_line_that_names_the_key(options, message, data, command):
    done = command("split", *FOLDER, *options, cwd=data)
    if message is None:
        assert done.code == 0, done.err
        return
    assert done.code == 2
    assert message in done.err
    assert len([x for x in done.err.splitlines() if x.startswith("segkit split: error: ")]) == 1
    assert not list(data.glob("outputs/split/*/*.csv"))
