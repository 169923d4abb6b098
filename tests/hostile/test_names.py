"""Names and tables of somebody else: they name no file elsewhere, and what they say stays in its line."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from segkit.data.convert import convert
from segkit.data.frozen import frozen_parts, read_split, write_split
from segkit.data.labels import read_labels
from segkit.data.make import make_source
from segkit.error import OneLine, visible
from segkit.files import write_csv
from segkit.infer.predictor import Predictor
from segkit.infer.writer import predict_files
from segkit.types import LabelSpace, Sample, UserError

NAMES = [
    "-rf", "--help", "a\nsegkit: error: all is lost", "\x1b[2J\x1b]0;title\x07", "=1+1", "@SUM(A1)",
    "$(touch x)", "`touch x`", "'; drop table", "<img src=x onerror=alert(1)>", "..\\..\\outside\\x", "C:\\x",
    "\u202egnp", "a..b", ".hidden", "%2e%2e%2fx", "CON", "nul", "x" * 250, "ü" * 120, "\udcff", " ",
    'a,b;"c"', "~root", "*?[a]",
]  # fmt: skip
SPACE = LabelSpace(("a", "b"), ((0, 0, 0), (9, 9, 9)), ((0,), (1,)))


class Nothing(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, image):
        return torch.zeros(len(image), 2, *image.shape[-2:])


@pytest.fixture
def here(tmp_path):
    """A folder beside one that must stay as it is."""
    for name in ("here", "outside"):
        (tmp_path / name).mkdir()
    yield tmp_path / "here"
    assert list((tmp_path / "outside").iterdir()) == []


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(path, "PNG")


def of(work) -> str:
    """What a piece of work is refused with; nothing where it is done."""
    try:
        work()
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_picture_of_any_name_gives_results_in_the_output_folder(name, here, watched):
    picture(here / "in" / f"{name}.png")
    with watched(here):
        summary = predict_files(Predictor(Nothing(), SPACE), here / "in", here / "out", color=True)
    assert len(summary.done) == 1
    assert all(p.parent.parent == here / "out" for p in (here / "out").rglob("*.png"))


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_data_of_any_name_is_converted_into_its_folder_or_refused_in_one_line(name, here, watched):
    for kind in ("images", "masks"):
        picture(here / "in" / kind / f"{name}.png")
    node = {
        "_target_": "segkit.data.folder.folder",
        "root": str(here / "in"),
        "labels": {"names": ["a", "b"]},
    }
    with watched(here):
        refusal = of(lambda: convert(make_source(node), here / "out", workers=1))
    assert visible(refusal).isprintable()


ROWS = {
    "upwards": "../outside/x.png",
    "far upwards": "a/../../../../../../outside/x.png",
    "absolute": "ROOT/outside/x.png",
    "with backslashes": "..\\outside\\x.png",
    "a zero byte": "a\0b.png",
    "very long": "x/" * 3000 + "x.png",
    "two lines": "a\nb.png",
    "another home": "~nobody-of-this-name/x.png",
    "a device": "/dev/stdin",
    "an address": "http://example.org/x.png",
}


@pytest.mark.parametrize("row", ROWS)
def test_a_table_names_files_but_no_place_for_results(row, here, watched, attempts):
    """The pictures that it names may lie anywhere: the user's table says so. What is written may not."""
    before, text = list(attempts), ROWS[row].replace("ROOT", str(here.parent))
    with watched(here):
        for path in (here.parent / "outside" / "x.png", here / "m.png"):
            target = here / "x.png" if path.parent.name == "outside" else path
            picture(target)
        quoted = text.replace('"', '""')
        (here / "t.csv").write_text(f'image,mask\n"{quoted}",m.png\nx.png,m.png\n')
        node = {"_target_": "segkit.data.csv.csv", "root": None, "file": str(here / "t.csv")}
        source = make_source({**node, "labels": {"names": ["a", "b"]}})
        assert all(".." not in Path(s.name).parts and not Path(s.name).is_absolute() for s in source.samples)
        refusal = of(lambda: convert(source, here / "out", workers=1))
    assert visible(refusal).isprintable()
    assert attempts == before


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "..", "C:\\x", "\\\\host\\x", "a\0b", ""])
def test_no_source_hands_on_a_name_that_leads_elsewhere(name, monkeypatch):
    class Bad:
        def __init__(self, labels):
            self.labels, self.samples = labels, [Sample(name, Path())]

    monkeypatch.setattr("segkit.data.streets.Streets", Bad)
    with pytest.raises(UserError, match="cannot name a result"):
        make_source({"_target_": "segkit.data.streets.Streets", "labels": "streets"})


