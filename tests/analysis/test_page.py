import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segkit.analysis.balance import balance
from segkit.analysis.page import LIMIT, Analysis, data_folder, write_analysis
from segkit.analysis.thumbs import file_thumb, sample_thumb, typical
from segkit.analysis.weights import weights_table
from segkit.data.fault import Fault
from segkit.data.source import FileSource
from segkit.types import Sample, UserError

EVIL = ("<script>window.hit=1</script>", "\"><img src=x onerror='window.hit=1'>", "a & b")


def analyse(data, faults=(), **more):
    found = balance(data.samples, data.facts, data.labels)
    train = np.array([s.split == "train" for s in data.samples])
    weights = weights_table(data.facts.pixels[train], data.labels)
    command = "segkit analyze data='<b>'"
    rest = (data.labels, data.source, data.samples, data.facts, faults, found, weights)
    return Analysis("blobs <i>", command, *rest, **more)


@pytest.fixture(scope="module")
def written(tmp_path_factory, data_of, blobs_of, classes_of):
    """A page with everything on it: names that are code, faults, a proposal and an audit."""
    folder = tmp_path_factory.mktemp("analysis")
    labels = classes_of(7)
    labels = replace(labels, names=(*EVIL, *labels.names[3:]))
    data = data_of(labels, *blobs_of(labels, 16))
    Image.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(folder / "sheet.png")
    files = tuple(f"/data/{EVIL[0]}/{i}.png" for i in range(70))
    faults = [
        Fault(
            "shifted",
            "masks lie beside the edges",
            "look at them",
            files,
            ("s001", "s002", "s999"),
            "suspicion",
        ),
        Fault("size", f"sizes differ {EVIL[1]}", f"mend {EVIL[0]}", (files[0],), ("s000",)),
    ]
    more = {
        "proposal": SimpleNamespace(labels=labels, reason="the masks hold 7 ids"),
        "labels_file": "labels.yaml",
        "audit": [
            SimpleNamespace(name="fill", passed=False, message=EVIL[1]),
            SimpleNamespace(name="speed", passed=None, message="per sample"),
        ],
        "audit_sheet": folder / "sheet.png",
    }
    write_analysis(folder, analyse(data, faults, **more))
    return folder


@pytest.fixture
def opened(look, written):
    """``opened(width, javascript)``: the page of `written`."""
    return lambda width=1280, javascript=True: look(written / "analysis.html", width, javascript)


def test_everything_is_written(written):
    found = json.loads((written / "analysis.json").read_text(), parse_constant=pytest.fail)
    assert [f["severity"] for f in found["faults"]] == ["error", "suspicion"]
    assert len(found["faults"][1]["files"]) == 70
    assert [check["passed"] for check in found["audit"]] == [False, None]
    page = (written / "analysis.html").read_text()
    assert "<b>failed</b> fill" in page
    assert "<b>measured</b> speed" in page  # there is nothing to fail
    assert found["proposal"]["labels"]["names"][0] == EVIL[0]
    assert found["balance"]["parts"]["train"]["images"] == 8
    pngs = {p.stem for p in (written / "plots").glob("*.png")}
    assert pngs == {p.stem for p in (written / "plots").glob("*.csv")}
    assert "class_shares" in pngs


def test_names_from_files_are_text_not_markup(written):
    page = (written / "analysis.html").read_text()
    assert page.count("<script") == 1
    assert "<img src=x" not in page
    assert "&lt;script&gt;window.hit=1&lt;/script&gt;" in page
    assert "blobs &lt;i&gt;" in page


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_fits_its_window_and_runs_no_foreign_code(width, opened):
    page = opened(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.hit") is None
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth || !i.alt).length"
    assert page.evaluate(broken) == 0
    assert page.evaluate("document.images.length") > 10


def test_headings_go_down_one_step_at_a_time(opened):
    levels = opened().evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def column(page, index):
    return page.evaluate(
        f"[...document.querySelectorAll('#classes tbody tr')].map(r => +r.cells[{index}].dataset.sort)"
    )


