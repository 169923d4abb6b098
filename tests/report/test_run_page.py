"""The page of a run: what it says, and how it behaves in a browser."""

import itertools
from pathlib import Path

import pytest

from segkit.report.headline import interval
from segkit.report.node import Node

SCRIPT = "<script>window.hit=1</script>"


@pytest.fixture
def opened(look, run):
    """``opened(width, javascript)``: the page of `run`."""
    return lambda width=1280, javascript=True: look(run / "report.html", width, javascript)


def test_text_from_files_is_text_not_markup(run):
    page = (run / "report.html").read_text()
    assert page.count("<script") == 1
    assert "<img src=x" not in page
    assert "a &amp; b {{ 7 * 7 }}" in page
    assert page.count("</pre>") == 1


def test_no_number_of_the_headline_is_without_its_protocol(opened):
    page = opened()
    cards = page.locator("header .cards.measured > div").all_inner_texts()
    assert [c.splitlines()[0] for c in cards] == [
        "Mean IoU", "Mean Dice", "Pixel accuracy", "Worst 5 % of images, mean IoU", "ce_dice loss"
    ]  # fmt: skip
    assert "95 % interval: 0.2100 to 0.2900, over 7 images" in cards[0]
    assert "mean of TP / (TP + FP + FN) over classes" in cards[0]
    assert (
        "5 classes, absent ones left out; the pixels of all images together; test part, 7 images" in cards[0]
    )
    assert "validation part, 4 images, epoch 1 (the best)" in cards[4]


def test_an_interval_from_few_groups_says_that_it_is_rough():
    words = "2 groups only: the interval is rough"
    block = {"level": 0.95, "unit": "group", "units": 2, "mean": {"miou": [0.1, 0.2]}, "warning": words}
    said = interval(Node({"interval": block}, Path("metrics.json")), "miou")
    assert said == f"95 % interval: 0.1000 to 0.2000 ({words})"


def test_a_number_that_the_page_does_not_know_is_shown_with_its_definition(opened):
    page = opened()
    text = page.locator("main").inner_text()
    assert "a number that no page knows" in text
    row = page.locator("#boundary tr", has_text="brand new").first.inner_text()
    assert row.split("\t")[1].replace("\u202f", " ") == "12 346"
    assert "ECE, with temperature" in page.locator("#calibration").inner_text()


def test_the_class_table_has_intervals_boundary_and_calibration_beside_the_overlaps(opened):
    heads = opened().locator("#classes table").first.locator("thead th").all_inner_texts()
    assert heads == [
        "class", "IoU", "IoU interval", "Dice", "precision", "recall", "boundary F1", "HD95", "ECE", "pixels",
        "images",
    ]  # fmt: skip


def test_the_categories_of_a_label_space_have_numbers_of_their_own(opened):
    rows = opened().locator("#classes table").nth(1).locator("tbody th").all_inner_texts()
    assert rows == ["one", SCRIPT, "three"]


def test_time_cost_and_origin_are_said(opened):
    about = opened().locator("#about dl").inner_text()
    for words in (
        "1 h 30 min",
        "2 h",
        "1,024 MiB",
        "f00ba4, with changes",
        "12.5 s (median of 3",
        "not installed",
    ):
        assert words in about
    assert "1\u202f234" in about


def test_what_was_typed_is_marked_in_the_configuration(run):
    page = (run / "report.html").read_text()
    assert page.count("<mark>") == 1
    assert "<mark>  lr: 0.1</mark>" in page


def test_every_plot_has_its_numbers(run, opened, tmp_path):
    page = opened()
    plots = page.locator("figure.plot")
    names = {p.stem for p in (run / "plots").glob("*.png")}
    assert plots.count() == len(names) >= 5
    assert {a.get_attribute("download") for a in page.locator("a[download]").all()} == {
        f"{n}.csv" for n in names
    }
    with page.expect_download() as waiting:
        page.locator("a[download='loss.csv']").click()
    waiting.value.save_as(tmp_path / "saved.csv")
    assert (tmp_path / "saved.csv").read_bytes() == (run / "plots" / "loss.csv").read_bytes()


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_fits_its_window_and_runs_no_foreign_code(width, opened):
    page = opened(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.hit") is None
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth || !i.alt).length") == 0
    right = (
        "Math.max(...[...document.querySelectorAll('.viewer *')].map(e => e.getBoundingClientRect().right))"
    )
    assert page.evaluate(right) <= width