SPLITS = {
    "a name upwards": "name,split\n../../x,train\n",
    "a part that is none": "name,split\na,../../x\n",
    "a formula": "name,split\n=cmd|'/C calc'!A0,train\n",
    "a field without end": 'name,split\n"' + "a" * 200_000 + '",train\n',
    "a quote without end": 'name,split\n"a,train\n',
    "a zero byte": "name,split\na\0b,train\n",
    "no text": "\udcff",
    "one name twice": "name,split\na,train\na,val\n",
    "other columns": "a,b\n1,2\n",
    "nothing": "",
}


@pytest.mark.parametrize("what", SPLITS)
def test_a_split_that_is_a_trap_is_one_line(what, tmp_path):
    file = tmp_path / "split.csv"
    file.write_bytes(SPLITS[what].encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as caught:
        read_split(file, [Sample("b", Path())])
    assert visible(str(caught.value)).isprintable()


def test_names_come_back_from_a_split_as_they_are(tmp_path):
    """A mark in front of what looks like a formula would make it another name."""
    samples = [Sample(n, Path()) for n in NAMES if n.isprintable()]
    write_split(tmp_path / "split.csv", samples, ["train"] * len(samples))
    assert set(frozen_parts(tmp_path / "split.csv")) == {s.name for s in samples}


LAUGHS = "a: &a [x]\n" + "".join(
    f"{c}: &{c} [{', '.join(4 * [f'*{b}'])}]\n" for b, c in itertools.pairwise("abcdefghijklmn")
)
SPACES = {
    "a billion laughs": LAUGHS,
    "a class in itself": "names: &a [*a, *a]\n",
    "an object": "names: !!python/object/apply:os.system ['touch CANARY']\n",
    "a new object": "names: [!!python/object/new:os.system ['touch CANARY'], b]\n",
    "a module": "names: !!python/module:os\n",
    "a name": "names: !!python/name:os.system\n",
    "brackets without end": "names: " + "[" * 50_000,
    "deep": "names: " + "[" * 300 + "]" * 300,
    "a key twice": "names: [a, b]\nids: [0, 1]\nids: [1, 0]\n",
    "an id of 5 000 digits": f"names: [a, b]\nids: [0, {'9' * 5000}]\n",
    "an id of 2^60": f"names: [a, b]\nids: [0, {2**60}]\n",
    "a date": "names: [a, 2001-99-99]\n",
    "nan": "names: [a, b]\nids: [0, .nan]\n",
    "a name of two lines": 'names: [a, "b\\nsegkit: all is well"]\n',
    "a name that moves the cursor": 'names: [a, "\\e[2J"]\n',
    "a key that is a list": "? [a, b]\n: c\n",
    "bytes": "names: [a, !!binary aGFsbG8=]\n",
    "a set": "names: !!set {a, b}\n",
    "no text": "\x00",
}  # fmt: skip


@pytest.mark.parametrize("what", SPACES)
def test_a_label_space_that_is_a_trap_is_one_line(what, here, watched):
    file = here / "labels.yaml"
    file.write_text(SPACES[what].replace("CANARY", str(here.parent / "outside" / "canary")))
    with watched(here), pytest.raises(UserError) as caught:
        read_labels(file)
    assert visible(str(caught.value)).isprintable()
    assert "labels.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["a\nb", "\x1b[31mred", "\x9b2J", "\r", "\u2028", "\u202e", "\x00", "\udcff", "\x7f", "\b"],
    ids=ascii,
)
def test_a_message_is_one_line_without_orders_to_the_terminal(text):
    shown = visible(f"{text}: ü 道路")
    assert shown.isprintable()
    assert "\\" in shown
    assert shown.endswith(": ü 道路")
    record = logging.LogRecord("segkit", logging.INFO, "", 0, "left out %s", (text,), None)
    assert OneLine("%(message)s").format(record) == f"left out {visible(text)}"


def test_a_hostile_name_stays_in_its_line_on_the_screen_and_in_the_log(command, finished, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\n\x1b[2Jsegkit: all is well.png").write_text("no picture")
    done = command("predict", f"run={finished}", "input=in", "hydra.run.dir=out", cwd=tmp_path)
    assert done.code == 1
    assert "left out a\\n\\x1b[2Jsegkit: all is well.png" in done.err
    assert "\x1b" not in done.err
    assert all("\x1b" not in line for line in (tmp_path / "out" / "predict.log").read_text().splitlines())


def test_a_table_for_people_is_not_changed_by_what_a_name_begins_with(tmp_path):
    """Documented: cells are written as they are, so open tables of strangers as text."""
    write_csv(tmp_path / "a.csv", ["class"], [{"class": "=1+1"}])
    assert (tmp_path / "a.csv").read_text() == "class\n=1+1\n"


@pytest.fixture
def elsewhere(honest, tmp_path):
    """A checkpoint whose table lists a picture outside its data, and that picture."""
    table = tmp_path / "here" / "t.csv"
    table.parent.mkdir()
    rng = np.random.default_rng(0)
    for name in ("private/1", "private/2", "here/m"):
        file = tmp_path / f"{name}.png"
        file.parent.mkdir(exist_ok=True)
        shape = (32, 64) if name.endswith("m") else (32, 64, 3)
        Image.fromarray(rng.integers(0, 8, shape, np.uint8)).save(file)
    table.write_text(
        "image,mask,split\n"
        + "".join(f"{tmp_path}/private/{i}.png,{table.parent}/m.png,test\n" for i in (1, 2))
    )
    content = honest()
    data = content["segkit"]["config"]["data"]
    keep = {
        k: v for k, v in data.items() if k in ("size", "fit", "batch_size", "num_workers", "eval_resolution")
    }
    node = {"_target_": "segkit.data.csv.csv", "root": None, "file": str(table), "labels": "streets"}
    content["segkit"]["config"]["data"] = {**keep, **node}
    torch.save(content, tmp_path / "here" / "bad.ckpt")
    return tmp_path / "here"


def test_pictures_outside_a_checkpoints_data_are_not_put_on_a_page(elsewhere, command):
    done = command("evaluate", "run=bad.ckpt", "metric=basic", "hydra.run.dir=out", cwd=elsewhere)
    assert done.code == 0, done.err
    assert "lies outside data.root=" in done.err
    assert 'class="viewer"' not in (elsewhere / "out" / "report.html").read_text()
    again = command("report", "out", cwd=elsewhere)
    assert "lies outside data.root=" in again.err
    assert 'class="viewer"' not in (elsewhere / "out" / "report.html").read_text()
    done = command(
        "evaluate", "run=bad.ckpt", "metric=basic", "data.root=/", "hydra.run.dir=mine", cwd=elsewhere
    )
    assert done.code == 0, done.err
    assert 'class="viewer"' in (elsewhere / "mine" / "report.html").read_text()


def test_nothing_is_fetched_because_a_checkpoint_says_so(honest, command, attempts, tmp_path):
    content = honest()
    data = content["segkit"]["config"]["data"]
    keep = {k: v for k, v in data.items() if k in ("size", "fit", "batch_size", "num_workers")}
    node = {"_target_": "segkit.data.pets.pets", "root": str(tmp_path / "outside"), "download": True}
    content["segkit"]["config"]["data"] = {**keep, **node, "labels": "pets"}
    (tmp_path / "outside").mkdir()
    torch.save(content, tmp_path / "bad.ckpt")
    before = list(attempts)
    done = command("evaluate", "run=bad.ckpt", "hydra.run.dir=out", cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert attempts == before
    assert os.listdir(tmp_path / "outside") == []  # noqa: PTH208
