"""Run folders of which something is missing or damaged."""

import json
import os
import shutil

import numpy as np
import pytest

from segkit.report.run_page import write_report
from segkit.report.view import View
from segkit.types import UserError


def test_a_run_that_was_interrupted_has_curves_configuration_and_split(copy, look):
    for name in ("metrics.json", "counts.npz"):
        (copy / name).unlink()
    shutil.rmtree(copy / "plots")  # a killed run has drawn nothing
    page = look(write_report(copy))
    cards = page.locator("header .cards.measured > div").all_inner_texts()
    assert "0.3000" in cards[0]
    assert "validation part, 4 images, epoch 1 (the best)" in cards[0]
    assert "Nothing was measured after training" in page.locator("#numbers").inner_text()
    assert page.locator("#curves img").count() == 3
    assert page.locator("#classes tbody tr").count() == 1
    assert page.locator("#data tbody tr").count() > 0
    assert page.locator("#failure").count() == 0


def test_curves_follow_a_table_that_has_gone_on(copy):
    before = (copy / "plots" / "loss.csv").read_text()
    with (copy / "metrics.csv").open("a") as file:
        file.write("3,0.1,0.4,0.4,0.5,0.4,0.5,0.3,12.5\n")
    later = (copy / "plots" / "loss.png").stat().st_mtime + 5
    os.utime(copy / "metrics.csv", (later, later))
    write_report(copy)
    assert len((copy / "plots" / "loss.csv").read_text()) > len(before)


@pytest.mark.parametrize(
    "kept",
    ["metrics.json", "run.json", "metrics.csv", "metrics.json counts.npz", "run.json split.csv .hydra"],
)
def test_any_part_of_a_run_has_a_page(kept, copy, tmp_path):
    part = tmp_path / "part"
    part.mkdir()
    for name in kept.split():
        (copy / name).rename(part / name)
    page = write_report(part).read_text()
    assert page.rstrip().endswith("</html>")


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(UserError, match="nothing of a run is there"):
        write_report(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        write_report(tmp_path / "nowhere")


DAMAGE = {
    "metrics.json": [
        "", "{", "[1]", '"text"', "7", "null", "[" * 100_000, '{"mean": 5}', '{"mean": {"miou": "0.5"}}',
        '{"mean": {"miou": true}}', '{"per_class": []}', '{"per_class": {"a": 3}}', '{"protocol": "none"}',
        '{"mean": {"miou": 0.5}, "interval": {"mean": {"miou": [1]}}}', '{"failure": {"sizes": {}}}',
        '{"protocol": {"classes": "a"}, "mean": {"miou": 0.5}}',
        '{"failure": {"suspicious": [1]}}', '{"boundary": {"per_class": {"a": 1}}}', '{"category": 3}',
        '{"mean": {"miou": ' + "9" * 400 + "}}", '{"split": {}, "mean": {"miou": 0.5}}', "\xff\xfe",
        '{"protocol": {"ignored_classes": ["nobody"]}}', '{"calibration": [1]}', '{"name": []}',
    ],
    "run.json": ["", "[]", '{"data": 1}', '{"resumed": {}}', '{"seconds": "1"}', '{"versions": []}',
                 '{"git": "x"}', '{"hardware": {"gpus": 3}}', '{"data": {"samples": {"val": "many"}}}'],
    "metrics.csv": ["", "a,b\n1,2\n", "epoch,val/miou\n0,abc\n", "epoch\nx\n", "\xff", "epoch\n\0"],
    "counts.npz": ["", "no archive", "PK\x03\x04broken"],
    "split.csv": ["name,group\na,b\n"],
    ".hydra/config.yaml": ["a: [", "- 1\n", "loss: 3", "monitor: []", "\ta: 1"],
    ".hydra/overrides.yaml": ["a: 1", "["],
}  # fmt: skip


CASES = [pytest.param(n, t, id=f"{n}-{i}") for n, texts in DAMAGE.items() for i, t in enumerate(texts)]


@pytest.mark.parametrize(("name", "text"), CASES)
def test_a_damaged_file_is_one_line_that_names_it(name, text, copy):
    (copy / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        write_report(copy)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert name.rpartition("/")[2] in message
    assert not (copy / "report.html").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("counts", np.zeros((7, 4, 3), np.int64)),
        ("counts", np.zeros((7, 5, 3))),
        ("confusion", np.zeros((5, 4), np.int64)),
        ("colors", np.full((5, 3), "red;}")),
        ("cells", np.full((3, 4), 99)),
        ("index", np.zeros(3, np.int64)),
        ("classes", None),
    ],
)
def test_counts_that_do_not_belong_together_are_refused(key, value, copy):
    arrays = dict(np.load(copy / "counts.npz"))
    arrays |= {key: value} if value is not None else {}
    if value is None:
        del arrays[key]
    np.savez(copy / "counts.npz", **arrays)
    with pytest.raises(UserError, match=r"counts\.npz: damaged"):
        write_report(copy)


def test_numbers_that_are_not_defined_are_dashes(copy):
    numbers = json.loads((copy / "metrics.json").read_text())
    text = json.dumps(
        {**numbers, "mean": {"miou": None, "dice": float("nan"), "recall": float("inf"), "new": 0.5}}
    )
    (copy / "metrics.json").write_text(text)
    page = write_report(copy).read_text()
    assert ">Mean IoU<" not in page.split("<main")[0]  # no card without a number
    numbers = page.split("<main")[1].split('id="curves"')[0]
    assert numbers.count(">–<") >= 3  # noqa: RUF001
    assert "nan" not in numbers


def test_a_plot_that_is_no_picture_is_left_out(copy):
    (copy / "plots" / "loss.png").write_bytes(b"nothing")
    later = (copy / "metrics.csv").stat().st_mtime + 5
    os.utime(copy / "plots" / "loss.png", (later, later))
    (copy / "plots" / "overlap.csv").unlink()
    page = write_report(copy).read_text()
    assert 'download="loss.csv"' not in page
    assert 'download="overlap.csv"' not in page
    assert 'download="learning_rate.csv"' in page


def test_pictures_fill_the_page_up_to_its_limit_and_not_further(copy, picture, monkeypatch):
    base = len(write_report(copy).read_text())
    one = picture("one")
    heavy = one._replace(image=one.image + "A" * 200_000)
    monkeypatch.setattr("segkit.report.run_page.LIMIT", base + 900_000)
    page = write_report(copy, [heavy] * 10).read_text()
    assert len(page) <= base + 900_000
    assert 2 <= page.count('<figure class="viewer"') < 10


def test_a_page_is_below_fifteen_megabytes(copy):
    layers = dict.fromkeys(("target", "prediction", "error"), "")
    view = View("name", "", 2, 2, "data:image/png;base64," + "A" * 3_000_000, layers, [])
    page = write_report(copy, [view] * 12, [view] * 12)
    assert 9_000_000 < page.stat().st_size < 15_000_000


def test_a_folder_that_cannot_be_written_is_the_users_mistake(copy):
    (copy / "report.html").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        write_report(copy)
