"""Contact sheet: samples before and after augmentation, with the edges of their masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from segkit.report.paint import flatten, paint_classes
from segkit.report.panel import GAP, INK, LINE, MARGIN, PALE, Picture, font, legend, shortened, space
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

LEAST_LIGHT = 80  # of a line, 0..255


class Specimen(NamedTuple):
    """One sample before and after augmentation.

    Attributes:
        name: Name of the sample.
        image: As it was read, uint8 RGB ``[H, W, 3]``.
        target: ``[H, W]`` class indices or ``[H, W, K]`` zeros and ones, with ``ignore_index``.
        after: Augmented images and targets, all of one size; as many for every specimen.
    """

    name: str
    image: Array
    target: Array
    after: tuple[tuple[Array, Array], ...]


def contact_sheet(specimens: Sequence[Specimen], labels: LabelSpace, width: int = 1280) -> Array:
    """Draw a row per sample: the picture before, then what training gets in its first epochs.

    Each mask is drawn as its edge: on both sides of it a line in the colour of that side's
    class. Ignored pixels are striped.

    Args:
        specimens: What is shown, at least one.
        labels: Names and colours.
        width: Width of the drawing in pixels.

    Returns:
        uint8 RGB ``[height, width, 3]``.
    """
    columns = 1 + len(specimens[0].after)
    cell = (width - 2 * MARGIN - (columns - 1) * GAP) // columns
    names = ["before", *(f"after, epoch {i}" for i in range(columns - 1))]
    rows = [_words(names, cell, width, INK, bold=True)]
    for specimen in specimens:
        sizes = [_size_text(specimen.image), *(_size_text(image) for image, _ in specimen.after)]
        room = cell - GAP - font().getlength(sizes[0])
        rows.append(_words([shortened(specimen.name, room), *[""] * (columns - 1)], cell, width, INK))
        rows[-1] = _words(sizes, cell, width, PALE, rows[-1], right=True)
        rows.append(_row(specimen, labels, cell, width))
    rows.append(legend([_flat_picture(s, labels) for s in specimens], labels, width))
    return np.vstack([space(width, MARGIN // 2), *rows, space(width, MARGIN // 2)])


def _row(specimen: Specimen, labels: LabelSpace, cell: int, width: int) -> Array:
    pairs = ((specimen.image, specimen.target), *specimen.after)
    heights = [max(1, round(cell * image.shape[0] / image.shape[1])) for image, _ in pairs]
    row = space(width, max(heights) + GAP)
    for column, ((image, target), height) in enumerate(zip(pairs, heights, strict=True)):
        left = MARGIN + column * (cell + GAP)
        row[:height, left : left + cell] = outlined(image, target, labels, (height, cell))
    return row


def outlined(image: Array, target: Array, labels: LabelSpace, size: tuple[int, int]) -> Array:
    """Draw the edges of a mask on its picture.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        target: ``[H, W]`` or ``[H, W, K]``.
        labels: Names and colours.
        size: (height, width) of the drawing, in pixels.

    Returns:
        uint8 RGB ``[*size, 3]``; ignored pixels are striped.
    """
    shrinks = image.shape[1] > size[1]
    drawn = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    flat = flatten(target if target.ndim == 2 else np.moveaxis(target, 2, 0), labels)
    flat = cv2.resize(flat.astype(np.uint16), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    colors = _lit(paint_classes(flat.astype(np.int64), labels))
    line = _beside_another(flat)
    line |= flat == labels.ignore_index
    drawn[line] = colors[line]
    return drawn


def _lit(colors: Array) -> Array:
    """Dark colours brighter, in their own hue, so that a line is seen on a dark picture."""
    light = colors @ np.array([0.299, 0.587, 0.114], np.float32)
    most = 255 / np.maximum(colors.max(2), 1)
    times = np.clip(LEAST_LIGHT / np.maximum(light, 1), 1, most)
    return (colors * times[..., None]).astype(np.uint8)


def _beside_another(flat: Array) -> Array:
    """Pixels that touch another class, on both sides of every edge: bool ``[H, W]``."""
    beside = np.zeros(flat.shape, bool)
    across, down = flat[:, 1:] != flat[:, :-1], flat[1:] != flat[:-1]
    beside[:, 1:] |= across
    beside[:, :-1] |= across
    beside[1:] |= down
    beside[:-1] |= down
    return beside


def _words(
    texts: Sequence[str],
    cell: int,
    width: int,
    ink: tuple[int, int, int],
    ground: Array | None = None,
    bold: bool = False,
    right: bool = False,
) -> Array:
    """A line of text above each column."""
    paper = Image.fromarray(space(width, LINE) if ground is None else ground)
    draw = ImageDraw.Draw(paper)
    for column, text in enumerate(texts):
        left = MARGIN + column * (cell + GAP)
        place = (left + cell if right else left, LINE // 2)
        draw.text(place, text, ink, font(bold), "rm" if right else "lm")
    return np.asarray(paper)


def _size_text(image: Array) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"


def _flat_picture(specimen: Specimen, labels: LabelSpace) -> Picture:
    """What the legend needs: the classes that occur before and after."""
    masks = [
        t if t.ndim == 2 else np.moveaxis(t, 2, 0) for t in (specimen.target, *(t for _, t in specimen.after))
    ]
    values = np.unique(np.concatenate([np.unique(flatten(m, labels)) for m in masks]))
    return Picture(specimen.image, values[None], values[None], specimen.name)
