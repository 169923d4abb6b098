import torch
from torch.utils.data import DataLoader, Dataset

from segkit.data.sampler import ClassPlan, EpochSampler
from segkit.data.window import WindowLoader
from segkit.types import Batch


class Numbers(Dataset):
    """Sample i has i + 1 valid pixels of eight."""

    def __getitem__(self, draw):
        target = torch.full((2, 4), 255, dtype=torch.uint8)
        target.view(-1)[: draw.index + 1] = 0
        return draw.index, target


def _collate(rows):
    index, target = zip(*rows, strict=True)
    empty = torch.zeros(len(rows), 3, 2, 4, dtype=torch.uint8)
    return Batch(empty, torch.stack(target), torch.tensor(index), ("",) * len(rows), (), ())


def _loader(samples=7, batch=2, window=2, epoch=lambda: 0, plan=None, **options):
    sampler = EpochSampler(samples, batch, seed=0, plan=plan)
    loader = DataLoader(Numbers(), batch_sampler=sampler, collate_fn=_collate)
    return WindowLoader(loader, sampler, window, lambda t: (t != 255).sum()[None].double(), epoch, **options)


def test_every_batch_knows_the_weight_of_its_whole_window():
    batches = list(_loader(samples=7, batch=2, window=3))
    assert [len(b.index) for b in batches] == [2, 2, 2, 1]
    valid = [float((b.target != 255).sum()) for b in batches]
    assert [float(b.window) for b in batches] == [sum(valid[:3])] * 3 + [valid[3]]


def test_epochs_differ_and_come_back():
    epoch = 0
    loader = _loader(epoch=lambda: epoch)
    first = [b.index.tolist() for b in loader]
    epoch = 1
    second = [b.index.tolist() for b in loader]
    epoch = 0
    assert first != second
    assert [b.index.tolist() for b in loader] == first


def test_a_restored_loader_goes_on_with_the_next_batch_and_begins_the_next_epoch_at_its_start():
    epoch = 3
    loader = _loader(epoch=lambda: epoch)
    whole = [b.index.tolist() for b in loader]
    iterator = iter(loader)
    for _ in range(2):
        next(iterator)
    state = loader.state_dict()
    assert (state["epoch"], state["batch"]) == (3, 2)
    again = _loader(epoch=lambda: epoch)
    again.load_state_dict(state)
    assert [b.index.tolist() for b in again] == whole[2:]
    epoch = 4
    assert len([b.index.tolist() for b in again]) == len(whole)


def test_a_restored_loader_goes_on_with_weighted_draws():
    plan = ClassPlan([[9, 0]] * 5 + [[9, 9], [0, 9]], "class_balanced")
    loader = _loader(epoch=lambda: 3, plan=plan)
    whole = [b.index.tolist() for b in loader]
    again = _loader(epoch=lambda: 3, plan=plan)
    again.load_state_dict({"epoch": 3, "batch": 2})
    assert [b.index.tolist() for b in again] == whole[2:]
    assert len({i for batch in whole for i in batch}) < 7  # some come twice


def test_a_state_of_a_finished_epoch_does_not_shorten_the_next():
    loader = _loader(epoch=lambda: 1)
    loader.load_state_dict({"epoch": 0, "batch": 2})
    assert len(list(loader)) == len(loader)


def test_a_limit_ends_the_last_window_so_that_its_weight_is_that_of_what_is_trained_on():
    batches = list(_loader(samples=12, batch=2, window=4, limit=5))
    valid = [float((b.target != 255).sum()) for b in batches]
    assert [float(b.window) for b in batches] == [sum(valid[:4])] * 4 + [valid[4]]


def test_a_window_that_was_interrupted_is_begun_again():
    loader = _loader(samples=12, batch=2, window=2, processed=lambda: 3)
    iterator = iter(loader)
    for _ in range(4):  # three are trained on, the fourth is handed out and interrupted
        next(iterator)
    state = loader.state_dict()
    assert (state["epoch"], state["batch"]) == (0, 2)
