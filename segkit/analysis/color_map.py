"""Masks of colours -> the label space that says which colour is which class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segkit.analysis.evidence import spread
from segkit.data.file import read_bytes
from segkit.data.ids import pack, unpack
from segkit.data.known import CAMVID_COLORS, VOC_BORDER, palette_of_colors
from segkit.data.labels import read_labels, shipped_labels
from segkit.data.read import open_mask
from segkit.data.smooth import Texture, blended, texture
from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.data.scan import Facts
    from segkit.data.source import FileSource
    from segkit.types import Array, Masks

BLACK, VOC_LINE = 0, pack(VOC_BORDER)
EXAMINED = 256  # colours that may be classes; the rest, with fewer pixels, is not looked at
LOOKED_AT = 5  # masks whose edges are judged
RARE = 0.02  # share of the pixels up to which black is void rather than the background
# A mask has regions: where the 256 commonest colours together cover less, it is a photograph.
COVERED = 0.5


def color_space(
    source: FileSource, facts: Facts, rows: Array, given: LabelSpace | None
) -> tuple[LabelSpace, str] | None:
    """List the colours of the masks, with the names of a known palette where they agree.

    Args:
        source: Reads the masks, to tell classes from the mixtures on smoothed edges.
        facts: The scan.
        rows: The samples whose masks are colours.
        given: The label space that was given: its names are kept where its colours are found.

    Returns:
        The label space and the reason; nothing where the masks look like photographs.
    """
    if given is not None and given.masks == "color" and given.rest != "error":
        return None  # a colour that is not listed has its meaning
    colors, pixels, best = commonest(facts, rows)
    if len(colors) < 2 or pixels[:EXAMINED].sum() < COVERED * pixels.sum():
        return None
    classes, mixed = drawn(source, facts, colors[:EXAMINED], best[:EXAMINED], "color")
    mixed += len(colors) - len(colors[:EXAMINED])
    if len(classes) < 2:
        return None
    names, title = _names(classes, given)
    void = _void(classes, names, dict(zip(colors.tolist(), (pixels / pixels.sum()).tolist(), strict=True)))
    if BLACK not in void:
        names.setdefault(BLACK, "background")
    # Classes in the order of the label space that names them, then those without a name, the commonest first.
    rank = {c: i for i, c in enumerate(names)}
    kept = sorted((c for c in classes if c not in void), key=lambda c: rank.get(c, len(rank)))
    if len(kept) < 2:
        return None
    space = LabelSpace(
        names=_unique([names.get(c, f"color_{'_'.join(map(str, unpack(c)))}") for c in kept]),
        colors=tuple(unpack(c) for c in kept),
        ids=tuple((c,) for c in kept),
        ignore=tuple(void),
        rest="ignore" if mixed else "error",
        masks="color",
    )
    return _merged(space, given), _reason(len(kept), title, mixed)


def _void(classes: Sequence[int], names: dict[int, str], share: dict[int, float]) -> list[int]:
    """Colours that are no class: what a known palette leaves out; black if rare or alone without a name."""
    palette = palette_of_colors(set(classes))
    void = {c for c in classes if c not in names and (c in palette.void if palette else c == VOC_LINE)}
    named = all(c in names for c in {*classes} - void - {BLACK})
    if BLACK in classes and BLACK not in names and (named or share[BLACK] <= RARE):
        void.add(BLACK)
    return [c for c in classes if c in void]


def commonest(facts: Facts, rows: Array) -> tuple[Array, Array, Array]:
    """Distinct values of these masks, the most frequent first.

    Returns:
        ``[t]`` values, the pixels of each, and the row of the mask that shows most of it.
    """
    owner = np.repeat(np.arange(len(facts.names)), np.diff(facts.id_start))
    chosen = np.isin(owner, rows)
    ids, counts, owner = facts.ids[chosen], facts.id_pixels[chosen], owner[chosen]
    values, place = np.unique(ids, return_inverse=True)
    pixels = np.bincount(place, counts, len(values)).astype(np.int64)
    order = np.argsort(counts, kind="stable")
    best = np.zeros(len(values), np.int64)
    best[place[order]] = owner[order]  # the last one written has most pixels
    first = np.argsort(-pixels, kind="stable")
    return values[first], pixels[first], best[first]


def drawn(
    source: FileSource, facts: Facts, values: Array, best: Array, masks: Masks
) -> tuple[list[int], int]:
    """Values that someone drew, and how many others are only mixtures of two at an edge.

    Each is looked at in the mask that shows most of it.
    """
    path_of = {s.name: s.mask for s in source.samples}
    found, mixed = [], 0
    for row in np.unique(best):
        mask = _read(path_of[str(facts.names[row])], masks)
        here = [int(v) for v in values[best == row]]
        smooth = mask is not None and texture(mask) != Texture.PLAIN
        mixtures = {v for v in here if mask is not None and smooth and blended(mask, v)}
        found += [v for v in here if v not in mixtures]
        mixed += len(mixtures)
    rank = {int(v): i for i, v in enumerate(values)}
    return sorted(found, key=lambda v: rank[v]), mixed


def ringing(source: FileSource, facts: Facts, rows: Array) -> bool:
    """Whether the edges of most masks look as JPEG leaves them: their values are not what was drawn."""
    path_of = {s.name: s.mask for s in source.samples}
    masks = [_read(path_of[str(facts.names[r])], "index") for r in spread(rows, LOOKED_AT)]
    seen = [texture(mask) == Texture.RINGING for mask in masks if mask is not None]
    return sum(seen) > len(seen) / 2


def _read(path: Path | None, masks: Masks) -> Array | None:
    if path is None:
        return None
    try:
        return open_mask(path, read_bytes(path), masks).values
    except UserError:
        return None


def _names(classes: Sequence[int], given: LabelSpace | None) -> tuple[dict[int, str], str]:
    """Names of colours, from the label space that knows most of them, and whose they are."""
    known = [(f"{name}'s", _of(read_labels(name))) for name in shipped_labels()]
    # The full 32 classes of CamVid are no shipped label space.
    known.append(("CamVid's", {pack(color): name for name, color in CAMVID_COLORS.items()}))
    if given is not None:
        known.insert(0, ("the given label space's", _of(given)))
    hits = [sum(c in names for c in classes) for _, names in known]
    best = hits.index(max(hits))
    # Half of the colours, and more than two: red, green and blue occur in many a palette. The user's own
    # names need one.
    enough = 1 if best == 0 and given is not None else max(3, len(classes) / 2)
    return (dict(known[best][1]), known[best][0]) if hits[best] >= enough else ({}, "")


def _of(space: LabelSpace) -> dict[int, str]:
    """The name of each colour."""
    own = {pack(color): name for name, color in zip(space.names, space.colors, strict=True)}
    listed = {i: name for name, ids in zip(space.names, space.ids, strict=True) for i in ids}
    return listed if space.masks == "color" else own


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(n if n not in names[:i] else f"{n}_{names[:i].count(n) + 1}" for i, n in enumerate(names))


def _merged(space: LabelSpace, given: LabelSpace | None) -> LabelSpace:
    """What a given label space of colours says besides its colours stays as it is."""
    if given is None or given.masks != "color":
        return space
    known = {i for ids in given.ids for i in ids} | set(given.ignore)
    more = [i for i, ids in enumerate(space.ids) if ids[0] not in known]
    return replace(
        given,
        names=_unique([*given.names, *(space.names[i] for i in more)]),
        colors=(*given.colors, *(space.colors[i] for i in more)),
        ids=(*given.ids, *(space.ids[i] for i in more)),
        ignore=(*given.ignore, *(i for i in space.ignore if i not in known)),
        rest=space.rest if given.rest == "error" else given.rest,
        parents=(*given.parents, *(space.names[i] for i in more)) if given.parents else (),
    )


def _reason(count: int, title: str, mixed: int) -> str:
    whose = f", named by {title} colours" if title else ""
    edges = f"; {mixed} more occur only where edges were smoothed and are ignored" if mixed else ""
    return f"the masks hold colours: one class for each of {count}{whose}{edges}"
