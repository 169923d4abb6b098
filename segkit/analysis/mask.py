"""Faults of the values in the masks: what they are, why, and which masks show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segkit.analysis.evidence import mostly_colors, numbered, scattered, spread, thousands
from segkit.data.cause import Diagnosis, Values, instances, jpeg
from segkit.data.diagnose import diagnose
from segkit.data.file import read_bytes
from segkit.data.read import open_mask
from segkit.data.smooth import Texture, texture
from segkit.error import LOOK
from segkit.types import UserError

if TYPE_CHECKING:
    from segkit.analysis.evidence import Evidence
    from segkit.data.fault import Fault
    from segkit.types import Array

OPENED = 5  # masks that are looked at for smoothed edges, of those that share a cause
SMOOTH = {"antialiased", "jpeg"}
NO_SPACE = "give a label space that names what they mean (data.labels=...)"


def values(e: Evidence) -> Iterator[Fault]:
    """Masks whose values the label space does not understand, or understands wrongly."""
    if not e.indexed:
        return
    kinds = np.array([_family(k, e) for k in e.facts.mask_kind])
    # What no target could be made of; masks="color" and palette files and JPEGs are told by their values.
    wrong = (e.facts.mask_error != "") & (kinds != "")
    for family in sorted({*kinds[wrong].tolist()}):
        rows = np.flatnonzero(wrong & (kinds == family))
        yield from _told(e, _causes(e, rows, str(e.facts.mask_kind[rows[0]])))
    if sound := np.flatnonzero(~wrong & (kinds == "values")).tolist():
        yield from _told(e, _suspicious(e, np.array(sound)))


def targets(e: Evidence) -> Iterator[Fault]:
    """Targets that are not one file of values (polygons, a file per class) and cannot be made."""
    if e.indexed or not (e.facts.mask_error != "").any():
        return
    rows = np.flatnonzero(e.facts.mask_error != "")
    first, _, fix = str(e.facts.mask_error[rows[0]]).rpartition("; ")
    yield e.fault("target", first or fix, fix if first else "mend or remove the sample", rows)


def _family(kind: str, e: Evidence) -> str:
    """Kinds of files that share their causes."""
    if kind in ("", "jpeg", "fraction"):
        return kind
    if e.source.labels.masks == "color":
        return "values"
    return "color" if kind.startswith("color") else "alpha" if kind.endswith(";alpha") else "values"


Causes = list[tuple[Diagnosis, Sequence[int]]]


def _causes(e: Evidence, rows: Array, kind: str) -> Causes:
    """One cause for all of these masks, or, where there is none, one for each group of them."""
    whole = _together(e, rows, kind)
    if whole is None:
        return [(_refused(e, rows), rows.tolist())]
    if whole.kind != "unknown":
        return [(whole, rows.tolist())]
    groups: dict[str, list[int]] = {}
    for row in rows.tolist():
        found = diagnose(kind, *e.ids_of(row), e.source.labels, labels_file=e.labels_file)
        groups.setdefault(found.kind if found else "unknown", []).append(row)
    if len(groups) == 1:
        return [(whole, rows.tolist())]
    return [(_together(e, np.array(g), kind) or whole, g) for g in groups.values()]


def _together(e: Evidence, rows: Array, kind: str) -> Diagnosis | None:
    """Diagnose many masks by the sum of their values, by numbering, and by the edges of a few."""
    ids, counts = _sum(e, rows)
    labels = e.source.labels
    if kind.startswith("color") and labels.masks == "index" and not mostly_colors(e.facts):
        return _odd_colors(diagnose(kind, ids, counts, labels))
    found = diagnose(kind, ids, counts, labels, labels_file=e.labels_file)
    if found is None or found.kind not in ("unknown", "instance_ids", "color"):
        return found
    if labels.masks == "index" and not kind.startswith("color") and (text := _things(e, rows)):
        sums = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        return instances(Values(sums, labels), f"{text}: one id for each thing, not one for each class")
    seen = _looked_at(e, rows, ids, counts)
    return seen or found


def _odd_colors(found: Diagnosis | None) -> Diagnosis | None:
    """Masks of colours among masks of indices: the label space that is proposed fits the others."""
    if found is None or LOOK not in found.fix:
        return found
    return found._replace(fix="save class indices in these masks too, as the others hold them")


def _things(e: Evidence, rows: Array) -> str:
    """Why ids are those of things; nothing where they are not."""
    if numbered(e.facts, rows):
        return "each mask counts its own things from 1"
    if scattered(e.facts, rows):
        return "most ids occur in a single mask"
    return "they are 1000 * a class + the number of a thing" if thousands(_sum(e, rows)[0]) else ""


def _looked_at(e: Evidence, rows: Array, ids: Array, counts: Array) -> Diagnosis | None:
    """Open a few masks: the cause that most of them show with their edges."""
    votes: Counter[str] = Counter()
    last: dict[str, Diagnosis] = {}
    some = spread(rows, OPENED)
    for row in some:
        stored = _open(e, int(row))
        if stored is None:
            continue
        kind, mask = stored
        found = diagnose(kind, ids, counts, e.source.labels, mask, e.labels_file)
        if found is not None:
            votes[found.message] += 1
            last[found.message] = found
    if not votes:
        return None
    message, count = votes.most_common(1)[0]
    return last[message] if count > len(some) / 2 else None


def _open(e: Evidence, row: int) -> tuple[str, Array] | None:
    path = e.samples[row].mask or Path()
    try:
        stored = open_mask(path, read_bytes(path), e.source.labels.masks)
    except UserError:
        return None
    return stored.kind, stored.values


def _suspicious(e: Evidence, rows: Array) -> Causes:
    """Masks that can be encoded and yet look wrong as a whole."""
    ids, counts = _sum(e, rows)
    if not len(ids):
        return []
    if e.unlabelled:
        return [(_unlabelled(e, rows, ids), rows.tolist())]
    kind = str(e.facts.mask_kind[rows[0]])
    found = diagnose(kind, ids, counts, e.source.labels, labels_file=e.labels_file)
    seen = _looked_at(e, rows, ids, counts)
    if found is not None and found.kind not in SMOOTH:
        return [(found, rows.tolist())]
    return [(seen, rows.tolist())] if seen is not None else []


def _unlabelled(e: Evidence, rows: Array, ids: Array) -> Diagnosis:
    """No label space was given, and none was read off the masks: why."""
    seen = [stored[1] for row in spread(rows, OPENED) if (stored := _open(e, int(row)))]
    if sum(texture(mask) == Texture.RINGING for mask in seen) > len(seen) / 2:
        return jpeg(f"{len(ids)} values that lie along the edges, as JPEG leaves them even when saved as PNG")
    if text := _things(e, rows):
        found = instances(Values({}, e.source.labels), "")
        return found._replace(message=f"{len(ids)} values, one for each thing and not for each class: {text}")
    if len(ids) == 1:
        text = f"nothing but the value {ids[0]}, so there are no classes to tell apart"
        return Diagnosis(
            "unknown", text, f"see whether these are the right files (data.masks), or {NO_SPACE}"
        )
    return Diagnosis("unknown", f"{len(ids)} values that are no classes by the look of them", NO_SPACE)


def _refused(e: Evidence, rows: Array) -> Diagnosis:
    """What reading said, where the values do not tell more."""
    message, _, fix = str(e.facts.mask_error[rows[0]]).rpartition("; ")
    return Diagnosis("unreadable", message or fix, fix if message else "mend or remove the sample")


def _sum(e: Evidence, rows: Array) -> tuple[Array, Array]:
    """Distinct values of many masks, the most frequent first, and the pixels of each."""
    chosen = np.zeros(len(e.samples), bool)
    chosen[rows] = True
    of_rows = chosen[e.row_of_id]
    ids, place = np.unique(e.facts.ids[of_rows], return_inverse=True)
    counts = np.zeros(len(ids), np.int64)
    np.add.at(counts, place, e.facts.id_pixels[of_rows])
    order = np.argsort(-counts, kind="stable")
    return ids[order], counts[order]


def _told(e: Evidence, causes: Causes) -> Iterator[Fault]:
    for found, rows in causes:
        yield e.fault(found.kind, f"masks hold {found.message}", found.fix, rows, "mask", found.severity)
