"""Rows about images are the same for any order, batch size and number of processes."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.metric.table import Column, ImageTable

N = 6
SIZES = [2, 0, 3, 1, 0, 4]  # ragged rows of each image


class Notes(ImageTable):
    """What a meter may keep: one number, one vector and any number of rows per image."""

    def __init__(self, **kwargs):
        columns = {
            "score": Column(()),
            "size": Column((2,), torch.int64),
            "regions": Column((3,), torch.int64, ragged=True),
        }
        super().__init__(columns, **kwargs)


def rows_of(image: int) -> dict[str, torch.Tensor]:
    regions = [[image, 10 * image + j, j] for j in range(SIZES[image])]
    return {
        "score": torch.tensor(image / 7, dtype=torch.float64),
        "size": torch.tensor([image, -image]),
        "regions": torch.tensor(regions, dtype=torch.int64).reshape(-1, 3),
    }


def filled(images, **kwargs) -> Notes:
    table = Notes(**kwargs)
    for image in images:
        table.add(image, **rows_of(image))
        table._update_count += 1  # `add` is called by an update
    return table


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], strict=True)


def test_columns_come_sorted_by_image():
    found = filled([3, 0, 5, 2]).compute()
    assert found["index"].tolist() == [0, 2, 3, 5]
    assert found["score"].tolist() == [0, 2 / 7, 3 / 7, 5 / 7]
    assert found["size"].tolist() == [[0, 0], [2, -2], [3, -3], [5, -5]]
    assert found["regions"][:, 0].tolist() == [0, 0, 2, 2, 2, 3, 5, 5, 5, 5]
    assert found["regions"][:, 2].tolist() == [0, 1, 0, 1, 2, 0, 0, 1, 2, 3]  # as they were added
    assert {n: c.dtype for n, c in found.items()} == {
        "index": np.int64,
        "score": np.float64,
        "size": np.int64,
        "regions": np.int64,
    }


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(N)))
def test_the_order_of_images_does_not_matter(order):
    assert_same(filled(order).compute(), filled(range(N)).compute())


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(N)), st.integers(1, N))
def test_images_may_be_added_many_at_a_time(order, size):
    table = Notes()
    for first in range(0, N, size):
        part = [rows_of(i) for i in order[first : first + size]]
        stacked = {n: torch.stack([p[n] for p in part]) for n in ("score", "size")}
        regions = torch.cat([p["regions"] for p in part])
        table.add(torch.tensor(order[first : first + size]), **stacked, regions=regions)
        table._update_count += 1
    assert_same(table.compute(), filled(range(N)).compute())


def test_numpy_arrays_are_kept_like_tensors():
    table = Notes()
    for image in range(N):
        table.add(image, **{n: t.numpy() for n, t in rows_of(image).items()})
        table._update_count += 1
    assert_same(table.compute(), filled(range(N)).compute())


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_image_gives_columns_of_no_row():
    found = Notes().compute()
    assert {n: c.shape for n, c in found.items()} == {
        "index": (0,),
        "score": (0,),
        "size": (0, 2),
        "regions": (0, 3),
    }


def test_an_image_that_is_added_twice_is_an_error():
    with pytest.raises(ValueError, match="the image with index 4 was counted twice"):
        filled([4, 1, 4]).compute()


def test_a_column_that_is_forgotten_is_an_error():
    with pytest.raises(KeyError, match="size"):
        Notes().add(0, score=torch.tensor(0.0), regions=torch.zeros(0, 3))


def test_reset_forgets_every_row():
    table = filled([0, 1])
    table.reset()
    table.add(2, **rows_of(2))
    table._update_count += 1
    assert table.compute()["index"].tolist() == [2]


def _process(rank: int, parts: list[list[int]], folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(parts))
    np.savez(f"{folder}/{rank}.npz", **filled(parts[rank]).compute())
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:The ``compute`` method")  # a process without an image
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # from Python 3.12 on
@pytest.mark.parametrize("parts", [[[4, 0, 2], [5, 1, 3]], [[3, 1, 5, 0, 2, 4], []], [[1, 4], [0, 2, 3, 5]]])
def test_two_real_processes_give_the_columns_of_one(parts, tmp_path):
    torch.multiprocessing.start_processes(_process, (parts, str(tmp_path)), nprocs=2, start_method="fork")
    expected = filled(range(N)).compute()
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as found:
            assert_same(dict(found), expected)
