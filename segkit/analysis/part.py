"""Faults of the division: groups in two parts, classes that are missing from one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from segkit.data.check import group_leaks
from segkit.error import DIVIDE
from segkit.types import SPLITS

if TYPE_CHECKING:
    from segkit.analysis.evidence import Evidence
    from segkit.data.fault import Fault

SPLIT = f"`{DIVIDE} split.official=false` divides anew"
SHOWN = 5  # class names that a line holds


def groups(e: Evidence) -> Iterator[Fault]:
    """One city, sequence or patient on both sides."""
    yield from group_leaks(e.samples)


def classes(e: Evidence) -> Iterator[Fault]:
    """Classes that a part, or all of the data, does not show.

    Only where there is a label space and every mask can be encoded: before, that is to be mended.
    """
    has_mask = e.facts.mask_size[:, 0] > 0
    if e.unlabelled or not has_mask.any() or (e.facts.mask_error[has_mask] != "").any():
        return
    seen = {p: e.facts.pixels[e.parts == p].sum(0) > 0 for p in sorted({*e.parts})}
    anywhere = np.logical_or.reduce(list(seen.values()))
    if (~anywhere).any():
        yield e.fault(
            "class_nowhere",
            f"no mask shows {_names(e, ~anywhere)}",
            "remove it from the label space, or check its ids: its IoU will be empty",
            (),
            severity="warning",
        )
    for part in (p for p in SPLITS if p in seen and len(seen) > 1):
        missing = anywhere & ~seen[part]
        if missing.any():
            use = "learn" if part == "train" else "measure"
            rows = np.flatnonzero(e.facts.pixels[:, missing].any(1))
            yield e.fault(
                "class_missing",
                f"{part} has no pixel of {_names(e, missing)}, so nothing can {use} it; these masks show it",
                SPLIT,
                rows,
                "mask",
                "warning",
            )


def _names(e: Evidence, chosen: object) -> str:
    names = [n for n, c in zip(e.source.labels.names, chosen, strict=True) if c]  # type: ignore[call-overload]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{n}'" for n in names[:SHOWN]) + more