def test_headings_go_down_one_step_at_a_time(opened):
    levels = opened().evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def visible(viewer):
    """The layers of a viewer that can be seen."""
    layers = viewer.locator(".layer").all()
    return [layer.get_attribute("class").split()[1] for layer in layers if layer.is_visible()]


def test_a_click_chooses_the_layer(opened):
    viewer = opened().locator(".viewer").first
    assert visible(viewer) == ["target"]
    for name, seen in (
        ("Prediction", ["prediction"]),
        ("Error", ["error"]),
        ("None", []),
        ("Target", ["target"]),
    ):
        viewer.get_by_role("button", name=name).click()
        assert visible(viewer) == seen
        assert viewer.locator("[aria-pressed=true]").all_inner_texts() == [name]


def test_keys_choose_the_layer_of_the_viewer_that_has_the_focus(opened):
    page = opened()
    first, second = page.locator(".viewer").nth(0), page.locator(".viewer").nth(1)
    first.focus()
    for key, seen in (
        ("p", ["prediction"]),
        ("E", ["error"]),
        ("n", []),
        ("t", ["target"]),
        ("e", ["error"]),
    ):
        page.keyboard.press(key)
        assert visible(first) == seen
        assert visible(second) == ["target"]
    page.keyboard.press("Control+p")
    assert visible(first) == ["error"]


def test_arrows_go_from_viewer_to_viewer_but_not_from_a_slider(opened):
    page = opened()
    where = "[...document.querySelectorAll('.viewer')].indexOf(document.activeElement)"
    page.locator(".viewer").first.focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(where) == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(where) == 2
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(where) == 1
    slider = page.locator(".viewer input").nth(1)
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.input_value() == "65"
    assert slider.evaluate("s => s === document.activeElement")


def test_the_slider_sets_the_opacity_of_its_own_picture(opened):
    page = opened()
    viewers = page.locator(".viewer")
    viewers.first.get_by_role("slider", name="Opacity").fill("25")
    opacity = "v => +getComputedStyle(v.querySelector('.layer.target')).opacity"
    assert viewers.first.evaluate(opacity) == 0.25
    assert viewers.nth(1).evaluate(opacity) == 0.6
    assert viewers.first.locator("output").inner_text() == "25 %"


def test_the_layers_lie_on_the_picture(opened):
    boxes = "v => [...v.querySelectorAll('img')].map(i => JSON.stringify(i.getBoundingClientRect()))"
    for width in (400, 1280):
        assert len(set(opened(width).locator(".viewer").first.evaluate(boxes))) == 1


def test_without_javascript_and_on_paper_the_target_is_seen(opened):
    page = opened(javascript=False)
    assert visible(page.locator(".viewer").first) == ["target"]
    assert not page.locator(".viewer button").first.is_visible()
    page = opened()
    page.locator(".viewer button[data-show=none]").first.click()
    page.emulate_media(media="print")
    assert visible(page.locator(".viewer").first) == ["target"]
    assert not page.locator(".viewer button").first.is_visible()


def test_tables_sort_by_what_numbers_are_not_by_how_they_look(opened):
    page = opened()
    head = page.locator("#classes table").first.locator("th[data-column='7'] button")
    column = "[...document.querySelector('#classes tbody').rows].map(r => r.cells[7].textContent)"
    head.click()
    assert page.evaluate(column) == ["13.50", "12.50", "11.50", "10.50", "9.500"]
    head.click()
    assert page.evaluate(column) == ["9.500", "10.50", "11.50", "12.50", "13.50"]


def test_plots_have_titles_and_alternatives(opened):
    titles = opened().locator("figure.plot h3").all_inner_texts()
    assert {"Loss", "Validation", "Learning rate", "Confusion matrix", "IoU by class"} <= set(titles)
