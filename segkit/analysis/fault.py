"""Everything that is wrong with the data, each mistake once with every file that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from segkit.analysis import duplicate, mask, part, picture, shift
from segkit.analysis.evidence import Evidence

if TYPE_CHECKING:
    from segkit.data.fault import Fault
    from segkit.data.scan import Facts
    from segkit.types import Sample, Source

Finder = Callable[[Evidence], Iterator["Fault"]]

FINDERS: tuple[Finder, ...] = (
    picture.unreadable,
    picture.sizes,
    mask.values,
    mask.targets,
    picture.channels,
    picture.contents,
    part.groups,
    part.classes,
    duplicate.duplicates,
    shift.turned,
    shift.shifts,
)
RANK = ("error", "warning", "suspicion")


def find_faults(
    source: Source, samples: Sequence[Sample], facts: Facts, *, labels_file: str | None = None
) -> list[Fault]:
    """Name every mistake in the data that can be seen.

    What listing found (`FileSource.faults`: files without a partner) is not repeated here.
    Some pictures are opened again: candidates for copies, a sample for shifted masks, a few
    masks whose values are odd. The rest is read off the facts.

    Args:
        source: Reads the samples.
        samples: In the order of ``facts``; ``split`` holds the part of each ("" for none).
        facts: What `segkit.data.scan.scan` gave for them.
        labels_file: A label space that fits, written for the user, to be named in fixes.

    Returns:
        One fault per kind and cause: errors first, then warnings, then suspicions.
    """
    evidence = Evidence(source, samples, facts, labels_file)
    faults = [fault for find in FINDERS for fault in find(evidence)] if samples else []
    return sorted(faults, key=lambda f: RANK.index(f.severity))
