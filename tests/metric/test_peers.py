"""The same masks give the numbers of scikit-learn, torchmetrics and the Cityscapes benchmark."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, jaccard_score
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MulticlassPrecision,
    MulticlassRecall,
    MultilabelF1Score,
    MultilabelJaccardIndex,
)

from segkit.data.labels import read_labels
from segkit.metric.counts import OverlapCounts
from segkit.metric.overlap import overlap
from segkit.metric.protocol import Protocol
from segkit.types import LabelSpace

seeds = st.integers(0, 2**32 - 1)


def space(k: int, task: str = "multiclass") -> LabelSpace:
    names, ids = tuple(f"c{i}" for i in range(k)), tuple((i,) for i in range(k))
    return LabelSpace(names, ((0, 0, 0),) * k, ids, task=task)


def counted(prediction, target, labels: LabelSpace):
    metric = OverlapCounts(labels)
    for i, (p, t) in enumerate(zip(torch.as_tensor(prediction), torch.as_tensor(target), strict=True)):
        metric.update(SimpleNamespace(prediction=p, target=t, index=i))
    return metric.count()


def drawn(seed: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Three images in which each class may be missing, some pixels ignored."""
    rng = np.random.default_rng(seed)
    target = rng.choice([*rng.integers(0, k, k), 255], (3, 4, 5))
    target[0, 0, :2] = 0, 1
    return rng.choice(rng.integers(0, k, k), (3, 4, 5)), target


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 6))
def test_mean_class_accuracy_is_scikit_learns_balanced_accuracy(seed, k):
    prediction, target = drawn(seed, k)
    keep = target != 255
    expected = balanced_accuracy_score(target[keep], prediction[keep])
    mean = overlap(counted(prediction, target, space(k)), space(k))["mean"]
    assert mean["mean_class_accuracy"] == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 6), st.sampled_from([("one", 1), ("zero", 0)]))
def test_absent_classes_are_filled_as_scikit_learns_zero_division_fills_them(seed, k, fill):
    prediction, target = drawn(seed, k)
    keep = target != 255
    expected = jaccard_score(
        target[keep], prediction[keep], labels=range(k), average="macro", zero_division=fill[1]
    )
    mean = overlap(counted(prediction, target, space(k)), space(k), Protocol(absent=fill[0]))["mean"]
    assert mean["miou"] == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(2, 6))
def test_macro_micro_and_weighted_numbers_are_those_of_torchmetrics(seed, k):
    prediction, target = drawn(seed, k)
    mean = overlap(counted(prediction, target, space(k)), space(k))["mean"]
    peers = {
        "miou": MulticlassJaccardIndex(k, average="macro", ignore_index=255),
        "micro_iou": MulticlassJaccardIndex(k, average="micro", ignore_index=255),
        "fw_iou": MulticlassJaccardIndex(k, average="weighted", ignore_index=255),
        "dice": MulticlassF1Score(k, average="macro", ignore_index=255),
        "precision": MulticlassPrecision(k, average="macro", ignore_index=255),
        "recall": MulticlassRecall(k, average="macro", ignore_index=255),
        "pixel_accuracy": MulticlassAccuracy(k, average="micro", ignore_index=255),
    }
    for name, peer in peers.items():
        theirs = peer(torch.from_numpy(prediction), torch.from_numpy(target)).item()
        assert mean[name] == pytest.approx(theirs, rel=1e-5, abs=1e-7), name


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(2, 6))
def test_numbers_per_class_are_those_of_torchmetrics(seed, k):
    prediction, target = drawn(seed, k)
    per_class = overlap(counted(prediction, target, space(k)), space(k))["per_class"]
    peers = {
        "iou": MulticlassJaccardIndex,
        "dice": MulticlassF1Score,
        "precision": MulticlassPrecision,
        "recall": MulticlassRecall,
    }
    for rate, peer in peers.items():
        metric = peer(k, average=None, ignore_index=255)
        theirs = metric(torch.from_numpy(prediction), torch.from_numpy(target)).tolist()
        for row, value in zip(per_class.values(), theirs, strict=True):
            assert row[rate] is None or row[rate] == pytest.approx(value, rel=1e-5, abs=1e-7)


