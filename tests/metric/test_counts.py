from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from segkit.metric.counts import OverlapCounts
from segkit.metric.scored import largest
from segkit.types import LabelSpace


def space(k: int, task: str = "multiclass") -> LabelSpace:
    return LabelSpace(
        tuple(f"c{i}" for i in range(k)), ((0, 0, 0),) * k, tuple((i,) for i in range(k)), task=task
    )


def masks(seed: int, n: int, k: int, size: tuple[int, int] = (4, 5)) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    target = rng.choice([*range(k), 255], (n, *size)).astype(np.uint8)
    return torch.from_numpy(rng.integers(0, k, (n, *size))), torch.from_numpy(target)


def feed(metric, prediction, target, index):
    """Show pictures to a metric, as a network that is sure of them would."""
    for p, t, i in zip(prediction, target, index, strict=True):
        metric.update(SimpleNamespace(prediction=p, target=t, index=i))


def counted(labels, prediction, target, batches):
    """Counts after updates with the given lists of image indices."""
    metric = OverlapCounts(labels)
    for batch in batches:
        feed(metric, prediction[batch], target[batch], batch)
    return metric.count()


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_the_confusion_matrix_is_that_of_scikit_learn(seed, k):
    prediction, target = masks(seed, 3, k)
    target[0, 0, 0] = 0
    counts = counted(space(k), prediction, target, [[0, 1, 2]])
    keep = target != 255
    expected = confusion_matrix(target[keep], prediction[keep], labels=range(k))
    np.testing.assert_array_equal(counts.confusion, expected)
    assert counts.confusion.dtype == counts.counts.dtype == counts.index.dtype == np.int64


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_counts_of_an_image_are_those_of_plain_loops(seed, k):
    prediction, target = masks(seed, 2, k)
    counts = counted(space(k), prediction, target, [[0, 1]]).counts
    for n in range(2):
        p, t = prediction[n].numpy(), target[n].numpy()
        for c in range(k):
            valid = t != 255
            hit = ((p == c) & (t == c)).sum()
            assert counts[n, c].tolist() == [hit, ((p == c) & valid).sum() - hit, (t == c).sum() - hit]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(6)), st.integers(1, 6))
def test_order_and_batch_size_do_not_matter(seed, order, size):
    prediction, target = masks(seed, 6, 4)
    batches = [list(order[i : i + size]) for i in range(0, 6, size)]
    whole = counted(space(4), prediction, target, [[0, 1, 2, 3, 4, 5]])
    assert_same(counted(space(4), prediction, target, batches), whole)
    assert whole.index.tolist() == [0, 1, 2, 3, 4, 5]


def test_images_of_several_sizes_are_counted_one_by_one():
    metric = OverlapCounts(space(3))
    for i, size in enumerate([(2, 3), (7, 1), (4, 4)]):
        prediction, target = masks(i, 1, 3, size)
        feed(metric, prediction, target, [i])
    assert metric.count().counts.shape == (3, 3, 3)


def merged(metrics: list[OverlapCounts]) -> list:
    """What every process computes after synchronisation; `gather` plays the other processes.

    torchmetrics gathers the states one after the other in the order they were added, each
    process its own list states joined.
    """
    states = []
    for metric in metrics:
        metric.sync(dist_sync_fn=lambda tensor, group: [tensor], distributed_available=lambda: True)
        states.append([metric.index, metric.counts, metric.cells])
        metric.unsync()
    results = []
    for metric in metrics:
        turn = iter(range(3))

        def gather(tensor, group, turn=turn):
            i = next(turn)
            return [state[i] for state in states]

        metric.sync(dist_sync_fn=gather, distributed_available=lambda: True)
        results.append(metric.count())  # leaves the merged states again
    return results


@pytest.mark.filterwarnings("ignore:The ``compute`` method")  # a process without an image
@pytest.mark.parametrize("parts", [[[0, 2, 4], [1, 3]], [[0, 1, 2, 3, 4], []], [[4], [0], [3, 2, 1]]])
def test_processes_give_the_counts_of_one(parts):
    prediction, target = masks(0, 5, 4)
    metrics = []
    for part in parts:
        metric = OverlapCounts(space(4), sync_on_compute=False)
        for i in part:
            feed(metric, prediction[[i]], target[[i]], [i])
        metrics.append(metric)
    whole = counted(space(4), prediction, target, [[0, 1, 2, 3, 4]])
    for result in merged(metrics):
        assert_same(result, whole)


