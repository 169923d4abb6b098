"""Connected regions of a mask from its runs: maximal stretches of one value in a row.

A mask has far fewer runs than pixels, so everything after `find_runs` costs little: the
histogram of the values is a sum over runs, and a region is a set of runs that touch
(run-based labelling: He, Chao and Suzuki, "A run-based two-scan labeling algorithm", 2008).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.signedinteger[Any]]


class Runs(NamedTuple):
    """The runs of an array ``[H, W]``, row after row, left to right.

    Attributes:
        value: ``[r]``, in the type of the array.
        start: ``[r]`` int32 (int64 from 2^29 pixels on), position of the first pixel in the
            flattened array.
        length: ``[r]``, pixels, of the same type.
        width: W.
    """

    value: NDArray[Any]
    start: Index
    length: Index
    width: int


class Regions(NamedTuple):
    """4-connected regions of equal class.

    Attributes:
        classes: ``[m]`` class of each region.
        sizes: ``[m]`` int64 pixels of each region.
    """

    classes: NDArray[Any]
    sizes: NDArray[np.int64]


def find_runs(array: NDArray[Any]) -> Runs:
    """Find the runs of ``[H, W]`` values of any type, at least one pixel."""
    flat, width = array.ravel(), array.shape[1]
    begins = np.empty(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    begins[::width] = True
    start = find_set(begins)
    return make_runs(flat[start], start, flat.size, width)


def make_runs(value: NDArray[Any], start: Index, total: int, width: int) -> Runs:
    """Runs from their values and where each begins, in an array of ``total`` pixels and that width."""
    # Half the memory is worth a quarter of the time; the sums in `_touching` double positions.
    start = start.astype(np.int32) if total < 2**29 else start
    return Runs(value, start, _lengths(start, total), width)


def find_set(flags: NDArray[np.bool_ | np.uint8]) -> NDArray[np.int64]:
    """`np.flatnonzero` where few are set: words of eight are passed over at once."""
    whole = len(flags) // 8 * 8
    words = np.flatnonzero(flags[:whole].view(np.uint64) != 0)
    inside = np.flatnonzero(flags[:whole].reshape(-1, 8).take(words, axis=0))
    found = (words.take(inside >> 3) << 3) + (inside & 7)
    return np.concatenate([found, whole + np.flatnonzero(flags[whole:])])


def relabel(runs: Runs, values: NDArray[Any]) -> Runs:
    """Give every run another value ``[r]``; neighbors in a row that have become equal are joined."""
    begins = np.append(True, values[1:] != values[:-1])
    begins |= runs.start % runs.width == 0
    start = runs.start[begins]
    return Runs(values[begins], start, _lengths(start, int(runs.length.sum(dtype=np.int64))), runs.width)


def count_values(runs: Runs) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Distinct values in rising order, and the pixels of each (int64)."""
    if runs.value.dtype != np.uint8:
        values, which = np.unique(runs.value, return_inverse=True)
        return values, _sum(which, runs.length, len(values))
    pixels = _sum(runs.value, runs.length, 256)
    values = np.flatnonzero(pixels)
    return values.astype(np.uint8), pixels[values]


def translate(array: NDArray[Any], values: NDArray[Any], meanings: NDArray[Any]) -> NDArray[Any]:
    """Replace each value by its meaning.

    Args:
        array: ``[...]`` values.
        values: ``[t]`` in rising order, all that occur.
        meanings: ``[t, ...]``.
    """
    if array.dtype != np.uint8:
        return meanings[np.searchsorted(values, array)]
    table = np.zeros((256, *meanings.shape[1:]), meanings.dtype)
    table[values] = meanings
    return table.take(array, axis=0)


def find_regions(runs: Runs, num_classes: int) -> Regions:
    """Join runs that touch along an edge and have one value.

    Args:
        runs: The runs of a target; values of ``num_classes`` and above belong to no region.
        num_classes: K.
    """
    region = _join(runs)
    sizes = _sum(region, runs.length, int(region.max()) + 1)
    classes = np.empty(len(sizes), runs.value.dtype)
    classes[region] = runs.value
    counted = classes < num_classes
    return Regions(classes[counted], sizes[counted])


