from hypothesis import given
from hypothesis import strategies as st

from segkit.data.sampler import EpochSampler, order


def _draws(sampler):
    return [d for batch in sampler for d in batch]


def test_the_order_is_a_permutation_that_changes_with_seed_and_epoch():
    orders = [order(seed, epoch, 50) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert all(sorted(o) == list(range(50)) for o in orders)
    assert len({tuple(o) for o in orders}) == 6
    assert order(1, 2, 50) == orders[5]


@given(samples=st.integers(1, 60), batch=st.integers(1, 9), other=st.integers(1, 9), epoch=st.integers(0, 3))
def test_the_order_of_samples_does_not_depend_on_the_batch_size(samples, batch, other, epoch):
    a, b = EpochSampler(samples, batch, seed=3), EpochSampler(samples, other, seed=3)
    a.epoch = b.epoch = epoch
    assert _draws(a) == _draws(b)
    assert len(list(a)) == len(a)


@given(samples=st.integers(1, 60), batch=st.integers(1, 5), world=st.integers(1, 4), window=st.integers(1, 4))
def test_the_window_of_all_processes_holds_the_samples_of_one_process_with_a_larger_window(
    samples, batch, world, window
):
    one = _draws(EpochSampler(samples, batch, seed=0))
    ranks = [list(EpochSampler(samples, batch, 0, rank, world)) for rank in range(world)]
    assert len({len(r) for r in ranks}) == 1  # the same number of micro-batches everywhere
    for first in range(0, len(ranks[0]), window):
        together = [d for r in ranks for b in r[first : first + window] for d in b if d.counted]
        start = first * batch * world
        assert {d.index for d in together} == {d.index for d in one[start : start + window * batch * world]}


@given(samples=st.integers(1, 60), world=st.integers(1, 7))
def test_each_sample_counts_once_over_all_processes(samples, world):
    draws = [d for rank in range(world) for d in _draws(EpochSampler(samples, 4, 0, rank, world))]
    assert sorted(d.index for d in draws if d.counted) == list(range(samples))


@given(samples=st.integers(1, 60), batch=st.integers(1, 6), data=st.data())
def test_a_start_within_the_epoch_leaves_out_exactly_what_came_before(samples, batch, data):
    sampler = EpochSampler(samples, batch, seed=5)
    whole = list(sampler)
    sampler.start = data.draw(st.integers(0, len(whole)))
    assert list(sampler) == whole[sampler.start :]
