"""`compare.html` and its files: what is said, that it is safe, and that it fits a window."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from segkit.report.compare import compare_runs, text
from segkit.report.compare_page import LIMIT, Shot, paint_change, write_comparison
from segkit.report.stored import read_stored
from segkit.types import LabelSpace

EVIL = "<script>window.hit=1</script>"


def shots_of(comparison, count=6, size=(60, 90)):
    rng, names = np.random.default_rng(0), comparison.first.names
    shots = {}
    for pair in comparison.pairs:
        for i in (*pair.extremes(count)[0], *pair.extremes(count)[1]):
            masks = [rng.integers(0, 5, size) for _ in range(3)]
            masks[0][:4] = 255
            image = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
            shots[pair.b.letter, names[i]] = Shot(image, *masks)
    return shots


@pytest.fixture(scope="module")
def compared(write_run, counted, five, tmp_path_factory):
    """Two recipes, the second worse and run twice, and a third of unknown origin; names that are code."""
    folder = tmp_path_factory.mktemp("compare <b>")
    labels = replace(five, names=(EVIL, *five.names[1:]))
    names = [f"{EVIL[:8]}{i}\"><img src=x onerror='window.hit=1'>" for i in range(20)]
    made = (("a", 0, 0.1, 0.85), ("b0", 0, 0.9, 0.7), ("b1", 1, 0.9, 0.71))
    runs = [
        read_stored(write_run(folder / n, counted(20, 5, i, good), labels, seed, lr, names=names))
        for i, (n, seed, lr, good) in enumerate(made)
    ]
    last = write_run(folder / "c", counted(20, 5, 9, 0.85), labels, names=names, recipe=False)
    return compare_runs([*runs, read_stored(last)])


@pytest.fixture(scope="module")
def written(compared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    write_comparison(folder, compared, shots_of(compared), f"python -m segkit.compare '{EVIL}'", 6)
    return folder


def test_recipes_are_compared_with_the_first_and_repeats_are_taken_together(compared):
    assert [(s.letter, len(s.runs)) for s in compared.sides] == [("A", 1), ("B", 2), ("C", 1)]
    assert [(p.a.letter, p.b.letter) for p in compared.pairs] == [("A", "B"), ("A", "C")]
    worse, same = compared.verdicts
    assert worse.startswith("B is worse by 0.")
    assert worse.endswith("the interval covers images and seeds (1 and 2 runs)")
    assert same.startswith("no difference that these 20 images can show")
    assert compared.pairs[0].differs == [("optimizer.lr", "0.1", "0.9")]


def test_repeats_of_one_recipe_are_no_difference_whatever_their_images_say(
    write_run, counted, five, tmp_path
):
    runs = [
        read_stored(write_run(tmp_path / str(i), counted(30, 5, i, good), five, seed=i))
        for i, good in enumerate((0.9, 0.6))
    ]
    found = compare_runs(runs)
    assert found.repeats
    assert [s.letter for s in found.sides] == ["A", "B"]
    (sentence,) = found.verdicts
    assert sentence.startswith("no difference between recipes: A and B are repeats of one")
    assert found.pairs[0].said.better is None
    assert found.pairs[0].numbers["mean"]["miou"]["interval"][1] < 0  # shown all the same
    assert sentence in text(found)


def test_the_files_hold_every_number(written, compared):
    found = json.loads((written / "compare.json").read_text(), parse_constant=pytest.fail)
    assert found["verdict"] == compared.verdicts
    assert [c["better"] for c in found["comparisons"]] == ["A", None]
    entry = found["comparisons"][0]["per_class"]["car"]
    assert entry["difference"] == pytest.approx(entry["b"] - entry["a"])
    assert found["protocol"]["split"] == "test"
    assert found["protocol"]["miou"].startswith("mean of TP")
    rows = list(csv.DictReader((written / "compare.csv").read_text().splitlines()))
    assert len(rows) == 20
    assert float(rows[0]["B-A"]) == pytest.approx(float(rows[0]["iou_B"]) - float(rows[0]["iou_A"]), abs=2e-6)
    changes = [float(row["B-A"]) for row in rows]
    worst = found["comparisons"][0]["worsened"][0]
    assert worst["difference"] == pytest.approx(min(changes), abs=1e-6)
    pngs = {p.stem for p in (written / "plots").glob("*.png")}
    assert pngs == {p.stem for p in (written / "plots").glob("*.csv")}
    assert pngs == {"difference_B-A", "images_B-A", "difference_C-A", "images_C-A"}


def test_names_from_files_are_text_not_markup(written):
    page = (written / "compare.html").read_text()
    assert page.count("<script") == 1
    assert "<img src=x" not in page
    assert "&lt;script&gt;window.hit=1&lt;/script&gt;" in page
    assert page.index("is worse by") < page.index("<h2>")  # the answer comes first


def test_a_page_of_many_pictures_stays_below_its_limit(compared, tmp_path, monkeypatch):
    monkeypatch.setattr("segkit.report.compare_page.LIMIT", 900_000)
    shots = shots_of(compared, size=(150, 200))
    write_comparison(tmp_path, compared, shots, "command", 6)
    page = (tmp_path / "compare.html").read_text()
    assert 400_000 < len(page) < 950_000
    assert 0 < page.count('class="shot"') < len(shots)
    assert LIMIT < 15_000_000


def test_no_pictures_are_no_error(compared, tmp_path):
    write_comparison(tmp_path, compared, {}, "command", 0)
    assert "No image is" in (tmp_path / "compare.html").read_text()


def test_who_is_right_has_three_colours(five):
    target = np.array([[0, 0, 0, 255]])
    shot = Shot(np.zeros((1, 4, 3), np.uint8), target, np.array([[0, 1, 1, 1]]), np.array([[1, 0, 2, 0]]))
    painted = paint_change(shot.image, shot, five)
    assert painted[0, :3].tolist() == [[213, 94, 0], [0, 114, 178], [150, 150, 150]]
    assert painted[0, 3].tolist() == [200, 200, 200]  # ignored: the pale picture


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_fits_its_window_and_asks_for_nothing(width, look, written):
    page = look(written / "compare.html", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.hit") is None
    assert page.evaluate("document.images.length") > 40
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth || !i.alt).length"
    assert page.evaluate(broken) == 0
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels.count(1) == 1
    rows = "[...document.querySelectorAll('#pair-1 table.differences tbody tr')]"
    page.locator("#pair-1 table.differences th[data-column='1'] button").click()
    values = page.evaluate(f"{rows}.map(r => +r.cells[1].dataset.sort)")
    assert values == sorted(values, reverse=True)


def test_overlapping_classes_are_right_where_all_of_them_are(five):
    labels = replace(five, names=five.names[:2], colors=five.colors[:2], ids=((0,), (1,)), task="multilabel")
    labels = replace(labels, parents=())
    target = np.array([[[1, 1, 0, 255]], [[0, 1, 0, 255]]])
    right, half = target % 255, np.array([[[1, 1, 1, 0]], [[1, 0, 0, 0]]])
    painted = paint_change(
        np.zeros((1, 4, 3), np.uint8), Shot(np.zeros((1, 4, 3)), target, half, right), labels
    )
    assert painted[0, :3].tolist() == [[0, 114, 178]] * 3
    assert painted[0, 3].tolist() == [200, 200, 200]


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_every_task_has_a_page(task, write_run, counted, binary, tmp_path):
    labels = replace(binary, task=task)
    runs = [
        read_stored(write_run(tmp_path / n, counted(9, 2, i), labels, lr=lr))
        for i, (n, lr) in enumerate((("a", 0.1), ("b", 0.2)))
    ]
    found = compare_runs(runs)
    write_comparison(tmp_path / "out", found, {}, "command", 3)
    entry = found.pairs[0].numbers["mean"]["pixel_accuracy"]
    assert (entry["difference"] is None) == (task == "multilabel")


def test_one_image_and_many_classes_have_a_page(write_run, counted, tmp_path):
    k = 60
    labels = LabelSpace(
        tuple(f"class ${i}" for i in range(k)), ((9, 9, 9),) * k, tuple((i,) for i in range(k))
    )
    runs = [
        read_stored(write_run(tmp_path / n, counted(1, k, i), labels, lr=lr))
        for i, (n, lr) in enumerate((("a", 0.1), ("b", 0.2)))
    ]
    found = compare_runs(runs)
    write_comparison(tmp_path / "out", found, {}, "command", 3)
    assert found.verdicts[0].startswith("1 image cannot tell")
    assert "1 image only: there is no interval" in (tmp_path / "out" / "compare.html").read_text()
