"""A label space for masks that have none, or whose label space does not fit: read off the masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segkit.analysis.color_map import color_space, commonest, drawn, ringing
from segkit.analysis.evidence import mostly_colors, numbered, plain_masks, scattered, thousands
from segkit.data.cause import Values
from segkit.data.file import open_header, read_bytes
from segkit.data.ids import Color
from segkit.data.known import CITYSCAPES_TRAIN_IDS, VOC_CLASSES, voc_color
from segkit.data.labels import UNKNOWN, read_labels
from segkit.data.palette import safe_colors
from segkit.data.source import FileSource
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.data.scan import Facts
    from segkit.types import Array, Source

MOST = 300  # classes; more different numbers are instances or a photograph
VOID = 255
DRAWN = 0.001  # share of the pixels: a class where edges are smoothed
SOLID = 0.9  # of a mask of two values, after smoothing: with many small things much is edge, never most
PALETTES_READ = 8  # files that are asked for their palette
VOC_DISTINCT = 5  # ids of a mask: background, border and a thing or three


class Proposal(NamedTuple):
    """A label space that fits the masks, and why this one, in one line.

    Attributes:
        labels: The label space; differs from that of the source.
        reason: What was found; no full stop.
    """

    labels: LabelSpace
    reason: str


def propose(source: Source, facts: Facts) -> Proposal | None:
    """Make a label space out of what the masks hold.

    Args:
        source: The data; with `UNKNOWN` as label space where none is given.
        facts: A scan of all of its samples.

    Returns:
        Nothing where the given label space fits, where the masks are no plain files, or where
        their values are no classes (JPEG, photographs, fractions).
    """
    if not isinstance(source, FileSource) or not source.indexed or not len(facts.ids):
        return None
    given = None if source.labels.names == UNKNOWN.names else source.labels
    plain, colored = plain_masks(facts)
    asked = given is not None and given.masks == "color"
    if asked or mostly_colors(facts):
        return _changed(
            color_space(source, facts, np.flatnonzero(plain if asked else colored), given), source
        )
    return _changed(_indices(source, facts, np.flatnonzero(plain & ~colored), given), source)


def _changed(found: tuple[LabelSpace, str] | None, source: Source) -> Proposal | None:
    return None if found is None or found[0] == source.labels else Proposal(*found)


def _indices(
    source: FileSource, facts: Facts, rows: Array, given: LabelSpace | None
) -> tuple[LabelSpace, str] | None:
    rows_of_id = np.repeat(np.arange(len(facts.names)), np.diff(facts.id_start))
    values = {int(i) for i in np.unique(facts.ids[np.isin(rows_of_id, rows)])}
    if not values:
        return None
    if given is not None and given.task == "multilabel":
        return None  # one id may mean several classes: nothing but the user can tell
    binary = _binary(facts, rows, values, given)
    if binary is not None:
        return read_labels("binary"), binary
    if given is not None:
        return _mended(source, facts, rows, given, values)
    return _fresh(source, facts, rows)


def _binary(facts: Facts, rows: Array, values: set[int], given: LabelSpace | None) -> str | None:
    """Why all but 0 is one class; nothing where it is not."""
    void = set() if given is None else set(given.ignore)
    known = set() if given is None else {i for ids in given.ids for i in ids}
    if given is not None and given.task == "binary":
        return None
    if values == {0, VOID} and VOID not in known:
        return "the masks hold only 0 and 255: background and foreground"
    if given is None and values == {0, 1}:
        return "the masks hold only 0 and 1: background and foreground"
    if values <= known | void or len(values) <= 20:
        return None
    if numbered(facts, rows):
        return "each mask numbers its own things from 1: all but 0 is foreground"
    if 0 in values and scattered(facts, rows):
        return "most ids occur in a single mask, so they number things: all but 0 is foreground"
    return None


def _mended(
    source: FileSource, facts: Facts, rows: Array, given: LabelSpace, values: set[int]
) -> tuple[LabelSpace, str] | None:
    """The given names, with ids that fit."""
    if given.rest != "error" and values & {i for ids in given.ids for i in ids}:
        return None
    classes = {i for ids in given.ids for i in ids}
    unknown = sorted(values - classes - set(given.ignore))
    if found := _moved(given, values, unknown):
        return found
    if not unknown:
        return None
    if found := _cityscapes(given, values, unknown):
        return found
    if unknown == [VOID]:
        return replace(given, ignore=(*given.ignore, VOID)), "255, which often marks void pixels, is ignored"
    return _extended(source, facts, rows, given, unknown)


def _moved(given: LabelSpace, values: set[int], unknown: Sequence[int]) -> tuple[LabelSpace, str] | None:
    """Ids that are all one too large or too small."""
    size, told = given.num_classes, Values(dict.fromkeys(values, 1), given)
    beyond = size in unknown and set(unknown) <= {size, VOID} and told.classes == set(range(size))
    if beyond or (told.shifted_up and given.task == "multiclass"):
        void = (0, VOID) if VOID in values | set(given.ignore) else (0,)
        shifted = replace(given, ids=tuple((i + 1,) for i in range(size)), ignore=void)
        why = f"the ids run from 1 to {size}, with 0 for something else: the names as given, 0 ignored"
        return shifted, why
    if told.shifted_down or (unknown == [VOID] and told.counts_from_one and 0 in values):
        shifted = replace(given, ids=tuple((i,) for i in range(size)), ignore=(VOID,))
        return shifted, f"the ids run from 0 to {size - 1}: the names as given, 255 ignored"
    return None


def _cityscapes(given: LabelSpace, values: set[int], unknown: Sequence[int]) -> tuple[LabelSpace, str] | None:
    """The two numberings of Cityscapes."""
    official = read_labels("cityscapes19")
    classes = {i for ids in given.ids for i in ids}
    known = {i for ids in official.ids for i in ids} | set(official.ignore)
    if classes == set(range(19)) and values <= known | {VOID}:
        void = official.ignore if VOID not in values else (*official.ignore, VOID)
        return replace(official, ignore=void), "the masks hold Cityscapes' labelIds: its 19 evaluated classes"
    if classes | set(given.ignore) >= known and list(unknown) == [VOID] and values <= CITYSCAPES_TRAIN_IDS:
        return _train_ids(), "the masks hold Cityscapes' trainIds: its 19 classes"
    return None


def _extended(
    source: FileSource, facts: Facts, rows: Array, given: LabelSpace, unknown: Sequence[int]
) -> tuple[LabelSpace, str] | None:
    """A class of its own for each id that is not known and that someone drew."""
    things = Values(dict.fromkeys(unknown, 1), given).thousands
    if given.task == "binary" or things or len(unknown) > MOST or ringing(source, facts, rows):
        return None
    ids, pixels, best = commonest(facts, rows)
    asked = np.isin(ids, [i for i in unknown if i != VOID])
    kept, mixed = drawn(source, facts, ids[asked], best[asked], "index")
    if mixed:  # some mixtures look drawn, but never make up much
        share = dict(zip(ids.tolist(), (pixels / pixels.sum()).tolist(), strict=True))
        kept = [i for i in kept if share[i] >= DRAWN]
    more = sorted(kept)
    if len(more) + given.num_classes > MOST:
        return None
    names = [_free(f"class_{i}", given.names) for i in more]
    void = (*given.ignore, VOID) if VOID in unknown else given.ignore
    space = replace(
        given,
        names=(*given.names, *names),
        colors=_distinct(given.colors, len(more)),
        ids=(*given.ids, *((i,) for i in more)),
        ignore=void,
        rest="ignore" if mixed else given.rest,
        parents=(*given.parents, *names) if given.parents else (),
    )
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    extra = f" and one more for each id that they do not know: {shown}" if names else ""
    return space, f"the given classes{extra}{_left_out(mixed)}"


def _fresh(source: FileSource, facts: Facts, rows: Array) -> tuple[LabelSpace, str] | None:
    """No names are given: those of a data set that is recognised, or numbers."""
    ids, pixels, best = commonest(facts, rows)
    if ringing(source, facts, rows):
        solid = np.isin(ids, (0, VOID))
        clear = solid.sum() == 2 and pixels[solid].sum() >= SOLID * pixels.sum()
        return _two_sided(len(ids) - 2) if clear else None
    if scattered(facts, rows) or thousands(ids):
        return None
    kept, mixed = drawn(source, facts, ids[:MOST], best[:MOST], "index")
    mixed += len(ids) - len(ids[:MOST])
    values = set(kept)
    classes = sorted(values - {VOID} if len(values) < 256 else values)
    if mixed and values == {0, VOID}:
        return _two_sided(mixed)
    if len(classes) < 2:
        return None
    palette = _palette(source, facts, rows)
    voc = palette is not None and values <= {*range(VOC_CLASSES), VOID} and _is_voc(palette)
    if voc and _looks_like_voc(facts, rows):
        return read_labels("voc21"), "the masks have PASCAL VOC's palette and borders: its 21 classes"
    if values == CITYSCAPES_TRAIN_IDS:
        return _train_ids(), "the ids 0 to 18 and 255 are most likely Cityscapes' trainIds: its 19 classes"
    # A palette of grey steps, as tools write that have no other, says nothing.
    telling = palette is not None and _colorful(palette, classes)
    space = LabelSpace(
        names=tuple(f"class_{i}" for i in classes),
        colors=tuple(palette[i] for i in classes) if palette and telling else safe_colors(len(classes)),
        ids=tuple((i,) for i in classes),
        ignore=(VOID,) if VOID not in classes else (),
        rest="ignore" if mixed else "error",
    )
    whose = ", with the colours of the masks' palette" if telling else ""
    more = ", 255 is ignored" if VOID in values and VOID not in classes else ""
    held = f"one class for each of the {len(classes)} ids that the masks hold"
    hint = " (or take data.labels=voc21 if they are PASCAL VOC's)" if voc else ""
    return space, f"{held}{whose}{more}{_left_out(mixed)}; rename them{hint}"


def _two_sided(between: int) -> tuple[LabelSpace, str]:
    """0 and 255, and what smoothing or JPEG made of their edges."""
    space = replace(read_labels("binary"), ids=((0,), (VOID,)), rest="ignore")
    return space, f"0 is background, 255 foreground; {between} values between, on smoothed edges, are ignored"


def _left_out(mixed: int) -> str:
    return f"; {mixed} more ids occur only where edges were smoothed and are ignored" if mixed else ""


def _train_ids() -> LabelSpace:
    return replace(read_labels("cityscapes19"), ids=tuple((i,) for i in range(19)), ignore=(VOID,))


def _palette(source: FileSource, facts: Facts, rows: Array) -> list[Color] | None:
    """256 colours of the palette that the masks share; nothing where they have none, or several."""
    mask_of = {s.name: s.mask for s in source.samples}
    with_palette = [r for r in rows if facts.mask_kind[r] == "palette"]
    found = {_read_palette(mask_of[str(facts.names[r])]) for r in with_palette[:PALETTES_READ]}
    return list(next(iter(found))) if len(found) == 1 and len(with_palette) > len(rows) / 2 else None


def _read_palette(mask: Path | None) -> tuple[Color, ...]:
    assert mask is not None  # its kind is "palette"
    header = open_header(mask, read_bytes(mask))
    flat = [*((header.getpalette() if header else None) or []), *[0] * 768][:768]
    return tuple((flat[i], flat[i + 1], flat[i + 2]) for i in range(0, 768, 3))


def _is_voc(palette: Sequence[Color]) -> bool:
    return all(palette[i] == voc_color(i) for i in range(VOC_CLASSES))


def _looks_like_voc(facts: Facts, rows: Array) -> bool:
    """Whether nearly every mask has a border of 255 and few classes: other tools take VOC's palette, too."""
    bordered = [VOID in facts.ids[facts.id_start[r] : facts.id_start[r + 1]] for r in rows]
    return bool(np.mean(bordered) > 0.9 and np.median(facts.id_distinct[rows]) <= VOC_DISTINCT)


def _colorful(palette: Sequence[Color], classes: Sequence[int]) -> bool:
    """Whether it gives each class a colour of its own, not all of them grey."""
    colors = {palette[i] for i in classes}
    return len(colors) == len(classes) and any(len({*color}) > 1 for color in colors)


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _distinct(colors: tuple[Color, ...], more: int) -> tuple[Color, ...]:
    """These colours, and as many others that are not among them."""
    known = safe_colors(len(colors) + more)
    free = [c for c in known if c not in colors] or known  # more classes than there are distinct colours
    return (*colors, *(free[i % len(free)] for i in range(more)))
