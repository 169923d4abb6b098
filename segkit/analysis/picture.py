"""Faults of the pictures: files that cannot be read, sizes, orientation, channels, content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from segkit.analysis.evidence import Where

if TYPE_CHECKING:
    from segkit.analysis.evidence import Evidence
    from segkit.data.fault import Fault
    from segkit.types import Array

# Standard deviation in grey levels: what is left of a constant picture after JPEG; a black slide or a
# night sky with sensor noise has more.
FLAT = 0.5
FEW = 0.2  # of another mode among the rest: where it is more, the data is of two kinds on purpose
TEXTS = {
    "it is empty": ("empty_file", "cannot be read: the file has no bytes, a download or copy that failed"),
    "truncated": (
        "truncated",
        "cannot be read: the end of the file is missing, a download or copy that broke off",
    ),
    "does not exist": ("missing", "no such file"),
}
REPLACE = "copy it anew from the original, or remove image and mask"


def unreadable(e: Evidence) -> Iterator[Fault]:
    """Files that are missing, empty, cut off or damaged."""
    places: tuple[tuple[Where, Array], ...] = (("image", e.facts.image_error), ("mask", _mask_damage(e)))
    for where, errors in places:
        kinds: dict[tuple[str, str], list[int]] = {}
        for row in np.flatnonzero(errors != ""):
            kinds.setdefault(_cause(str(errors[row])), []).append(int(row))
        for (kind, text), rows in kinds.items():
            yield e.fault(kind, text, REPLACE, rows, where)


def _mask_damage(e: Evidence) -> Array:
    """Why masks cannot be decoded; what their values are is `segkit.analysis.mask`'s business."""
    damaged = e.facts.mask_kind == "" if e.indexed else np.zeros(len(e.samples), bool)
    return np.where(damaged, e.facts.mask_error, "")


def _cause(error: str) -> tuple[str, str]:
    for mark, named in TEXTS.items():
        if mark in error:
            return named
    _, found, reason = error.partition("cannot be read: ")
    text = f"cannot be read: {reason.split(';')[0]}" if found else error.split("; ")[0]
    return "unreadable", text


def sizes(e: Evidence) -> Iterator[Fault]:
    """Image and mask of different sizes, and those that one of them is turned by its EXIF data."""
    image, mask = e.facts.image_size, e.facts.mask_size
    differ = (image != mask).any(1) & (image > 0).all(1) & (mask > 0).all(1)
    swapped = differ & (image == mask[:, ::-1]).all(1)
    turned = e.facts.image_orientation != e.facts.mask_orientation
    if (rows := np.flatnonzero(swapped & turned)).size:
        by_image = (e.facts.image_orientation[rows] > 1).mean() >= 0.5
        one, other = ("image", "mask") if by_image else ("mask", "image")
        yield e.fault(
            "exif",
            f"the {one}'s EXIF orientation turns it and not its {other}: {_shape(image, mask, rows[0])}",
            f"turn the {other} too, or remove the orientation from the {one} (exiftool -Orientation= FILE), "
            f"whichever was drawn on",
            rows,
            "both",
        )
    rest = differ & ~(swapped & turned)
    if (rows := np.flatnonzero(rest)).size:
        lying = " (one lies on its side)" if swapped[rows].all() else ""
        yield e.fault(
            "size",
            f"image and mask differ in size{lying}: {_shape(image, mask, rows[0])}",
            "resize masks to the size of their images with nearest neighbour, or give each image its own: "
            "this mask may belong to another one",
            rows,
            "both",
        )


def _shape(image: Array, mask: Array, row: int) -> str:
    """First case, width x height."""
    return f"{image[row, 1]}x{image[row, 0]} and {mask[row, 1]}x{mask[row, 0]} in the first"


def channels(e: Evidence) -> Iterator[Fault]:
    """A transparency channel that says something; a few grey pictures among coloured ones."""
    modes = e.facts.image_mode.astype(str)
    if (rows := np.flatnonzero(np.char.endswith(modes, ";alpha"))).size:
        yield e.fault(
            "alpha",
            "images with a transparency channel that varies: what it hides is shown to the network",
            "save them as RGB, painted on the background that they should have",
            rows,
            "image",
            "warning",
        )
    base = np.char.partition(modes, ";")[:, 0]
    grey = np.isin(base, ("1", "L", "LA")) | np.char.startswith(base, "I") | (base == "F")
    color = (base != "") & ~grey
    few, what, others = (
        (grey, "grey", "coloured") if grey.sum() <= color.sum() else (color, "coloured", "grey")
    )
    if 0 < few.sum() <= FEW * (grey | color).sum():
        yield e.fault(
            "grey",
            f"{what} images among {others} ones: {few.sum()} of {(grey | color).sum()}",
            "look whether they belong here; they are read as RGB with three equal channels"
            if what == "grey"
            else "look whether they belong here, or save them as grey",
            np.flatnonzero(few),
            "image",
            "warning",
        )


def contents(e: Evidence) -> Iterator[Fault]:
    """Pictures of one colour, and masks without any labelled pixel."""
    readable = e.facts.image_size[:, 0] > 0
    if (rows := np.flatnonzero(readable & (e.facts.channel_std.max(1, initial=0) < FLAT))).size:
        yield e.fault(
            "constant",
            "images of one single colour: a failed export, or an empty slide",
            "remove image and mask, or export the image again",
            rows,
            "image",
            "warning",
        )
    if e.unlabelled:
        return
    area = e.facts.mask_size.astype(np.int64).prod(1)
    if (rows := np.flatnonzero((area > 0) & (e.facts.ignored == area) & (e.facts.mask_error == ""))).size:
        yield e.fault(
            "empty_mask",
            "masks without a labelled pixel, all is ignored: not annotated, or the wrong id is in `ignore`",
            "annotate or remove these samples; nothing is learnt from them",
            rows,
            "mask",
            "warning",
        )