def test_an_image_that_is_counted_twice_is_an_error():
    prediction, target = masks(0, 2, 3)
    metric = OverlapCounts(space(3))
    feed(metric, prediction, target, [7, 8])
    feed(metric, prediction[:1], target[:1], [8])
    with pytest.raises(ValueError, match="index 8 was counted twice"):
        metric.count()


def test_reset_forgets_everything():
    prediction, target = masks(0, 2, 3)
    metric = OverlapCounts(space(3))
    feed(metric, prediction, target, [0, 1])
    metric.reset()
    feed(metric, prediction[1:], target[1:], [1])
    assert_same(metric.count(), counted(space(3), prediction, target, [[1]]))


def test_no_images_are_no_counts():
    metric = OverlapCounts(space(3))
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        counts = metric.count()
    assert counts.counts.shape == (0, 3, 3)
    assert counts.index.shape == (0,)


@pytest.mark.parametrize("wrong", ["target", "prediction"])
def test_a_value_that_is_no_class_is_an_error(wrong):
    prediction, target = masks(0, 2, 3)
    {"target": target, "prediction": prediction}[wrong][0, 0, 0] = 3
    target[0, 0, 1] = 0
    with pytest.raises(ValueError, match="outside the 3 classes"):
        feed(OverlapCounts(space(3)), prediction, target, [0, 1])


def test_shapes_that_differ_are_an_error():
    prediction, target = masks(0, 2, 3)
    with pytest.raises(ValueError, match="differ"):
        feed(OverlapCounts(space(3)), prediction, target[:, 1:], [0, 1])


@pytest.mark.parametrize(("k", "ignore"), [(60, 255), (255, 255), (300, 65535)])
def test_many_classes_are_counted_like_few(k, ignore):
    """The codes need 32 bits here; the widest label spaces ignore 65535."""
    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.choice([0, 7, k - 1, ignore], (3, 6, 6)).astype(np.int32))
    prediction = torch.from_numpy(rng.choice([0, 7, k - 1], (3, 6, 6)))
    before = target.clone()
    counts = counted(space(k), prediction, target, [[0, 1, 2]])
    keep = target != ignore
    np.testing.assert_array_equal(
        counts.confusion, confusion_matrix(target[keep], prediction[keep], labels=range(k))
    )
    assert torch.equal(target, before)


def test_more_pixels_than_float32_can_count_are_counted():
    """float32 counters stop at 2^24."""
    labels, blank = space(2), torch.zeros(1, 4096, 4097, dtype=torch.uint8)
    metric = OverlapCounts(labels)
    feed(metric, blank, blank, [0])
    assert metric.count().counts[0, 0].tolist() == [4096 * 4097, 0, 0]


def test_overlapping_classes_are_counted_plane_by_plane():
    rng = np.random.default_rng(0)
    target = rng.choice([0, 1, 255], (2, 3, 4, 5)).astype(np.uint8)
    prediction = rng.integers(0, 2, (2, 3, 4, 5))
    counts = counted(space(3, "multilabel"), torch.from_numpy(prediction), torch.from_numpy(target), [[0, 1]])
    assert counts.confusion is None
    for n in range(2):
        for c in range(3):
            keep = target[n, c] != 255
            (_, fp), (fn, tp) = confusion_matrix(target[n, c][keep], prediction[n, c][keep], labels=[0, 1])
            assert counts.counts[n, c].tolist() == [tp, fp, fn]


@pytest.mark.parametrize("classes", [1, 2, 8, 256, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_largest_logit_is_the_first_of_equal_ones(classes, dtype):
    """As numpy finds it; few values make many ties."""
    rng = np.random.default_rng(0)
    for values in (rng.integers(-2, 3, (classes, 9, 11)), rng.normal(size=(classes, 9, 11))):
        logits = torch.from_numpy(values).to(dtype)
        before = logits.clone()
        best, where = largest(logits)
        np.testing.assert_array_equal(where, logits.numpy().argmax(0))
        assert torch.equal(best, before.amax(0))
        assert (best.dtype, where.dtype) == (dtype, torch.int64)
        assert torch.equal(logits, before)
