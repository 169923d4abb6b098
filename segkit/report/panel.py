"""Image, target, prediction and errors side by side, with names and a legend of colours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segkit.report.paint import flatten, paint_classes, paint_errors, wrong_pixels
from segkit.report.style import font_path
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

INK, PALE, PAPER = (34, 34, 34), (110, 110, 110), (255, 255, 255)
MARGIN, GAP, LINE, TEXT = 12, 8, 24, 15
TITLES = ("image", "target", "prediction", "errors")
ERRORS_HELP = "in the colour of the class predicted"


class Picture(NamedTuple):
    """One picture with what is known about it.

    Attributes:
        image: uint8 RGB ``[h, w, 3]``; stretched to the size of the target for drawing.
        target: ``[H, W]`` class indices or ``[K, H, W]`` zeros and ones, with ``ignore_index``.
        prediction: As ``target``, without ``ignore_index``.
        name: Name of the sample.
        numbers: What is printed beside the name, such as ``mIoU 0.612``.
    """

    image: Array
    target: Array
    prediction: Array
    name: str = ""
    numbers: str = ""


def prediction_panel(
    image: Array,
    target: Array,
    prediction: Array,
    labels: LabelSpace,
    name: str = "",
    numbers: str = "",
    width: int = 1600,
) -> Array:
    """Draw one picture: image, target, prediction, errors.

    In the errors wrong pixels have the colour of the class that was predicted there;
    ignored pixels are striped. The legend shows the classes that occur.

    Args:
        image: uint8 RGB ``[h, w, 3]``.
        target: ``[H, W]`` class indices or ``[K, H, W]`` zeros and ones, with ``ignore_index``.
        prediction: As ``target``.
        labels: Names and colours.
        name: Name of the sample.
        numbers: Text beside the name.
        width: Width of the drawing in pixels.

    Returns:
        uint8 RGB ``[height, width, 3]``.
    """
    return prediction_sheet([Picture(image, target, prediction, name, numbers)], labels, width)


def prediction_sheet(pictures: Sequence[Picture], labels: LabelSpace, width: int = 1600) -> Array:
    """Draw several pictures below each other, with one legend: uint8 RGB ``[height, width, 3]``."""
    cell = (width - 2 * MARGIN - (len(TITLES) - 1) * GAP) // len(TITLES)
    blocks = [_titles(width, cell)]
    for picture in pictures:
        blocks += [_caption(picture, labels, width), _row(picture, labels, width, cell)]
    blocks.append(legend(pictures, labels, width))
    return np.vstack([space(width, MARGIN // 2), *blocks, space(width, MARGIN // 2)])


def _row(picture: Picture, labels: LabelSpace, width: int, cell: int) -> Array:
    target, prediction = picture.target, picture.prediction
    height, full = target.shape[-2:]
    image = picture.image
    if image.shape[:2] != (height, full):
        shrinks = image.shape[0] > height
        image = cv2.resize(
            image, (full, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
    cells = (
        image,
        paint_classes(target, labels),
        paint_classes(prediction, labels),
        paint_errors(image, target, prediction, labels),
    )
    shown = max(1, round(cell * height / full))
    row = space(width, shown + GAP)
    for column, drawing in enumerate(cells):
        left = MARGIN + column * (cell + GAP)
        row[:shown, left : left + cell] = _fit(drawing, cell, shown, smooth=column == 0)
    return row


def _fit(drawing: Array, width: int, height: int, smooth: bool) -> Array:
    """Shrink by area (so that thin objects stay), enlarge pictures softly and masks sharply."""
    if drawing.shape[1] > width:
        return cv2.resize(drawing, (width, height), interpolation=cv2.INTER_AREA)
    enlarge = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST_EXACT
    return cv2.resize(drawing, (width, height), interpolation=enlarge)


def _titles(width: int, cell: int) -> Array:
    paper = Image.fromarray(space(width, LINE))
    draw = ImageDraw.Draw(paper)
    for column, title in enumerate(TITLES):
        left = MARGIN + column * (cell + GAP)
        draw.text((left, LINE // 2), title, INK, font(True), "lm")
    left += int(font(True).getlength(title)) + GAP
    if left + font().getlength(ERRORS_HELP) <= width - MARGIN:
        draw.text((left, LINE // 2), ERRORS_HELP, PALE, font(), "lm")
    return np.asarray(paper)


def _caption(picture: Picture, labels: LabelSpace, width: int) -> Array:
    """Name on the left, numbers and the share of wrong pixels on the right."""
    counted = flatten(picture.target, labels) != labels.ignore_index
    wrong = wrong_pixels(picture.target, picture.prediction, labels).sum() / max(1, counted.sum())
    right = "   ".join(filter(None, [picture.numbers, f"{100 * wrong:.1f} % of pixels wrong"]))
    paper = Image.fromarray(space(width, LINE))
    draw = ImageDraw.Draw(paper)
    draw.text((width - MARGIN, LINE // 2), right, INK, font(), "rm")
    room = width - 2 * MARGIN - draw.textlength(right, font()) - 2 * GAP
    draw.text((MARGIN, LINE // 2), shortened(picture.name, room), PALE, font(), "lm")
    return np.asarray(paper)


def shortened(name: str, room: float) -> str:
    """Cut a long name at its start: its end tells pictures apart."""
    kept = name
    while kept and font().getlength("…" + kept) > room:
        kept = kept[1:]
    return name if kept == name else "…" + kept


def legend(pictures: Sequence[Picture], labels: LabelSpace, width: int) -> Array:
    """Name the colours that occur, in class order, over as many lines as it takes."""
    values = np.unique(
        np.concatenate([np.unique(flatten(m, labels)) for p in pictures for m in (p.target, p.prediction)])
    )
    entries = [(labels.names[v], _swatch(int(v), labels)) for v in values if v < labels.num_classes]
    if labels.num_classes in values:
        entries.append(("none", _swatch(labels.num_classes, labels)))
    if labels.ignore_index in values:
        entries.append(("ignored", _swatch(labels.ignore_index, labels)))
    spots, lines = _places([name for name, _ in entries], width)
    paper = Image.fromarray(space(width, LINE * lines))
    draw = ImageDraw.Draw(paper)
    for (name, swatch), (left, line) in zip(entries, spots, strict=True):
        middle = LINE * line + LINE // 2
        paper.paste(Image.fromarray(swatch), (left, middle - 8))
        draw.rectangle((left, middle - 8, left + 22, middle + 7), outline=(120, 120, 120))
        draw.text((left + 29, middle), name, INK, font(), "lm")
    return np.asarray(paper)


def _swatch(value: int, labels: LabelSpace) -> Array:
    """A patch of 16 x 22 pixels painted as the masks are (``flatten`` gives K for no label at all)."""
    if value == labels.num_classes:
        return np.full((16, 22, 3), 32, np.uint8)
    return paint_classes(np.full((16, 22), value), labels)


def _places(names: Sequence[str], width: int) -> tuple[list[tuple[int, int]], int]:
    """Left edge and line of each legend entry, and the number of lines."""
    left, line, spots = MARGIN, 0, []
    for name in names:
        needed = 29 + int(font().getlength(name)) + 22
        if left + needed > width and left > MARGIN:
            left, line = MARGIN, line + 1
        spots.append((left, line))
        left += needed
    return spots, line + 1


def space(width: int, height: int) -> Array:
    """Blank paper: uint8 RGB ``[height, width, 3]``."""
    return np.full((height, width, 3), PAPER, np.uint8)


@lru_cache(2)
def font(bold: bool = False) -> ImageFont.FreeTypeFont:
    """The one size of text in pictures."""
    return ImageFont.truetype(font_path(bold), TEXT)