def test_a_click_sorts_from_the_largest_and_a_second_one_turns_it_round(opened):
    page = opened()
    before = column(page, 1)
    button = page.locator("#classes th[data-column='1'] button")
    button.click()
    assert column(page, 1) == sorted(before, reverse=True)
    assert page.locator("#classes th[aria-sort]").get_attribute("aria-sort") == "descending"
    button.click()
    assert column(page, 1) == sorted(before)
    assert page.locator("#classes th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_the_keyboard_sorts_by_name(opened):
    page = opened()
    page.locator("#classes th[data-column='0'] button").focus()
    page.keyboard.press("Enter")
    names = page.evaluate("[...document.querySelectorAll('#classes tbody th')].map(h => h.innerText)")
    assert names[-4:] == ["class 3", "class 4", "class 5", "class 6"]
    page.keyboard.press("Space")
    names = page.evaluate("[...document.querySelectorAll('#classes tbody th')].map(h => h.innerText)")
    assert names[:4] == ["class 6", "class 5", "class 4", "class 3"]


def test_the_numbers_of_a_plot_are_saved_by_its_link(opened, written, tmp_path):
    page = opened()
    with page.expect_download() as waiting:
        page.locator("a[download='class_shares.csv']").click()
    waiting.value.save_as(tmp_path / "saved.csv")
    assert (tmp_path / "saved.csv").read_bytes() == (written / "plots" / "class_shares.csv").read_bytes()


def test_without_javascript_everything_is_there(opened):
    page = opened(javascript=False)
    assert page.locator("#classes tbody tr").count() == 7
    assert page.locator("th button").count() == 0
    assert page.locator("#faults .fault").count() == 2
    assert page.locator("#samples img").first.is_visible()


def test_a_page_of_many_faults_stays_below_its_limit(data_of, blobs_of, classes_of, tmp_path, monkeypatch):
    monkeypatch.setattr("segkit.analysis.page.LIMIT", 700_000)
    data = data_of(classes_of(4), *blobs_of(classes_of(4), 12, 200, 260))
    names = tuple(s.name for s in data.samples)
    faults = [Fault(f"kind {i}", "wrong", "mend it", (), names[i:]) for i in range(12)]
    write_analysis(tmp_path, analyse(data, faults))
    page = (tmp_path / "analysis.html").read_text()
    assert len(page) < 750_000
    assert page.count('<article class="fault error">') == 12
    assert LIMIT < 15_000_000


def test_data_that_cannot_be_used_still_has_a_page(data_of, classes_of, tmp_path):
    data = data_of(classes_of(2), [None, None], [None, None], ["", ""])
    write_analysis(
        tmp_path, analyse(data, [Fault("unreadable", "broken", "replace it", (), ("s000", "s001"))])
    )
    page = (tmp_path / "analysis.html").read_text()
    assert page.count("no picture") == 2
    assert "s000 cannot be read" in page


@pytest.fixture
def pair(tmp_path, three_classes):
    """An image of 40x20 with a mask, as files."""
    image, mask = tmp_path / "a.png", tmp_path / "a_mask.png"
    Image.fromarray(np.full((20, 40, 3), 200, np.uint8)).save(image)
    Image.fromarray(np.ones((20, 40), np.uint8)).save(mask)
    sample = Sample("a", image, mask)
    return FileSource([sample], three_classes), sample


def pixels(thumb):
    import cv2

    return cv2.imdecode(np.frombuffer(thumb.jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def test_a_sample_is_shown_beside_its_overlay(pair):
    source, sample = pair
    picture = pixels(sample_thumb(source, sample))
    left, right = picture[:, : picture.shape[1] // 2 - 4], picture[:, picture.shape[1] // 2 + 4 :]
    assert abs(left.mean((0, 1)) - 200).max() < 5
    assert abs(right.mean((0, 1)) - (np.array((128, 64, 128)) + 200) / 2).max() < 5


def test_an_unknown_id_shows_the_mask_as_it_is_stored(pair):
    source, sample = pair
    Image.fromarray(np.full((20, 40), 77, np.uint8)).save(sample.mask)
    thumb = sample_thumb(source, sample)
    assert thumb.about == "image and mask as it is stored"
    assert thumb.size[0] > 1.9 * 2 * thumb.size[1]


def test_a_broken_file_gives_its_reason_instead_of_a_picture(pair, tmp_path):
    source, sample = pair
    for path in (sample.image, sample.mask):
        path.write_bytes(b"")
    thumb = sample_thumb(source, sample)
    assert thumb.jpeg == b""
    assert "cannot be read" in thumb.about
    assert "cannot be read" in file_thumb(sample.image).about


def test_overlapping_classes_of_any_number_are_drawn(data_of, classes_of):
    target = np.zeros((10, 12, 150), np.uint8)
    target[..., 7] = 1
    data = data_of(classes_of(150, "multilabel"), [np.zeros((10, 12, 3), np.uint8)], [target])
    assert sample_thumb(data.source, data.samples[0]).jpeg


def test_a_typical_sample_shows_as_much_of_its_class_as_is_usual(data_of, classes_of):
    """Class 1 has 1, 4 and 9 of 16 pixels: the median is the second sample's."""
    targets = []
    for side in (1, 2, 3):
        target = np.zeros((4, 4), np.uint8)
        target[:side, :side] = 1
        targets.append(target)
    data = data_of(classes_of(2), [np.zeros((4, 4, 3), np.uint8)] * 3, targets)
    chosen = typical(data.samples, data.facts, data.labels, [1])
    assert chosen[1].startswith("class 1 25 %")
    assert chosen == typical(data.samples, data.facts, data.labels, [1])


def test_the_data_folder_holds_all_images():
    samples = [Sample("a", Path("/d/train/a.png")), Sample("b", Path("/d/val/b.png"))]
    assert data_folder(samples) == "/d"
    assert data_folder([Sample("c", Path())]) == ""


def test_a_folder_that_cannot_be_written_is_the_users_mistake(data_of, blobs_of, classes_of, tmp_path):
    (tmp_path / "file").write_text("")
    data = data_of(classes_of(2), *blobs_of(classes_of(2), 4))
    with pytest.raises(UserError, match="choose another folder"):
        write_analysis(tmp_path / "file", analyse(data))