def test_an_ignored_class_is_out_of_every_mean_where_torchmetrics_f1_counts_it_as_zero():
    """torchmetrics' Jaccard leaves `ignore_index` out of the macro mean; its F1 does not."""
    prediction, target = np.array([[[0, 0, 1, 2]]]), np.array([[[0, 0, 1, 1]]])
    labels = space(3)
    mean = overlap(counted(prediction, target, labels), labels, Protocol(ignore_classes=["c2"]))["mean"]
    assert mean["miou"] == (1 + 1 / 2) / 2
    assert mean["dice"] == pytest.approx((1 + 2 / 3) / 2)
    pair = torch.from_numpy(prediction), torch.from_numpy(target)
    assert MulticlassJaccardIndex(3, ignore_index=2)(*pair).item() == pytest.approx(mean["miou"])
    assert MulticlassF1Score(3, average="macro", ignore_index=2)(*pair).item() == pytest.approx(
        (1 + 2 / 3 + 0) / 3
    )


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 4))
def test_overlapping_classes_are_those_of_torchmetrics(seed, k):
    rng = np.random.default_rng(seed)
    prediction, target = rng.integers(0, 2, (3, k, 4, 5)), rng.choice([0, 1, 255], (3, k, 4, 5))
    target[:, :, 0, 0] = 1  # each class appears
    labels = space(k, "multilabel")
    mean = overlap(counted(prediction, target, labels), labels)["mean"]
    pair = torch.from_numpy(prediction), torch.from_numpy(target)
    for name, peer in (("miou", MultilabelJaccardIndex), ("dice", MultilabelF1Score)):
        theirs = peer(k, average="macro", ignore_index=255)(*pair).item()
        assert mean[name] == pytest.approx(theirs, rel=1e-5)


# ---- the Cityscapes benchmark ---------------------------------------------------------------


@pytest.fixture(scope="module")
def benchmark():
    """The official script (MIT): `pip install --no-deps cityscapesScripts pyquaternion` to run these."""
    name = "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"
    return pytest.importorskip(name, reason="needs cityscapesScripts and pyquaternion")


@pytest.fixture
def street_files(tmp_path):
    """Label ids as the benchmark's files hold them: everything in the truth, 19 classes predicted."""
    rng = np.random.default_rng(0)
    evaluated = [i for ids in read_labels("cityscapes19").ids for i in ids]
    pairs = []
    for n in range(3):
        truth = rng.choice(rng.permutation(34)[:20], (12, 24)).astype(np.uint8)
        guess = np.where(rng.random(truth.shape) < 0.5, truth, rng.choice(evaluated[:15], truth.shape))
        guess = np.where(np.isin(guess, evaluated), guess, evaluated[n]).astype(np.uint8)
        files = tmp_path / f"guess{n}.png", tmp_path / f"truth{n}_labelIds.png"
        for mask, file in zip((guess, truth), files, strict=True):
            Image.fromarray(mask).save(file)
        pairs.append((files, guess, truth))
    return pairs


def official(benchmark, pairs):
    options = SimpleNamespace(
        **{**vars(benchmark.args), "evalInstLevelScore": False, "evalPixelAccuracy": False}
    )
    matrix = benchmark.generateMatrix(options)
    for (guess, truth), *_ in pairs:
        benchmark.evaluatePair(str(guess), str(truth), matrix, {}, {}, options)
    return matrix, options


def measured(pairs, labels: LabelSpace):
    guesses, truths = (np.stack([labels.encode(pair[i]) for pair in pairs]) for i in (1, 2))
    return counted(guesses.astype(np.int64), truths.astype(np.int64), labels)


def test_nineteen_classes_and_seven_categories_are_those_of_the_cityscapes_benchmark(benchmark, street_files):
    matrix, options = official(benchmark, street_files)
    labels = read_labels("cityscapes19")
    counts = measured(street_files, labels)
    fine, coarse = overlap(counts, labels), overlap(counts, labels, Protocol(level="category"))
    scores = {}
    for name, ids in zip(labels.names, labels.ids, strict=True):
        scores[name] = benchmark.getIouScoreForLabel(ids[0], matrix, options)
        ours = fine["per_class"][name]["iou"]
        assert (np.nan if ours is None else ours) == pytest.approx(scores[name], nan_ok=True)
    assert 0 < np.isnan(list(scores.values())).sum() < 19  # classes that no picture shows are among them
    assert fine["mean"]["miou"] == pytest.approx(benchmark.getScoreAverage(scores, options))
    theirs = {c: benchmark.getIouScoreForCategory(c, matrix, options) for c in benchmark.category2labels}
    assert {c for c, score in theirs.items() if not np.isnan(score)} == set(coarse["per_class"])
    for name, row in coarse["per_class"].items():
        assert row["iou"] == pytest.approx(theirs[name])
    assert len(coarse["per_class"]) == 7
    assert coarse["mean"]["miou"] == pytest.approx(benchmark.getScoreAverage(theirs, options))


def test_seven_categories_from_nineteen_classes_equal_a_label_space_of_seven(street_files):
    fine, coarse = read_labels("cityscapes19"), read_labels("cityscapes7")
    merged = overlap(measured(street_files, fine), fine, Protocol(level="category"))
    own = overlap(measured(street_files, coarse), coarse)
    assert merged["per_class"] == own["per_class"]
    assert merged["mean"] == pytest.approx(own["mean"])
