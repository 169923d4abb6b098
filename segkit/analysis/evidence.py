"""What the finders of faults look at, and how they put a fault together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from segkit.data.fault import Fault, Severity
from segkit.data.labels import UNKNOWN
from segkit.data.source import FileSource

if TYPE_CHECKING:
    from segkit.data.scan import Facts
    from segkit.types import Array, Sample, Source

Where = Literal["image", "mask", "both"]
MANY = 50  # ids: hardly a label space has more that most pictures do not share


@dataclass(frozen=True)
class Evidence:
    """The data, and what a scan of it gave.

    Attributes:
        source: Reads the samples.
        samples: In the order of ``facts``; ``split`` holds the part of each.
        facts: One row per sample.
        labels_file: A label space that fits, written for the user.
    """

    source: Source
    samples: Sequence[Sample]
    facts: Facts
    labels_file: str | None = None

    @cached_property
    def indexed(self) -> bool:
        """Whether masks are plain files of indices or colours."""
        return isinstance(self.source, FileSource) and self.source.indexed

    @cached_property
    def unlabelled(self) -> bool:
        """Whether no label space was given and none could be proposed: nothing is known about classes."""
        return self.source.labels.names == UNKNOWN.names

    @cached_property
    def row_of_id(self) -> Array:
        """``[t]`` int64: the sample of each entry of ``facts.ids``."""
        return np.repeat(np.arange(len(self.samples)), np.diff(self.facts.id_start))

    @cached_property
    def parts(self) -> Array:
        """``[n]`` str: the part of each sample."""
        return np.array([s.split for s in self.samples], dtype=str)

    def fault(
        self,
        kind: str,
        message: str,
        fix: str,
        rows: Iterable[int],
        where: Where = "mask",
        severity: Severity = "error",
    ) -> Fault:
        """One fault that these samples show, in the files of their images, masks or both."""
        chosen = [self.samples[int(i)] for i in rows]
        files = tuple(str(f) for s in chosen for f in self._files(s, where))
        names = tuple(s.name for s in chosen for _ in self._files(s, where))
        return Fault(kind, message, fix, files, names, severity)

    def ids_of(self, row: int) -> tuple[Array, Array]:
        """Distinct values in the mask of a sample, and their pixels."""
        start, end = self.facts.id_start[row : row + 2]
        return self.facts.ids[start:end], self.facts.id_pixels[start:end]

    def _files(self, sample: Sample, where: Where) -> Sequence[Path | str]:
        """A sample that is not made of files is known by its name."""
        if sample.image == Path():
            return [sample.name]
        masks = self.source.mask_files(sample)[:1] if isinstance(self.source, FileSource) else ()
        mask = [sample.mask or sample.image] if sample.mask is not None or not masks else list(masks)
        return {"image": [sample.image], "mask": mask, "both": [sample.image, *mask]}[where]


def spread(rows: Array, count: int) -> Array:
    """At most ``count`` of these, evenly spread."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]


def plain_masks(facts: Facts) -> tuple[Array, Array]:
    """Which masks hold values as they were drawn, and which of these hold colours: two ``[n]`` bool."""
    plain = np.isin(facts.mask_kind, ("jpeg", "fraction", ""), invert=True)
    return plain, plain & np.char.startswith(facts.mask_kind.astype(str), "color")


def mostly_colors(facts: Facts) -> bool:
    """Whether more masks hold colours than indices: then a label space of colours is proposed."""
    plain, colored = plain_masks(facts)
    return bool(colored.sum() > plain.sum() / 2)


def numbered(facts: Facts, rows: Array) -> bool:
    """Whether masks number things: ids run from 0 or 1 without a gap, to another number in every mask."""
    starts, ends = facts.id_start[rows], facts.id_start[rows + 1]
    largest = np.array([facts.ids[a:b].max(initial=0) for a, b in zip(starts, ends, strict=True)])
    distinct = facts.id_distinct[rows]
    running = (largest == distinct) | (largest == distinct - 1)
    # One mask of ten may have a gap (an erased thing). Classes may run without a gap, too, but then
    # their number hardly varies, and masks of the first few classes alone are likely.
    varied = len({*distinct.tolist()}) > len(rows) / 4
    return bool(len(rows) >= 3 and running.mean() >= 0.9 and np.median(distinct) > 5 and varied)


def scattered(facts: Facts, rows: Array) -> bool:
    """Whether ids are numbers of things in the whole of the data: very many, most of them in one mask."""
    owner = np.repeat(np.arange(len(facts.names)), np.diff(facts.id_start))
    ids, masks = np.unique(facts.ids[np.isin(owner, rows)], return_counts=True)
    # Classes, too, may lie in one mask each where masks are few, but their ids end soon.
    large = len(ids) > MANY and ids[-1] > 255
    return bool(len(rows) >= 3 and large and np.median(masks) == 1)


def thousands(ids: Array) -> bool:
    """Whether most ids are 1000 * a class + the number of a thing, several of them to a class."""
    large = ids[ids >= 1000]
    several = len(large) >= 2 * len(np.unique(large // 1000))
    return bool(len(large) > len(ids) / 2 and several and (large % 1000 < 500).all() and ids.max() < 256_000)
