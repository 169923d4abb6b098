"""What is wrong with the values of a mask: causes in the order in which they are told apart.

`diagnose` looks at the values and counts of one mask, or of many added up, and at a mask
itself where these cannot decide. Training, its check and `segkit analyze` speak with its words.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segkit.data import cause
from segkit.data.cause import Diagnosis, Values
from segkit.data.file import read_bytes
from segkit.data.known import (
    CITYSCAPES_INSTANCES,
    CITYSCAPES_LABEL_IDS,
    CITYSCAPES_TRAIN_IDS,
    palette_of_colors,
    palette_of_greys,
)
from segkit.data.read import open_mask
from segkit.data.smooth import Texture
from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.types import Array

MANY = 50  # more unknown ids than this are no forgotten classes: label spaces are rarely that wrong
THING = 16  # pixels: even a small cell has as many; a smoothed value, or noise, has a few in each mask
CROWDED = 256  # more colours than this in one picture are no classes
# Of a photograph the 64 commonest colours cover a few percent, of a mask nearly all, edges smoothed or not.
COMMON, COVERED = 64, 0.5
# Of a picture with many small things much is edge, but never most.
SOLID = 0.9
VOID = 255


def diagnose(
    mask_kind: str,
    ids: Array,
    counts: Array,
    labels: LabelSpace,
    mask: Array | None = None,
    labels_file: str | None = None,
) -> Diagnosis | None:
    """Find out why a label space does not understand a mask.

    Args:
        mask_kind: What the file is, in the words of `segkit.data.scan.Facts`.
        ids: ``[t]`` distinct values: numbers, or packed colours where ``mask_kind`` begins with
            ``color`` or the label space has ``masks="color"``.
        counts: ``[t]`` pixels of each.
        labels: What they should mean.
        mask: ``[H, W]`` the values where they lie, if at hand: tells smoothed edges apart.
        labels_file: A label space that fits, written for the user; named in the fix.

    Returns:
        Nothing where every value is known and none is suspicious.
    """
    values = Values({int(i): int(n) for i, n in zip(ids, counts, strict=True)}, labels, mask, labels_file)
    if mask_kind == "jpeg":
        return cause.jpeg("the values that JPEG invents along every edge")
    if mask_kind == "fraction":
        return Diagnosis("fraction", "fractions", "save class indices as whole numbers")
    if labels.masks == "index" and mask_kind.startswith("color"):
        return _colors(values)
    if labels.masks == "index" and mask_kind.endswith(";alpha"):
        return Diagnosis("alpha", "a transparency channel that varies", "save class indices in one channel")
    if labels.masks == "color":
        strange = values.unknown and labels.rest == "error"
        return (cause.invented(values) or cause.unknown(values)) if strange else None
    if labels.rest == "error" and values.unknown:
        return _numbering(values) or _many(values) or cause.unknown(values)
    return _misread(values) or _smoothed(values)


def explain(mask: Path, labels: LabelSpace, error: UserError) -> str:
    """Say why a mask gives no target, for training; reads it once more.

    Args:
        mask: The file.
        labels: The label space.
        error: What reading or encoding said.
    """
    try:
        stored = open_mask(mask, read_bytes(mask), labels.masks)
    except UserError:
        return str(error)  # damaged: nothing to diagnose
    if not stored.values.size or (stored.fault and not stored.kind.startswith("color")):
        return str(error)
    found = diagnose(stored.kind, *count_ids(stored.values), labels, stored.values)
    return found.line(mask) if found else str(error)


def count_ids(values: Array) -> tuple[Array, Array]:
    """Distinct values of a mask, rising, and the pixels of each: two ``[t]`` arrays.

    Runs of equal values are sorted instead of pixels: a mask has few.
    """
    flat = values.ravel()
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    ids, place = np.unique(flat[starts], return_inverse=True)
    lengths = np.diff(np.append(starts, flat.size))
    return ids, np.bincount(place, lengths, len(ids)).astype(np.int64)


def _numbering(values: Values) -> Diagnosis | None:
    """Unknown ids that belong to another numbering of the same classes."""
    present, unknown, size = set(values.present), set(values.unknown), len(values.labels.names)
    official = values.classes == CITYSCAPES_TRAIN_IDS - {VOID}
    if official and present <= CITYSCAPES_LABEL_IDS | {VOID} and unknown != {VOID}:
        text = "these look like Cityscapes labelIds, not trainIds"
        return Diagnosis("label_ids", f"{values.text}; {text}", "use data.labels=cityscapes19")
    if values.shifted_up:
        return cause.from_one(values)
    if values.shifted_down:
        return cause.from_zero(values)
    if unknown == {VOID}:
        return _void(values)
    if size in unknown and unknown <= {size, VOID} and values.classes == set(range(size)):
        return cause.from_one(values)
    if palette := palette_of_greys(present):
        text = f"these are the colours of {palette.title}'s palette turned grey"
        fix = "give the original masks, and copy them as files: their palette holds the indices"
        return Diagnosis("palette", f"{values.text}; {text}", fix)
    return None


def _void(values: Values) -> Diagnosis:
    """255 is the only id that is not known."""
    if set(values.present) <= {0, VOID}:
        text = f"{values.text}; it looks like a 0/255 binary mask"
        return Diagnosis("binary", text, "use data.labels=binary")
    if values.expects_label_ids:
        return cause.train_ids(values, values.text)
    if values.counts_from_one and 0 in values.present:
        return cause.from_zero(values)
    fix = f"add 255 to `ignore` of the label space; {values.fit}"
    return Diagnosis("unknown", f"{values.text}; 255 often marks void pixels", fix)


def _many(values: Values) -> Diagnosis | None:
    """Ids that are no classes at all."""
    present, unknown = values.present, values.unknown
    if all(i // 1000 in CITYSCAPES_INSTANCES for i in unknown):
        text = "these are Cityscapes instanceIds (1000 * labelId + number)"
        return cause.instances(values, text, "give the masks that end with _gtFine_labelIds.png")
    if values.thousands:
        return cause.instances(values, "these are 1000 * the id of a class + the number of a thing")
    if found := cause.invented(values):
        return found
    if len(unknown) <= MANY:
        return None
    things = np.median(list(unknown.values())) >= THING
    running = max(present) < 1.1 * len(present)  # numbered nearly without a gap
    if things and (max(unknown) > 255 or running):
        return cause.instances(values, f"{len(unknown)} ids are one for each thing, not one for each class")
    text = f"{values.text}; so many ids are instances, smoothed edges or a photograph"
    return Diagnosis("unknown", text, "give masks of class indices")


def _misread(values: Values) -> Diagnosis | None:
    """Every id is known, and yet it means something else than the label space thinks."""
    present, labels = set(values.present), values.labels
    if {VOID} <= present <= {0, VOID} and VOID in labels.ignore and labels.task != "multilabel":
        return Diagnosis(
            "binary",
            "only 0 and 255, and this label space ignores 255: nothing would be learnt",
            "for 0/255 binary masks use data.labels=binary",
        )
    # Two ids and more beside 0: a picture of nothing but road and a wall is possible, a data set is not.
    if values.expects_label_ids and present <= CITYSCAPES_TRAIN_IDS and len(present - {0, VOID}) > 2:
        shown = "no id above 18, where vegetation, sky and vehicles should be"
        return cause.train_ids(values, shown)
    if values.counts_from_one and {0, VOID} < present and len(labels.names) not in present:
        return cause.from_zero(values)
    return cause.from_one(values) if values.shifted_up and labels.task == "multiclass" else None


def _smoothed(values: Values) -> Diagnosis | None:
    """Every id is known, and yet some are only mixtures of two others along their edge."""
    if values.texture not in (None, Texture.PLAIN) and not values.unknown:
        text = "known ids, but along the edges those between the ids of both sides: smoothed edges"
        return Diagnosis("antialiased", text, cause.UNSMOOTHED, "warning")
    present = values.present
    if (
        values.labels.task != "binary"
        or len(values.unknown) < 3
        or VOID not in present
        or max(present) > VOID
    ):
        return None
    solid = present.get(0, 0) + present[VOID]
    if solid < SOLID * sum(present.values()) or values.texture == Texture.PLAIN:
        return None
    lost = "are ignored" if values.labels.rest == "ignore" else "become foreground"
    return Diagnosis(
        "antialiased",
        f"0 and 255 and {len(values.unknown)} values between, in few pixels: edges were smoothed, and all of "
        f"them {lost}",
        f"{cause.UNSMOOTHED}, or set 255 from 128 on and 0 below",
        "warning",
    )


def _colors(values: Values) -> Diagnosis:
    """Colours where indices are expected."""
    present = values.present
    if not present:
        text = "colours with 16 bits per channel"
        return Diagnosis("color", text, "save class indices in one channel, or colours with 8 bits each")
    order = sorted(present, key=lambda c: -present[c])
    first = ", ".join(f"({c >> 16}, {c >> 8 & 255}, {c & 255})" for c in order[: cause.SHOWN])
    such = " such as" if len(order) > cause.SHOWN else ":"
    listed = f"colours (RGB), not class indices; {len(order)} colours{such} {first}"
    if palette := palette_of_colors(set(present)):
        text = f"these are the colours of {palette.title}'s palette, not its indices"
        return Diagnosis("palette", f"{listed}; {text}", f"give the original index masks, or {values.fit}")
    covered = sum(present[c] for c in order[:COMMON]) / max(sum(present.values()), 1)
    if len(order) > CROWDED and covered < COVERED and values.texture != Texture.SMOOTH:
        fix = "data.masks must name the folder of masks; a mask has one value per class"
        return Diagnosis("color", f"{listed}; so many colours are a photograph", fix)
    smooth = "; some only mix those of both sides of an edge: the masks were smoothed"
    text = smooth if values.texture in (Texture.SMOOTH, Texture.RINGING) else ""
    return Diagnosis("color", f"{listed}{text}", values.fit)
