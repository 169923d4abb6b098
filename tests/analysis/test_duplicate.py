from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.analysis import near
from segkit.analysis.duplicate import _copies, _join, mask_agreement, residual
from segkit.analysis.near import RADIUS, candidates
from segkit.data.phash import hamming
from segkit.data.scan import NO_MASK

RNG = np.random.default_rng(0)


def _brute(hashes):
    near = hamming(hashes[:, None], hashes[None]) <= RADIUS
    return {(i, j) for i, j in zip(*np.nonzero(near), strict=True) if i < j}


def _found(hashes):
    return set(zip(*(side.tolist() for side in candidates(hashes)), strict=True))


@given(st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 63), max_size=7)), max_size=12))
@settings(max_examples=200, deadline=None)
def test_all_near_hashes_that_differ_are_found_and_no_others(made):
    """Hashes are made from six by turning bits, so that many are near."""
    base = [0x0123456789ABCDEF, 1, 2**63, 0xFFFF0000FFFF0000, 0x5555555555555555, 2**64 - 1]
    hashes = np.array([base[b] ^ sum(1 << k for k in {*bits}) for b, bits in made], np.uint64)
    found, truth = _found(hashes), _brute(hashes)
    assert found <= truth
    # Of equal hashes the first stands for all: what is near to one is near to the others.
    values = {(hashes[i], hashes[j]) for i, j in found} | {(hashes[j], hashes[i]) for i, j in found}
    assert all((hashes[i], hashes[j]) in values for i, j in truth)


def test_a_hundred_thousand_hashes_take_seconds():
    hashes = RNG.integers(1, 2**63, 100_000).astype(np.uint64)
    hashes[50_000:50_100] = hashes[:100] ^ np.uint64(0b1001)
    start = time.perf_counter()
    found = _found(hashes)
    assert time.perf_counter() - start < 20
    assert {(i, 50_000 + i) for i in range(100)} <= found


def test_ten_thousand_equal_hashes_do_not_make_fifty_million_pairs():
    assert len(_found(np.full(10_000, 7, np.uint64))) < 10_000 * 65


def test_many_alike_hashes_stay_within_memory(monkeypatch):
    compared = []
    monkeypatch.setattr(near, "MOST_COMPARED", 20_000)
    monkeypatch.setattr(near, "hamming", lambda a, b: compared.append(len(a)) or hamming(a, b))
    found = _found(np.arange(1, 1001, dtype=np.uint64))  # the upper bands of all of them are equal
    assert max(compared) <= 20_000  # not all half a million pairs
    assert len(found) > 1000  # those that stand near each other


def test_a_residual_is_what_gain_and_offset_do_not_explain():
    picture = RNG.normal(size=(24, 24))
    noise = RNG.normal(size=(24, 24))
    assert residual(picture, 3 * picture + 7) == pytest.approx(0, abs=1e-6)
    assert residual(picture, picture + noise) == pytest.approx(np.sqrt(0.5), abs=0.05)
    assert residual(picture, np.zeros((24, 24))) == 1


def test_masks_are_compared_where_they_show_more_than_their_commonest_class():
    one = np.zeros((1, 32, 32), np.uint16)
    one[0, :16] = 1
    other = one.copy()
    assert mask_agreement(one, other)[0] == 1
    other[0, 0] = 2
    assert mask_agreement(one, other)[0] == pytest.approx(1 - 32 / 512)
    blank = np.zeros((1, 32, 32), np.uint16)
    assert np.isnan(mask_agreement(blank, blank)[0])
    assert np.isnan(mask_agreement(one, np.full_like(one, NO_MASK))[0])


def test_a_pair_counts_as_copies_where_it_stands_out():
    assert _copies({(0, 1): 0.005}, set()) == [(0, 1)]
    assert _copies({(0, 1): 0.02}, set()) == [(0, 1)]
    assert _copies({(0, 1): 0.02, (1, 2): 0.1}, set()) == [(0, 1)]
    assert _copies({(0, 1): 0.02, (1, 2): 0.03, (0, 2): 0.04}, set()) == []  # a film that stands still
    assert _copies({(0, 1): 0.1}, set()) == []
    assert _copies({(0, 1): 0.1}, {(0, 1)}) == [(0, 1)]  # the masks agree


def test_pairs_that_share_a_picture_are_one_group():
    assert _join([(4, 2), (0, 1), (2, 7)], 9) == [[0, 1], [2, 4, 7]]
