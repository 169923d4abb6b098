import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from segkit.infer.measure import measure
from segkit.infer.predictor import Predictor
from segkit.metric import scored
from segkit.metric.counts import OverlapCounts
from segkit.types import Batch, LabelSpace, UserError


def space(count, task="multiclass"):
    return LabelSpace(
        tuple(map(str, range(count))),
        tuple((i, i, i) for i in range(count)),
        tuple((i,) for i in range(count)),
        task=task,
    )


class Net(nn.Module):
    """Linear in the pixels, so that the answer can be worked out without a Predictor."""

    def __init__(self, channels):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(channels, 3, 1, 1, generator=generator))
        self.sizes = []

    def forward(self, image):
        assert not self.training
        assert image.dtype == torch.uint8
        self.sizes.append(tuple(image.shape[-2:]))
        return torch.nn.functional.conv2d(image.float() / 64 - 2, self.weight)


def picture(height=12, width=20, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def logits(net, image):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(image).permute(2, 0, 1)[None])


def test_indices_have_the_size_of_the_picture_and_a_small_type():
    net, image = Net(5).train(), picture(13, 7)
    prediction = Predictor(net, space(5)).predict(image)
    assert prediction.dtype == np.uint8
    assert np.array_equal(prediction, logits(net, image)[0].argmax(0).numpy())


def test_logits_are_enlarged_bilinearly_from_network_resolution_before_the_choice():
    net = Net(4)
    image = np.kron(picture(6, 10), np.ones((4, 4, 1), np.uint8))  # every mean over 4 x 4 is exact
    predictor = Predictor(net, space(4), size=(6, 10))
    small = logits(net, image[::4, ::4].copy())
    expected = interpolate(small, (24, 40), mode="bilinear", align_corners=False).argmax(1)[0]
    assert np.array_equal(predictor.predict(image), expected.numpy())
    assert set(net.sizes) == {(6, 10)}
    probability = interpolate(small, (24, 40), mode="bilinear", align_corners=False).softmax(1)[0]
    np.testing.assert_allclose(predictor.probabilities(image), probability.numpy(), rtol=1e-6)


@pytest.mark.parametrize(("task", "count"), [("multiclass", 7), ("binary", 2), ("multilabel", 7)])
def test_slices_that_bound_memory_change_no_pixel(monkeypatch, task, count):
    labels = space(count, task)
    predictor = Predictor(Net(labels.num_logits), labels, size=(8, 8))
    whole = predictor.predict(picture())
    monkeypatch.setattr(scored, "SLICE", 2 * 12 * 20)
    assert np.array_equal(predictor.predict(picture()), whole)
    assert len(np.unique(whole)) > 1


def test_threshold_decides_in_a_binary_task():
    net, labels, image = Net(1), space(2, "binary"), picture()
    probability = Predictor(net, labels).probabilities(image)
    assert probability.shape == (2, 12, 20)
    np.testing.assert_allclose(probability.sum(0), 1, rtol=1e-6)
    assert np.array_equal(Predictor(net, labels, threshold=0.9).predict(image), probability[1] >= 0.9)


def test_multilabel_gives_one_plane_for_each_class():
    net, labels, image = Net(3), space(3, "multilabel"), picture()
    predictor = Predictor(net, labels)
    assert np.array_equal(predictor.predict(image), predictor.probabilities(image) >= 0.5)


def test_more_than_255_classes_need_16_bits():
    prediction = Predictor(Net(300), space(300)).predict(picture(40, 40))
    assert prediction.dtype == np.uint16
    assert prediction.max() > 255


def test_grey_is_the_same_as_three_equal_channels():
    grey = picture()[..., 0]
    predictor = Predictor(Net(5), space(5), size=(5, 9))
    assert np.array_equal(predictor.predict(grey), predictor.predict(np.stack([grey] * 3, 2)))


def test_strided_and_mirrored_views_are_fine():
    image = picture(24, 40)
    predictor = Predictor(Net(5), space(5))
    view = image[::-2, ::2]
    assert np.array_equal(predictor.predict(view), predictor.predict(view.copy()))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (picture().astype(np.float32) / 255, "float32 array.*uint8"),
        (picture().transpose(2, 0, 1), r"shape \[3, 12, 20\]"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \[0, 4, 3\]"),
        ([[1, 2]], "a list"),
    ],
)
def test_other_arrays_are_one_clear_line(image, message):
    with pytest.raises(UserError, match=message):
        Predictor(Net(5), space(5)).predict(image)


@pytest.mark.parametrize(("task", "count"), [("multiclass", 7), ("binary", 2), ("multilabel", 7)])
def test_a_temperature_changes_probabilities_and_no_prediction_at_a_threshold_of_a_half(task, count):
    labels = space(count, task)
    net, image = Net(labels.num_logits), picture()
    plain, warm = Predictor(net, labels), Predictor(net, labels, temperature=2.5)
    expected = labels.probabilities(logits(net, image) / 2.5)[0].numpy()
    np.testing.assert_allclose(warm.probabilities(image), expected, rtol=1e-5)
    assert not np.allclose(plain.probabilities(image), expected, rtol=0.01)
    assert np.array_equal(plain.predict(image), warm.predict(image))


@pytest.mark.parametrize(("task", "count"), [("multiclass", 7), ("binary", 2), ("multilabel", 7)])
def test_measuring_and_predicting_decide_alike_at_any_threshold_and_temperature(task, count):
    labels = space(count, task)
    net, image = Net(labels.num_logits), picture()
    prediction = Predictor(net, labels, threshold=0.7, temperature=2.5).predict(image)
    if task == "binary":
        assert np.array_equal(prediction, logits(net, image)[0, 0].div(2.5).sigmoid() >= 0.7)
        assert not np.array_equal(prediction, Predictor(net, labels, threshold=0.7).predict(image))
    sizes = ((12, 20),)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    batch = Batch(pixels, torch.from_numpy(prediction)[None], torch.tensor([0]), ("a",), sizes, sizes)
    counts = OverlapCounts(labels)
    measure(net, labels, [batch], [counts], threshold=0.7, temperature=2.5)
    assert counts.count().counts[0, :, 0].sum() == (prediction.sum() if task == "multilabel" else 240)
    assert counts.count().counts[0, :, 1:].sum() == 0


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": 1.5}, {"size": (0, 4)}, {"size": (4,)}, {"temperature": 0}, {"temperature": math.nan}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError):
        Predictor(Net(5), space(5), **wrong)
