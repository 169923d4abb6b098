"""Pictures for a page: what they show is what an evaluation measures."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

import segkit
from segkit import checkpoint
from segkit.infer.views import Wanted, make_page, make_views
from segkit.metric.overlap import rates


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGBA"))


@pytest.fixture(scope="module")
def loaded(finished):
    found = checkpoint.load(finished)
    return found, checkpoint.evaluation_data(found, {})


def test_the_layers_are_those_that_the_network_and_the_mask_give(finished, loaded):
    (_, _, labels, net, *_), data = loaded
    image, target = data.readers["test"][1]
    prediction = segkit.load(finished).predict(image)
    view = make_views(net, labels, data, "test", [Wanted(1, "why")])[0]
    assert (view.name, view.caption) == (data.part("test")[1].name, "why")
    assert (view.height, view.width) == target.shape
    counted = target != labels.ignore_index
    for layer, mask in (("target", target), ("prediction", prediction)):
        drawn = pixels(view.layers[layer])[counted]
        assert (drawn[:, 3] == 255).all()
        assert (drawn[:, :3] == labels.colorize(mask)[counted]).all()
    wrong = counted & (target != prediction)
    assert ((pixels(view.layers["error"])[..., 3] == 255) == wrong).all()


def test_the_first_picture_is_the_one_with_the_lowest_score(finished):
    kept = np.load(finished / "counts.npz")
    scores = np.nanmean(rates(kept["counts"])["iou"], 1)
    worst = str(kept["names"][np.argmin(scores)])
    page = (finished / "report.html").read_text()
    first = page.split('<figure class="viewer"')[1]
    assert f'aria-label="{worst}, picture with overlays"' in first
    assert f"{scores.min():.3f}" in first


def test_views_come_in_the_order_in_which_they_are_wanted(loaded):
    (_, _, labels, net, *_), data = loaded
    wanted = [Wanted(2), Wanted(0), Wanted(0, box=(4, 4, 8, 8)), Wanted(2)]
    views = make_views(net, labels, data, "val", wanted)
    assert [v.name for v in views] == [data.part("val")[w.index].name for w in wanted]
    assert views[0] == views[3]
    assert views[1].image != views[2].image


def test_what_goes_wrong_with_a_page_is_a_warning(loaded, tmp_path, caplog):
    (_, _, labels, net, *_), data = loaded
    assert make_page(tmp_path, net, labels, data) is None
    assert "there is no report.html: UserError" in caplog.text