def find_overlapping(planes: Iterable[Runs]) -> Regions:
    """Regions of classes that may overlap: one mask per class, 0 where the class is present."""
    found = [find_regions(plane, 1) for plane in planes]
    classes = np.repeat(np.arange(len(found)), [len(regions.sizes) for regions in found])
    return Regions(classes, np.concatenate([regions.sizes for regions in found]))


def count_regions(regions: Regions, num_classes: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Count the regions of each class by their size.

    Returns:
        ``[K]`` regions of each class, and rows ``[m, 3]`` (class, b, regions) in rising order:
        how many regions have from ``2**b`` up to below ``2**(b + 1)`` pixels. Both int32.
    """
    power = np.frexp(regions.sizes.astype(np.float64))[1] - 1  # exact: sizes are below 2^53
    place = regions.classes.astype(np.int64) * 64 + power
    table = np.bincount(place, minlength=num_classes * 64).reshape(-1, 64).astype(np.int32)
    index, bucket = np.nonzero(table)
    rows = np.stack([index, bucket, table[index, bucket]], axis=1)
    return table.sum(1, dtype=np.int32), rows.astype(np.int32)


def _join(runs: Runs) -> NDArray[np.int64]:
    """Number of the region of every run, ``[r]``."""
    above, below = _touching(runs)
    own, value = np.arange(len(above)), runs.value
    parent = np.where(value.take(above) == value, above, own)
    one = np.flatnonzero(value.take(below) == value)
    other = below.take(one)
    free = parent.take(other) == other
    parent[other[free]] = one[free]  # of several, the last: the rest are joined below
    left = parent.take(other) != one
    parent = _ends(parent)
    first = np.flatnonzero(parent == own)
    own[first] = np.arange(len(first))  # from here on the piece that begins with this run
    piece = own.take(parent)
    return _unite(len(first), piece.take(one[left]), piece.take(other[left])).take(piece)


def _unite(count: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the sets, from 0, that ``count`` things form when each ``one`` is joined with its ``other``."""
    parent = np.arange(count)
    while (apart := one != other).any():
        one, other = one[apart], other[apart]
        # Every set is tied to its smallest neighbor: few rounds are left after the first.
        np.minimum.at(parent, np.maximum(one, other), np.minimum(one, other))
        parent = _ends(parent)
        one, other = parent.take(one), parent.take(other)
    is_first = parent == np.arange(count)
    return (np.cumsum(is_first) - 1).take(parent)


def _ends(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the pointers lead in the end: their length doubles with every step."""
    while not np.array_equal(parent, further := parent.take(parent)):
        parent = further.take(further)
    return parent


def _touching(runs: Runs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per run: the run above its first pixel, and the run below its first pixel.

    Where two runs touch, the first pixel of one of them lies above or below the other, so
    these two say all. Where there is none, a run is its own neighbor.
    """
    start, count = runs.start, len(runs.start)
    own = np.arange(count)
    # Even: a run of the row above, moved down; odd: a run itself. Two sorted lists are merged.
    events = np.concatenate([(start + runs.width) * 2, start * 2 + 1])
    events.sort(kind="stable")
    odd = (events & 1) == 1
    above = np.flatnonzero(odd) - own - 1
    below = np.flatnonzero(~odd) - own - 1
    after = np.minimum(below + 1, count - 1)
    below = np.where(start.take(after) == start + runs.width, after, below)  # both begin in one column
    total = int(start[-1]) + int(runs.length[-1])
    first, last = np.searchsorted(start, [runs.width, total - runs.width])  # ends of the outer rows
    above[:first], below[last:] = own[:first], own[last:]
    return above, below


def _lengths(start: Index, total: int) -> Index:
    length = np.empty_like(start)
    np.subtract(start[1:], start[:-1], out=length[:-1])
    length[-1:] = total - start[-1:]
    return length


def _sum(place: NDArray[Any], amount: NDArray[Any], size: int) -> NDArray[np.int64]:
    """Sum amounts per place; float64 inside holds every number of pixels exactly."""
    return np.bincount(place, weights=amount, minlength=size).astype(np.int64)
