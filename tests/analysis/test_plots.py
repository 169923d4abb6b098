import csv

import numpy as np
import pytest
from PIL import Image

from segkit.analysis import axis
from segkit.analysis.axis import MANY
from segkit.analysis.balance import balance
from segkit.analysis.plots import STEMS, draw_plots
from segkit.analysis.weights import weights_table
from segkit.types import LabelSpace


@pytest.fixture
def draw(data_of, blobs_of, tmp_path):
    def plots(labels, count=12, targets=None, parts=()):
        images, made = blobs_of(labels, count)
        more, others = blobs_of(labels, 2, 64, 96)
        targets = [*made, *others] if targets is None else targets
        data = data_of(labels, [*images, *more], targets, parts)
        found = balance(data.samples, data.facts, labels)
        train = np.array([s.split == "train" for s in data.samples])
        weights = weights_table(data.facts.pixels[train], labels)
        return found, weights, draw_plots(tmp_path, labels, found, weights, "blobs")

    return plots


def rows(plot):
    with plot.png.with_suffix(".csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("classes", [2, 19, MANY + 2])
def test_any_number_of_classes_has_every_plot_with_its_numbers(classes, draw, classes_of):
    _, _, plots = draw(classes_of(classes))
    assert set(plots) == set(STEMS)
    for plot in plots.values():
        with Image.open(plot.png) as picture:
            width, height = picture.size
        assert 400 < width < 3200
        assert 200 < height < 4000
        assert len(rows(plot)) >= min(classes, 2)


def test_plots_of_150_classes_are_not_too_large_to_look_at(draw, classes_of, monkeypatch):
    sizes = []

    def measure(path, figure):  # drawing them takes ten seconds
        sizes.append(figure.get_size_inches() * figure.dpi)

    monkeypatch.setattr(axis, "write_figure", measure)
    draw(classes_of(150))
    assert len(sizes) == len(STEMS)
    assert (np.array(sizes) < (3200, 4000)).all()


def test_the_numbers_beside_a_plot_are_those_of_the_analysis(draw, classes_of):
    found, weights, plots = draw(classes_of(3))
    shares = {(r["part"], r["class"]): float(r["share"]) for r in rows(plots["class_shares"])}
    for part, numbers in found["parts"].items():
        for row in numbers["classes"]:
            assert shares[part, row["name"]] == row["share"]
    carried = [float(r["loss_share"]) for r in rows(plots["loss_share"])]
    assert carried == [c["loss_share"] for s in weights["schemes"] for c in s["classes"]]
    pairs = [int(r["images"]) for r in rows(plots["together"])]
    assert pairs == np.ravel(found["together"]["images"]).tolist()
    places = [[float(v) for k, v in r.items() if k.isdigit()] for r in rows(plots["position"])]
    assert np.reshape(places, (3, 32, 32)) == pytest.approx(np.array(found["position"]), rel=1e-3, abs=1e-6)
    sizes = [(int(r["width"]), int(r["height"]), int(r["images"])) for r in rows(plots["image_sizes"])]
    assert sizes == [(64, 48, 12), (96, 64, 2)]


def test_classes_have_their_colours(draw):
    labels = LabelSpace(("sea", "land"), ((12, 34, 200), (210, 180, 40)), ((0,), (1,)))
    _, _, plots = draw(labels)
    for stem in ("class_shares", "class_images", "regions", "loss_share"):
        picture = np.asarray(Image.open(plots[stem].png).convert("RGB"))
        for color in labels.colors:
            assert (picture == color).all(2).sum() > 20


def test_a_class_that_is_nowhere_and_strange_names_are_drawn(draw):
    names = ("$x$ costs $5", "<b>" * 30, "道路")
    labels = LabelSpace(names, ((0, 0, 0), (255, 255, 255), (9, 9, 9)), ((0,), (1,), (2,)))
    _, _, plots = draw(
        labels, targets=[np.zeros((48, 64), np.uint8)] * 12 + [np.zeros((64, 96), np.uint8)] * 2
    )
    assert set(plots) == set(STEMS)


def test_without_a_mask_only_images_are_drawn(draw, classes_of):
    _, _, plots = draw(classes_of(3), targets=[None] * 14, parts=[""] * 14)
    assert set(plots) == {"image_sizes"}


def test_one_part_is_drawn_as_the_whole(draw, classes_of):
    _, _, plots = draw(classes_of(3), parts=[""] * 14)
    assert {r["part"] for r in rows(plots["class_shares"])} == {"all"}
