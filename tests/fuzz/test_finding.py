"""What damaged files once did; each is made as small as it can be and shown to the same reader."""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
from fuzzing.commands import SMALL
from fuzzing.readers import readers

from segkit.cli import explain
from segkit.error import UserError, visible


@pytest.fixture(scope="module")
def known(finished):
    return readers(finished)


def npz(seed, **changed):
    with np.load(io.BytesIO(seed), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    content = io.BytesIO()
    np.savez(content, **{**arrays, **changed})
    return content.getvalue()


def ckpt(seed, change):
    content = torch.load(io.BytesIO(seed), weights_only=True)
    change(content)
    whole = io.BytesIO()
    torch.save(content, whole)
    return whole.getvalue()


def member(seed, old, new):
    """An archive in which bytes of an array's header are others."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(seed)) as before, zipfile.ZipFile(content, "w") as after:
        for name in before.namelist():
            after.writestr(name, before.read(name).replace(old, new))
    return content.getvalue()


def renamed(seed, ending, body):
    """An archive in which one file holds something else."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(seed)) as before, zipfile.ZipFile(content, "w") as after:
        for name in before.namelist():
            after.writestr(name, body if name.endswith(ending) else before.read(name))
    return content.getvalue()


def _members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [archive.read(name) for name in archive.namelist()]


def without(text, key):
    return re.sub(rf"(?m)^{key}:.*\n(?:[ -].*\n)*", "", text.decode()).encode()


# Reader, what it was, how the file is made of a whole one.
FINDINGS = [
    (
        "image tiff",
        "an offset beyond 63 bits was an OverflowError",
        lambda s: b"II+\0\x08\0\0\0" + b"\xff" * 8,
    ),
    ("image tiff", "a next page beyond the end", lambda s: s[:4] + struct.pack("<I", 2**32 - 9) + s[8:]),
    ("image jpeg", "data that ends early was filled with grey", lambda s: s[: len(s) * 3 // 4] + b"\xff\xd9"),
    ("label space", "nesting was a RecursionError", lambda s: b"names: " + b"[" * 3000 + b"]" * 3000),
    ("label space", "a date that is none was a ValueError", lambda s: b"names: [2001-99-99, b]\n"),
    (
        "colour label space",
        "a value of 5 000 characters was repeated in full",
        lambda s: s.replace(b"128", b"a" * 5000, 1),
    ),
    ("samples csv", "a line end in a path made two lines", lambda s: b'image,mask\n"a\nb","c\nd"\n'),
    (
        "metrics.csv",
        "an epoch that is no number was a ValueError on resume",
        lambda s: b"epoch,val/miou\n,0.5\n",
    ),
    ("resume run.json", "a damaged card was a JSONDecodeError on resume", lambda s: s[:-9]),
    ("resume run.json", "a list of resumptions that is none was a TypeError", lambda s: b'{"resumed": 5}'),
    (
        "report counts.npz",
        "a header that does not end was a TokenError",
        lambda s: member(s, b"'descr'", b"('desc"),
    ),
    ("report counts.npz", "what is no array came as bytes", lambda s: member(s, b"\x93NUMPY", b"\x92NUMPY")),
    (
        "compare counts.npz",
        "cells that are no whole numbers were an IndexError",
        lambda s: npz(s, cells=np.full((3, 4), np.nan)),
    ),
    (
        "compare counts.npz",
        "classes that are not there were an IndexError",
        lambda s: npz(s, cells=np.full((3, 4), 99)),
    ),
    (
        "compare counts.npz",
        "sums of numbers that count nothing went round",
        lambda s: npz(s, counts=np.full(np.load(io.BytesIO(s))["counts"].shape, 2**62)),
    ),
    (
        "checkpoint",
        "weights that are no table were an AttributeError",
        lambda s: ckpt(s, lambda c: c.update(state_dict=torch.zeros(3))),
    ),
    (
        "checkpoint",
        "an epoch that is no number was a TypeError",
        lambda s: ckpt(s, lambda c: c.update(epoch=None)),
    ),
    (
        "checkpoint",
        "data that is a text was a TypeError",
        lambda s: ckpt(s, lambda c: c["segkit"]["config"].update(data="x")),
    ),
    (
        "checkpoint",
        "a class whose name is a list was a TypeError",
        lambda s: ckpt(
            s, lambda c: c["segkit"]["labels"].update(names=[*c["segkit"]["labels"]["names"][:-1], ["x"]])
        ),
    ),
    (
        "encoder weights",
        "a directory of damaged numbers was an IndexError",
        lambda s: member(s, b"3", b"\xff"),
    ),
    (
        "encoder weights",
        "a pickle that ends was a struct.error",
        lambda s: renamed(s, "data.pkl", b"\x80\x02r\x01"),
    ),
    ("config.yaml", "a group that is missing was a KeyError", lambda s: without(s, "callback")),
    ("config.yaml", "a group that is a text was a TypeError", lambda s: without(s, "loss") + b"loss: x\n"),
    ("config.yaml", "data that is a number was a TypeError", lambda s: without(s, "data") + b"data: 5\n"),
    ("config.yaml", "a key that is a number was a TypeError", lambda s: without(s, "seed") + b"1: 2\n"),
    (
        "config.yaml",
        "a part that has no target was a KeyError",
        lambda s: without(s, "callback") + b"callback: {nan: {a: 1}}\n",
    ),
    (
        "config.yaml",
        "a metric that is a text was an AttributeError",
        lambda s: without(s, "metric") + b"metric: x\n",
    ),
]


@pytest.mark.parametrize(("name", "what", "make"), FINDINGS, ids=[f"{n}: {w}" for n, w, _ in FINDINGS])
def test_what_was_found_is_refused_in_one_line(name, what, make, known, tmp_path):
    reader = known[name]
    read = reader.prepare(tmp_path)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of which kind is looked at here
        read(make(reader.seeds[0]))
    text = explain(caught.value, "train", [])
    assert text is not None, repr(caught.value)
    assert text == visible(text)
    assert len(text) < 3000


def test_a_header_of_long_ago_is_read_without_a_word(known, tmp_path):
    reader = known["report counts.npz"]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        reader.prepare(tmp_path)(member(reader.seeds[0], b", 3), } ", b", 3L), }"))
    assert not [w for w in said if "Python 2" in str(w.message)]
    assert b", 3L), }" in b"".join(_members((tmp_path / "run" / "counts.npz").read_bytes()))


def test_half_a_character_in_a_card_stays_what_it_is(known, tmp_path):
    reader = known["resume run.json"]
    card = {**json.loads(reader.seeds[0]), "command": "\ud800"}
    reader.prepare(tmp_path)(json.dumps(card).encode())  # could not be written again
    assert json.loads((tmp_path / "run" / "run.json").read_text())["command"] == "\ud800"


def test_points_at_the_end_of_what_numbers_reach_are_far(known, tmp_path):
    reader = known["labelme json"]
    content = json.loads(reader.seeds[0])
    circle = {"label": "x", "shape_type": "circle", "points": [[1e308, 1], [-1e308, 1]]}
    content["shapes"] = [content["shapes"][0], circle]
    reader.prepare(tmp_path)(json.dumps(content).encode())  # no warning of NumPy's, which is an error here


def test_a_message_is_one_line_of_bounded_length():
    error = UserError("a\nb\x1b[2J" + "c" * 9000 + "; mend it")
    assert str(error) == visible(str(error))
    assert len(str(error)) < 2100
    assert str(error).endswith("mend it")


COMMANDS = [
    ("train", ["--experimental-rerun"], "--experimental-rerun"),
    ("train", ["--experimental-rerun", "x.pickle"], "would run whatever its file holds"),
    ("train", ["--info=x"], "invalid choice: 'x'"),
    ("train", ["--nothing"], "unrecognized arguments: --nothing"),
    ("train", [*SMALL, "~trainer.fast_dev_run"], "trainer.fast_dev_run is missing"),
    ("train", ["~loss"], "loss"),
    ("train", [*SMALL, "trainer.max_time=[1]"], "trainer.*"),
    ("train", ["callback=[1]"], "no configuration can be made of these arguments"),
    ("train", ["data.train_samples=1" + "0" * 30], "is too large: give 1000000 or less"),
    ("train", ["data.height=100000", "data.width=100000"], "more pixels than data.max_pixels"),
    ("train", ["threshold=7"], "threshold=7: must lie between 0 and 1"),
    ("train", ["test=maybe"], "test=maybe: expected true or false"),
    ("train", ["data.max_pixels=0"], "data.max_pixels=0: give a whole number from 1"),
    ("predict", ["run=x", "input=y", "trust=1"], "trust"),
    ("predict", ["run=x", "input=y", "data.max_pixels=many"], "data.max_pixels=many"),
]


@pytest.mark.parametrize(("verb", "arguments", "message"), COMMANDS, ids=lambda v: str(v)[:60])
def test_a_command_line_that_cannot_be_is_refused_in_one_line(verb, arguments, message, command, tmp_path):
    done = command(verb, *arguments, cwd=tmp_path)
    assert done.code == 2, done.out + done.err
    assert "Traceback" not in done.err
    assert len([line for line in done.err.splitlines() if "error: " in line]) == 1
    assert message in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data=folder", "+data.labels=binary"], "data.root is not set"),
        (["data=csv"], "data.labels is not set"),
        (["metric.boundary=true"], "metric.boundary=True: nothing can be made of that"),
        (["++data._target_={a: 1}"], "evaluate"),
    ],
    ids=str,
)
def test_other_data_that_is_not_all_there_is_refused_in_one_line(
    arguments, message, command, finished, tmp_path
):
    done = command("evaluate", f"run={finished}", *arguments, "hydra.run.dir=out", cwd=tmp_path)
    assert done.code == 2, done.out + done.err
    assert message in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
