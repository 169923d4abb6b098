"""Rows about images, the same for any batch size, order and number of processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

if TYPE_CHECKING:
    from segkit.metric.scored import Scored
    from segkit.types import Array


class Column(NamedTuple):
    """What one row of a column holds.

    Attributes:
        shape: Of a row; a column of n rows is ``[n, *shape]``.
        dtype: Of its numbers.
        ragged: Any number of rows per image, of which the first number is the image's index.
            Otherwise there is one row for each image.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float64
    ragged: bool = False


class ImageTable(Metric):
    """What is kept of every image: `add` takes an image's rows, `compute` puts them in order.

    Kept as torchmetrics states, so that processes are merged by torchmetrics.

    Args:
        columns: Name -> what a row holds; ``index`` is added.
        **kwargs: As for every `torchmetrics.Metric`.
    """

    full_state_update = False
    index: list[Tensor]
    ignored: Sequence[int] = ()  # classes that have no number: set by whoever knows the protocol

    def __init__(self, columns: Mapping[str, Column], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.columns = {"index": Column((), torch.int64), **columns}
        for name in self.columns:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, scored: Scored) -> None:
        """Look at one picture. To be replaced; it calls `add`."""
        raise TypeError(f"{type(self).__name__} has no update")

    def numbers(self, rows: Mapping[str, Array]) -> dict[str, Any]:
        """Derive the numbers, in plain containers, from what `compute` gave. To be replaced."""
        raise TypeError(f"{type(self).__name__} has no numbers")

    def add(self, index: Tensor | int, **rows: Tensor | Array) -> None:
        """Keep the rows of one image (``index`` a number) or of N (``index`` ``[N]``).

        Columns with one row per image take ``[*shape]`` (or ``[N, *shape]``), ragged ones
        ``[m, *shape]``.
        """
        many = torch.as_tensor(index, dtype=torch.int64, device=self.device).reshape(-1)
        for name, column in self.columns.items():
            values = many if name == "index" else torch.as_tensor(rows[name])
            first = -1 if column.ragged else len(many)
            shaped = values.to(self.device, column.dtype).reshape(first, *column.shape)
            getattr(self, name).append(shaped)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Merge the processes, of which some may have seen no image (more processes than images)."""
        for name, column in self.columns.items():
            state = getattr(self, name)
            if isinstance(state, list) and not state:
                state.append(_empty(column).to(self.device))
        super().sync(*args, **kwargs)

    def compute(self) -> dict[str, Array]:
        """Return every column as a numpy array, sorted by the index of the image.

        Raises:
            ValueError: An image was added twice.
        """
        found = {name: _joined(getattr(self, name), column) for name, column in self.columns.items()}
        order = np.argsort(found["index"], kind="stable")
        index = found["index"][order]
        if (index[1:] == index[:-1]).any():
            twice = int(index[1:][index[1:] == index[:-1]][0])
            raise ValueError(
                f"the image with index {twice} was counted twice: every sample belongs to one process"
            )
        for name, column in self.columns.items():
            if column.ragged:
                found[name] = found[name][np.argsort(found[name][:, 0], kind="stable")]
            else:
                found[name] = found[name][order]
        return found


def _empty(column: Column) -> Tensor:
    return torch.zeros((0, *column.shape), dtype=column.dtype)


def _joined(state: list[Tensor] | Tensor, column: Column) -> Array:
    """A list state before synchronisation, or the tensor that it becomes."""
    if isinstance(state, Tensor):
        return state.cpu().reshape(-1, *column.shape).numpy()
    return (torch.cat(state) if state else _empty(column)).cpu().numpy()
