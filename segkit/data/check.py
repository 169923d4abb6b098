"""Faults that would otherwise appear in the middle of a run: the cheap part of `segkit analyze`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.data.diagnose import count_ids, diagnose, explain
from segkit.data.fault import Fault
from segkit.data.read import image_size, read_mask
from segkit.data.smooth import Texture, texture
from segkit.data.source import FileSource, size_fault
from segkit.error import DIVIDE, LOOK, plural
from segkit.types import Sample, Source, UserError

EDGES_READ = 8  # masks whose edges are looked at: smoothing is seldom done to some of them only


def check(source: Source, limit: int | None = 200, skipped: int | None = None) -> list[Fault]:
    """Look at what listing found, at all files' headers, and at some masks' contents.

    Args:
        source: The data.
        limit: How many masks are read, evenly spread over the samples; ``None``: all.
        skipped: How many samples may be left out because they cannot be read; ``None``: the
            first one is refused.

    Returns:
        What training can live with and numbers suffer from: warnings, and suspicions.

    Raises:
        UserError: The first fault in the order of the samples, and how many more there are.
    """
    listed: list[Fault] = source.faults if isinstance(source, FileSource) else []
    if skipped is not None:
        listed = [f._replace(severity="warning") if f.kind == "unpaired" else f for f in listed]
    _refuse([f.line() for f in listed if f.severity == "error"], "kinds of fault")
    files = [s for s in source.samples if s.image != Path()]  # generated samples have no files
    broken = _broken(files, _each(lambda s: _header_fault(source, s), files), skipped or 0)
    chosen = _spread([s for s in source.samples if s.mask is not None and s.name not in broken], limit)
    seen = _each(lambda s: _look(source, s), chosen)
    broken |= _broken(chosen, [s.fault for s in seen], (skipped or 0) - len(broken))
    pairs = [(sample, look) for sample, look in zip(chosen, seen, strict=True) if not look.fault]
    found = [f for f in listed if f.severity != "error"]
    found += _whole(source, [sample for sample, _ in pairs], [look for _, look in pairs])
    return [*found, *_left_out(broken), *group_leaks(source.samples)]


def group_leaks(samples: Sequence[Sample]) -> list[Fault]:
    """Groups (cities, sequences, patients) that lie in more than one part: at most one warning.

    Its files are the images outside ``train``, or of the smaller part where there is no
    training part, whose group another part shows too.
    """
    parts: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        if sample.group and sample.split:
            parts[sample.group][sample.split] += 1
    leaking = {group: counts for group, counts in parts.items() if len(counts) > 1}
    if not leaking:
        return []
    kept = {g: "train" if "train" in c else c.most_common(1)[0][0] for g, c in leaking.items()}
    affected = [s for s in samples if s.group in leaking and s.split and s.split != kept[s.group]]
    group, counts = next(iter(leaking.items()))
    where = " and ".join(p for p in ("train", "val", "test") if counts[p])
    return [
        Fault(
            "group_leak",
            f"{plural(len(leaking), 'group')} in more than one part, such as '{group}' in {where}: what is "
            f"measured on {plural(len(affected), 'sample')} was partly seen in training",
            f"`{DIVIDE} split.official=false` keeps groups together",
            tuple(str(s.image) if s.image != Path() else s.name for s in affected),
            tuple(s.name for s in affected),
            "warning",
        )
    ]


class _Seen(NamedTuple):
    """What is in one mask: a fault in one line, or distinct values and the pixels of each."""

    fault: str = ""
    ids: NDArray[Any] = np.zeros(0, np.int64)
    counts: NDArray[Any] = np.zeros(0, np.int64)


def _look(source: Source, sample: Sample) -> _Seen:
    """Make the target as training does; note the values that it is made of."""
    try:
        if not isinstance(source, FileSource) or not source.indexed or sample.mask is None:
            _target(source, sample)
            return _Seen()
        values = read_mask(sample.mask, source.labels.masks)
        source.labels.encode(values)
    except UserError as error:
        plain = isinstance(source, FileSource) and source.indexed and sample.mask is not None
        return _Seen(explain(sample.mask, source.labels, error) if plain and sample.mask else str(error))
    return _Seen("", *count_ids(values))


def _whole(source: Source, samples: Sequence[Sample], seen: Sequence[_Seen]) -> list[Fault]:
    """What only many masks together show: every id is known, and yet they mean something else.

    Raises:
        UserError: Nothing, or nonsense, would be learnt.
    """
    if not isinstance(source, FileSource) or not source.indexed or not samples:
        return []
    ids, place = np.unique(np.concatenate([s.ids for s in seen]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([s.counts for s in seen]), len(ids)).astype(np.int64)
    found = diagnose("index8", ids, counts, source.labels)
    if found is not None and found.severity == "error":
        raise UserError(f"the masks (such as {samples[0].mask}) hold {found.message}; {found.fix}")
    known = [Fault(found.kind, f"masks hold {found.message}", found.fix, (), (), "warning")] if found else []
    some = [s.mask for s in _spread(samples, EDGES_READ) if s.mask is not None]
    masks = [read_mask(path, source.labels.masks) for path in some]
    smooth = [i for i, mask in enumerate(masks) if texture(mask) != Texture.PLAIN]
    if len(smooth) <= len(masks) / 2:
        return known
    about = diagnose("index8", ids, counts, source.labels, masks[smooth[0]])
    files = tuple(str(some[i]) for i in smooth)
    return (
        [Fault(about.kind, f"masks hold {about.message}", about.fix, files, (), "warning")] if about else []
    )


def _target(source: Source, sample: Sample) -> NDArray[Any] | None:
    """Read the target without its image where the source can."""
    return source.read_target(sample) if isinstance(source, FileSource) else source.read(sample)[1]


def _each(task: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Do a task for every item on several threads (decoding releases the interpreter)."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(task, items))


def _header_fault(source: Source, sample: Sample) -> str:
    try:
        size = image_size(sample.image)
        other = source.target_size(sample) if isinstance(source, FileSource) else None
        if other is not None and tuple(other) != tuple(size):
            return size_fault(sample, size, other)
    except UserError as error:
        return str(error)
    return ""


def _broken(samples: Sequence[Sample], faults: Sequence[str], allowed: int) -> dict[str, str]:
    """What is wrong with samples, by name.

    Raises:
        UserError: More than are allowed have a fault.
    """
    found = {s.name: fault for s, fault in zip(samples, faults, strict=True) if fault}
    if len(found) > allowed:
        _refuse(list(found.values()), "samples have a fault")
    return found


def _left_out(broken: Mapping[str, str]) -> list[Fault]:
    """Tell at the start what will be left out whenever it is to be read."""
    if not broken:
        return []
    cause = f"{plural(len(broken), 'sample')} will be left out: {next(iter(broken.values()))}"
    return [Fault("unreadable", cause, "data.on_error=raise stops instead", (), tuple(broken), "warning")]


def _refuse(faults: Sequence[str], what: str) -> None:
    found = [f for f in faults if f]
    if found:
        more = f" (and {len(found) - 1} more {what}: `{LOOK}` lists all)" if len(found) > 1 else ""
        raise UserError(f"{found[0]}{more}")


def _spread(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    if limit is None or limit >= len(samples):
        return list(samples)
    return [samples[i] for i in np.linspace(0, len(samples) - 1, max(limit, 0)).round().astype(int)]
