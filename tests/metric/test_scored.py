"""A picture that is read in slices says what it says when it is read at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from segkit.metric import scored
from segkit.metric.scored import Answer, Scored, enlarged
from segkit.types import LabelSpace

TASKS = ["multiclass", "binary", "multilabel"]
sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
large_sizes = st.tuples(st.integers(1, 140), st.integers(1, 140))


def space(k: int, task: str = "multiclass") -> LabelSpace:
    k = 2 if task == "binary" else k
    names, ids = tuple(f"c{i}" for i in range(k)), tuple((i,) for i in range(k))
    return LabelSpace(names, ((0, 0, 0),) * k, ids, task=task)


def drawn(seed: int, labels: LabelSpace, size: tuple[int, int], dtype=torch.float32) -> torch.Tensor:
    """Logits of a few values, so that classes tie."""
    generator = torch.Generator().manual_seed(seed)
    shape = (labels.num_logits, *size)
    return torch.randint(-4, 5, shape, generator=generator).to(dtype) * 0.7


def whole(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Each class enlarged by itself, ``[1, C, H, W]``: at once, torch rounds differently with one thread."""
    classes = logits.float()[:, None, None]
    return torch.cat(
        [interpolate(one, size=size, mode="bilinear", align_corners=False) for one in classes], 1
    )


@pytest.fixture(params=[1, 2**16, 2**25], ids=["one class", "some classes", "all classes"])
def in_slices(request, monkeypatch):
    """Floats that may be enlarged at a time."""
    monkeypatch.setattr(scored, "SLICE", request.param)


@pytest.mark.usefixtures("in_slices")
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("threshold", [0.5, 0.2])
@pytest.mark.parametrize(
    ("small", "large"), [((3, 5), (170, 140)), ((3, 5), (3, 5)), ((1, 2), (130, 160)), ((4, 4), (1, 1))]
)
def test_a_prediction_in_slices_is_the_plain_one_to_the_last_bit(task, threshold, small, large):
    labels = space(11, task)
    logits = drawn(0, labels, small)
    prediction = Answer(logits, large, labels, threshold).prediction
    assert torch.equal(prediction, labels.predict(whole(logits, large), threshold)[0])
    assert prediction.dtype == torch.int64


@settings(max_examples=50, deadline=None)
@given(
    *(
        st.integers(0, 2**31),
        sizes.filter(lambda s: s != (1, 1)),
        large_sizes,
        st.integers(2, 12),
        st.integers(1, 2**17),
    ),
    st.sampled_from(TASKS),
)
def test_slices_of_any_size_change_no_pixel(seed, small, large, k, floats, task):
    labels = space(k, task)
    logits = drawn(seed, labels, small)
    expected = labels.predict(whole(logits, large))[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scored, "SLICE", floats)
        assert torch.equal(Answer(logits, large, labels).prediction, expected)


@pytest.mark.usefixtures("in_slices")
@pytest.mark.parametrize("task", TASKS)
def test_probabilities_in_slices_are_those_of_the_whole(task):
    labels = space(7, task)
    logits = drawn(1, labels, (3, 4))
    answer = Answer(logits, (5, 9), labels)
    parts = [(first, part.clone()) for first, part in answer.probabilities()]
    found = torch.cat([part for _, part in parts])
    torch.testing.assert_close(found, labels.probabilities(whole(logits, (5, 9)))[0])
    assert [first for first, _ in parts] == [sum(len(p) for _, p in parts[:i]) for i in range(len(parts))]
    if task != "multilabel":
        torch.testing.assert_close(found.sum(0), torch.ones(5, 9))


@pytest.mark.usefixtures("in_slices")
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("threshold", [0.5, 0.9])
def test_confidence_is_the_probability_of_what_was_predicted(task, threshold):
    labels = space(6, task)
    answer = Answer(drawn(2, labels, (3, 4)), (6, 5), labels, threshold)
    found = torch.cat([part.clone() for _, part in answer.probabilities()])
    if task == "multilabel":
        expected = torch.where(answer.prediction == 1, found, 1 - found)
    else:
        expected = found.gather(0, answer.prediction[None])[0]
    torch.testing.assert_close(answer.confidence, expected)
    assert answer.confidence.shape == answer.prediction.shape


def test_probabilities_leave_the_logits_as_they_were():
    labels = space(3)
    logits = drawn(3, labels, (4, 4))
    before = logits.clone()
    answer = Answer(logits, (4, 4), labels)  # the same size: slices are views
    assert len(list(answer.probabilities())) == 1
    assert answer.confidence.shape == (4, 4)
    assert torch.equal(logits, before)


def test_large_logits_give_probabilities_that_are_numbers():
    labels = space(3)
    logits = torch.tensor([1e4, -1e4, 1e4])[:, None, None].expand(3, 2, 2)
    (_, found), *_ = Answer(logits, (2, 2), labels).probabilities()
    assert found[:, 0, 0].tolist() == pytest.approx([0.5, 0, 0.5], abs=1e-3)  # float32 has 7 digits


def test_among_equal_logits_the_first_class_is_predicted_whatever_the_slices(monkeypatch):
    monkeypatch.setattr(scored, "SLICE", 1)
    assert not Answer(torch.zeros(5, 2, 2), (3, 3), space(5)).prediction.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_precision_is_read_as_float32_and_double_stays(dtype):
    labels = space(4)
    answer = Answer(drawn(4, labels, (3, 3), dtype), (5, 5), labels)
    assert answer.logits.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert answer.prediction.shape == (5, 5)


@pytest.mark.parametrize(("k", "dtype", "ignore"), [(3, torch.uint8, 255), (300, torch.int32, 65535)])
def test_ignored_pixels_are_not_counted(k, dtype, ignore):
    target = torch.tensor([[0, ignore, 2]], dtype=dtype)
    picture = Scored(torch.zeros(k, 2, 2), target, 7, space(k))
    assert picture.counted.tolist() == [[True, False, True]]
    assert (picture.size, picture.index) == ((1, 3), 7)


def test_overlapping_targets_are_read_at_the_size_of_their_planes():
    target = torch.tensor([[[0, 1, 255]], [[1, 1, 0]]], dtype=torch.uint8)
    picture = Scored(torch.zeros(2, 4, 4), target, 0, space(2, "multilabel"))
    assert picture.prediction.shape == picture.counted.shape == (2, 1, 3)
    assert not picture.counted[0, 0, 2]


def test_enlarging_to_the_same_size_copies_nothing():
    logits = torch.zeros(2, 3, 3)
    assert enlarged(logits, (3, 3)) is logits
