from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.data.divergence import divergence
from segkit.data.split import assign, extend, fold_ratios, folds, read_split, write_split
from segkit.types import SPLITS, Sample, UserError


@pytest.fixture(autouse=True, scope="module")
def _short_searches():
    """The promises do not depend on how long the search is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segkit.data.stratify.BUDGET", 6_000_000)
        yield


def make(count, groups=0, splits=None):
    return [
        Sample(f"s{i:03d}", Path(), None, f"g{i % groups}" if groups else "", splits[i] if splits else "")
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [3, 10, 101])
def test_parts_have_the_sizes_that_were_asked_for(count):
    sizes = Counter(assign(make(count), 0.2, 0.1, seed=0))
    assert sum(sizes.values()) == count
    for part, share in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
        assert abs(sizes[part] - share * count) < 1.5
        assert sizes[part] >= 1


def test_the_seed_decides_and_the_order_of_the_samples_does_not():
    samples = make(40, groups=11)
    parts = dict(zip(samples, assign(samples, 0.2, 0.2, seed=3), strict=True))
    shuffled = [samples[i] for i in np.random.default_rng(0).permutation(40)]
    assert dict(zip(shuffled, assign(shuffled, 0.2, 0.2, seed=3), strict=True)) == parts
    assert assign(samples, 0.2, 0.2, seed=4) != list(parts.values())


@given(st.lists(st.integers(0, 6), min_size=12, max_size=40), st.integers(0, 5))
def test_a_group_never_straddles_and_no_part_is_empty(numbers, seed):
    samples = [Sample(f"s{i}", Path(), None, f"g{n}") for i, n in enumerate(numbers)]
    if len(set(numbers)) < 3:
        with pytest.raises(UserError, match=r"groups? cannot be divided.*; add groups"):
            assign(samples, 0.15, 0.15, seed)
        return
    parts = assign(samples, 0.15, 0.15, seed)
    homes = {(s.group, part) for s, part in zip(samples, parts, strict=True)}
    assert len(homes) == len(set(numbers))
    assert set(parts) == {"train", "val", "test"}


def test_a_fraction_of_zero_leaves_a_part_out():
    assert set(assign(make(9), 0.3, 0, seed=0)) == {"train", "val"}
    assert set(assign(make(1), 0, 0, seed=0)) == {"train"}


@pytest.mark.parametrize("official", [["train", "val"], ["train", "val", "test"]])
def test_official_splits_stay_as_they_are(official):
    splits = [official[i % len(official)] for i in range(20)]
    assert assign(make(20, groups=2, splits=splits), 0.3, 0.3, seed=1) == splits


@pytest.mark.parametrize("official", [["train"], ["train", "test"]])
def test_a_missing_validation_part_is_taken_from_training_alone(official):
    splits = [official[i % len(official)] for i in range(40)]
    parts = assign(make(40, splits=splits), 0.25, 0.25, seed=1)
    trained = splits.count("train")
    assert parts.count("val") == trained // 4
    assert [p for p, s in zip(parts, splits, strict=True) if s == "test"] == ["test"] * splits.count("test")
    assert parts.count("test") == splits.count("test")


@pytest.mark.parametrize(
    ("samples", "fractions", "message"),
    [
        (make(2), (0.1, 0.1), "2 samples cannot be divided into train, val, test; add samples"),
        (make(9), (0.5, 0.5), "leave nothing to train on"),
        (make(9), (1.5, 0), "data.val_fraction=1.5 must be"),
        (make(2, splits=["train", ""]), (0.1, 0.1), "1 of 2 samples have no official split"),
        (make(1, splits=["holdout"]), (0.1, 0.1), "has the split 'holdout'"),
    ],
)
def test_what_cannot_be_split_is_an_error(samples, fractions, message):
    with pytest.raises(UserError, match=message):
        assign(samples, *fractions, seed=0)


def test_a_frozen_split_comes_back_for_samples_in_any_order(tmp_path):
    samples = [s._replace(name=f"ä,{s.name}") for s in make(12, groups=5)]
    parts = assign(samples, 0.2, 0.2, seed=0)
    path = tmp_path / "deep" / "split.csv"
    digest = write_split(path, samples, parts)
    assert read_split(path, samples) == parts
    assert read_split(path, samples[::-1]) == parts[::-1]
    assert write_split(path, samples[::-1], parts[::-1]) == digest
    assert path.read_text(encoding="utf-8").splitlines()[1] == "name,split,group"
    assert [p.name for p in path.parent.iterdir()] == ["split.csv"]


def test_a_split_that_was_changed_is_refused_until_its_hash_is_removed(tmp_path):
    samples, path = make(4), tmp_path / "split.csv"
    write_split(path, samples, ["train", "train", "val", "test"])
    text = path.read_text().replace("s000,train", "s000,test")
    path.write_text(text)
    with pytest.raises(UserError, match="was changed after it was frozen"):
        read_split(path, samples)
    path.write_text(text.split("\n", 1)[1])
    assert read_split(path, samples) == ["test", "train", "val", "test"]


def test_a_split_of_other_data_says_what_differs(tmp_path):
    samples, path = make(4), tmp_path / "split.csv"
    write_split(path, samples, ["train"] * 4)
    with pytest.raises(
        UserError, match=r"data does not have: 1 \(first: s000\) and does not list .*: 1 .*new"
    ):
        read_split(path, [*samples[1:], Sample("new", Path())])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "is no split: its first line must be name,split,group"),
        ("name,split\ns000,train\ns000,val\n", "lists 's000' 2 times"),
        ("name,split\ns000,hold\n", "'s000' has the split 'hold'"),
        (f"name,split\n{'s' * 200_000},train\n", "is no split: field larger than field limit"),
    ],
)
def test_a_split_written_by_hand_is_checked(tmp_path, text, message):
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_split(path, make(1))
    with pytest.raises(UserError, match="does not exist"):
        read_split(tmp_path / "none.csv", make(1))


def uneven(samples, seed=0):
    """Counts of 5 classes, each rarer than the one before, in the order of the samples."""
    by_name = {}
    for s in sorted(samples):
        rng = np.random.default_rng([seed, *s.name.encode()])
        by_name[s.name] = (rng.random(5) < 0.9 / np.arange(1, 6)) * rng.integers(1, 9000, 5)
    return np.array([by_name[s.name] for s in samples])


def measure(samples, parts, ratios=(0.7, 0.15, 0.15)):
    return divergence(uneven(samples), np.array([SPLITS.index(p) for p in parts]), ratios)


@pytest.mark.parametrize("groups", [0, 37])
def test_with_counts_every_part_has_its_share_of_every_class(groups):
    samples = make(300, groups=groups)
    found = measure(samples, assign(samples, 0.15, 0.15, 0, lambda: uneven(samples)))
    chance = measure(samples, assign(samples, 0.15, 0.15, 0))
    assert found.worst < 0.3 * chance.worst
    assert found.mean < 0.3 * chance.mean


def test_a_split_with_counts_depends_on_the_seed_and_not_on_the_order_of_the_samples():
    samples = make(120, groups=31)
    parts = dict(zip(samples, assign(samples, 0.2, 0.2, 3, lambda: uneven(samples)), strict=True))
    shuffled = [samples[i] for i in np.random.default_rng(0).permutation(120)]
    assert dict(zip(shuffled, assign(shuffled, 0.2, 0.2, 3, lambda: uneven(shuffled)), strict=True)) == parts
    alone = make(120)  # of so few groups two seeds may find the same, best split
    first, second = (assign(alone, 0.2, 0.2, seed, lambda: uneven(alone)) for seed in (3, 4))
    assert first != second


def test_masks_are_counted_only_where_something_is_divided():
    def never():
        raise AssertionError

    whole = make(6, splits=["train", "val", "test"] * 2)
    assert assign(whole, 0.3, 0.3, 0, never) == ["train", "val", "test"] * 2
    assert assign(make(5), 0, 0, 0, never) == ["train"] * 5


def test_validation_that_is_carved_out_of_training_has_its_share_of_every_class():
    samples = make(400, splits=["train", "train", "train", "test"] * 100)
    parts = assign(samples, 0.2, 0.1, 0, lambda: uneven(samples))
    assert [p == "test" for p in parts] == [s.split == "test" for s in samples]
    rows = [i for i, p in enumerate(parts) if p != "test"]
    found = divergence(
        uneven(samples)[rows], np.array([SPLITS.index(parts[i]) for i in rows]), (0.8, 0.2, 0.0)
    )
    assert found.worst < 0.03


@pytest.mark.parametrize("groups", [0, 23])
@pytest.mark.parametrize("counted", [False, True])
def test_in_folds_every_sample_validates_once_and_groups_stay_whole(groups, counted):
    samples = make(200, groups=groups)
    found = folds(samples, 5, 0.1, 0, (lambda: uneven(samples)) if counted else None)
    assert len(found) == 5
    for sample, parts in zip(samples, zip(*found, strict=True), strict=True):
        assert Counter(parts) in (Counter(train=4, val=1), Counter(test=5)), sample
    for parts in found:
        assert len({(s.group, p) for s, p in zip(samples, parts, strict=True)}) == (
            groups or len({("", p) for p in parts})
        )
        assert abs(parts.count("test") - 20) <= (0 if not groups else 9)
    if counted:
        fold = [parts.index("val") if "val" in parts else 5 for parts in zip(*found, strict=True)]
        ratios = fold_ratios(5, 0.1)
        chance = folds(samples, 5, 0.1, 0)
        lot = [parts.index("val") if "val" in parts else 5 for parts in zip(*chance, strict=True)]
        own, other = (divergence(uneven(samples), np.array(x), ratios) for x in (fold, lot))
        assert own.mean < 0.6 * other.mean


def test_folds_keep_the_official_test_part_and_pool_the_rest():
    samples = make(60, splits=["train", "val", "test"] * 20)
    for parts in folds(samples, 4, 0.5, 0, lambda: uneven(samples)):
        assert [p == "test" for p in parts] == [s.split == "test" for s in samples]
        assert parts.count("val") == 10


def test_new_samples_join_a_frozen_split_and_the_old_ones_stay():
    samples = make(300, groups=60)
    old = [s for s in samples if int(s.name[1:]) % 3]
    parts = assign(old, 0.15, 0.15, 0, lambda: uneven(old))
    frozen = {s.name: p for s, p in zip(old, parts, strict=True)}
    [new] = extend(samples, [frozen], 0.15, 0.15, 0, lambda: uneven(samples))
    assert {s.name: p for s, p in zip(samples, new, strict=True) if s.name in frozen} == frozen
    assert len({(s.group, p) for s, p in zip(samples, new, strict=True)}) == 60
    more = [*samples, *(Sample(f"t{i}", Path()) for i in range(150))]
    [larger] = extend(more, [frozen], 0.15, 0.15, 0, lambda: uneven(more))
    assert measure(more, larger).worst < 0.1
    # A sample that is no longer there does no harm, and an official split is kept.
    fewer = [*samples[5:], Sample("u", Path(), None, "", "val")]
    assert extend(fewer, [frozen], 0.15, 0.15, 0, lambda: uneven(fewer))[0][-1] == "val"


def test_new_samples_join_folds():
    samples = make(120)
    old = folds(samples[:90], 3, 0.1, 0, lambda: uneven(samples[:90]))
    frozen = [{s.name: p for s, p in zip(samples, parts, strict=False)} for parts in old]
    new = extend(samples, frozen, 0, 0.1, 0, lambda: uneven(samples))
    assert [parts[:90] for parts in new] == old
    assert {Counter(parts).total() for parts in zip(*new, strict=True)} == {3}
    assert {tuple(sorted(parts)) for parts in zip(*new, strict=True)} == {
        ("train", "train", "val"),
        ("test", "test", "test"),
    }
    with pytest.raises(UserError, match=r"'s000' is val, val, .* in these 3 splits, which are no folds"):
        extend(samples, [{"s000": "val"}, {"s000": "val"}, {"s000": "train"}], 0, 0.1, 0, lambda: 0)


def test_new_samples_of_folds_beside_an_official_test_part_are_never_for_the_test():
    samples = make(60, splits=("train", "val", "test") * 20)
    old = folds(samples, 3, 0.15, 0, lambda: uneven(samples))
    frozen = [{s.name: p for s, p in zip(samples, parts, strict=True)} for parts in old]
    more = [*samples, *(Sample(f"n{i}", Path(), split="train") for i in range(30))]
    more.append(Sample("t", Path(), split="test"))
    new = extend(more, frozen, 0, 0.15, 0, lambda: uneven(more))
    assert [parts[:60] for parts in new] == old
    assert {parts[-1] for parts in new} == {"test"}
    assert all("test" not in parts[60:-1] for parts in new)
    assert [parts[60:-1].count("val") for parts in new] == pytest.approx([10] * 3, abs=3)


def test_what_is_frozen_stays_even_where_new_samples_have_one_place_to_go():
    samples = make(12, splits=("train", "val", "test") * 4)
    frozen = {s.name: s.split for s in samples}
    more = [*samples, Sample("n", Path())]
    assert extend(more, [frozen], 0, 0, 0, lambda: uneven(more)) == [[*frozen.values(), "train"]]


@pytest.mark.parametrize(
    ("k", "groups", "message"),
    [
        (1, 0, "split.folds=1: give at least 2"),
        (7, 5, "split.folds=7: 5 groups cannot be divided into 7 folds and a test part; lower it"),
        (2, 2, "split.folds=2: 2 groups cannot be divided into 2 folds and a test part"),
    ],
)
def test_impossible_folds_are_an_error(k, groups, message):
    with pytest.raises(UserError, match=message):
        folds(make(30, groups=groups), k, 0.1, 0)
