"""A picture with transparent layers over it, as text that a page can hold."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from PIL import Image

from segkit.report.html import data_uri
from segkit.report.paint import flatten, wrong_pixels
from segkit.report.sheet import outlined
from segkit.types import LabelSpace

if TYPE_CHECKING:
    from segkit.types import Array

    Color = tuple[int, int, int]
    Box = tuple[int, int, int, int]

WIDTH, HEIGHT = 960, 1280  # pixels, at most
BYTES = 500_000  # of a view, at most: twelve are 6 MB
STEPS = ((1.0, 85), (1.0, 65), (0.7, 65), (0.45, 50))  # (scale, JPEG quality) until it fits
CROP = 440  # pixels of each half of a crop, at most
LARGEST = 8  # times that a crop is enlarged
GAP = 8  # white pixels between the halves
IGNORED: Color = (112, 112, 112)
STRIPE, COLORS = 6, 252  # width in pixels; classes that a palette has room for


class View(NamedTuple):
    """What a viewer shows.

    Attributes:
        name: Of the sample.
        caption: What is to be seen, in a sentence.
        width: Of the picture and its layers, in pixels.
        height: Of the picture and its layers, in pixels.
        image: The picture, as a data URI.
        layers: ``target``, ``prediction`` and ``error`` -> a transparent PNG of the same size, as
            a data URI.
        legend: Classes that occur, with their colours (0..255).
    """

    name: str
    caption: str
    width: int
    height: int
    image: str
    layers: dict[str, str]
    legend: list[tuple[str, Color]]

    @property
    def size(self) -> int:
        """Bytes that the picture and its layers take in a page."""
        return len(self.image) + sum(map(len, self.layers.values()))


def draw_view(
    image: Array,
    target: Array,
    prediction: Array,
    labels: LabelSpace,
    name: str = "",
    caption: str = "",
    box: Box | None = None,
) -> View:
    """Draw a picture and its layers.

    Target and prediction have the colours of their classes, with ignored pixels in grey stripes;
    the background of a binary task is clear. A wrong pixel of ``error`` has the colour of
    the class that was predicted there. What would take more than `BYTES` is compressed
    more strongly, then made smaller.

    Args:
        image: uint8 RGB ``[h, w, 3]``; stretched to the proportions of the target.
        target: ``[H, W]`` class indices or ``[K, H, W]`` zeros and ones, with ``ignore_index``.
        prediction: As ``target``, without ``ignore_index``.
        labels: Names and colours.
        name: Of the sample.
        caption: What is to be seen.
        box: (top, left, height, width) of the part to be drawn, by `draw_crop`; ``None``: all.
    """
    if box is not None:
        return draw_crop(image, target, prediction, labels, box, name, caption)
    height, width = target.shape[-2:]
    fit = min(1.0, WIDTH / width, HEIGHT / height)
    for scale, quality in STEPS:
        size = (max(1, round(fit * scale * height)), max(1, round(fit * scale * width)))
        real, claimed = _nearest(target, size), _nearest(prediction, size)
        layers = {k: _png(v, labels) for k, v in _layers(real, claimed, labels).items()}
        picture = _jpeg(_stretched(image, size), quality)
        legend = _legend(real, claimed, labels)
        view = View(name, caption, size[1], size[0], picture, layers, legend)
        if view.size <= BYTES:
            break
    return view


def draw_crop(
    image: Array,
    target: Array,
    prediction: Array,
    labels: LabelSpace,
    box: Box,
    name: str = "",
    caption: str = "",
) -> View:
    """Draw a part of a picture twice, side by side: with the outlines of the target, and of the prediction.

    The layer ``target`` fills the left half, ``prediction`` the right one, ``error`` shows
    wrong pixels in both.

    Args:
        image: As for `draw_view`.
        target: As for `draw_view`.
        prediction: As for `draw_view`.
        labels: Names and colours.
        box: (top, left, height, width) in pixels of the target; some of what surrounds it is shown.
        name: Of the sample.
        caption: What is to be seen.
    """
    rows, columns = _around(box, target.shape[-2:])
    picture = _stretched(image, target.shape[-2:])[rows, columns]
    real, claimed = target[..., rows, columns], prediction[..., rows, columns]
    height, width = picture.shape[:2]
    scale = min(LARGEST, CROP / height, CROP / width)
    size = (max(1, round(scale * height)), max(1, round(scale * width)))
    halves = [outlined(picture, _channels_last(mask), labels, size) for mask in (real, claimed)]
    real, claimed = _nearest(real, size), _nearest(claimed, size)
    layers = _layers(real, claimed, labels)
    nothing = np.full_like(layers["error"], _clear(labels))
    sides = {
        "target": (layers["target"], nothing),
        "prediction": (nothing, layers["prediction"]),
        "error": (layers["error"], layers["error"]),
    }
    return View(
        name,
        caption,
        2 * size[1] + GAP,
        size[0],
        _jpeg(np.hstack([halves[0], np.full((size[0], GAP, 3), 255, np.uint8), halves[1]]), STEPS[0][1]),
        {k: _png(np.hstack([a, nothing[:, :1].repeat(GAP, 1), b]), labels) for k, (a, b) in sides.items()},
        _legend(real, claimed, labels),
    )


def _around(box: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a box with half of its size around it, at least 24 pixels, inside the picture."""
    top, left, height, width = box
    margin = max(24, height // 2, width // 2)
    return (
        slice(max(0, top - margin), min(shape[0], top + height + margin)),
        slice(max(0, left - margin), min(shape[1], left + width + margin)),
    )


def _layers(target: Array, prediction: Array, labels: LabelSpace) -> dict[str, Array]:
    """Values ``[H, W]`` of each layer: class indices, ``ignore_index``, or `_clear`."""
    real, claimed = flatten(target, labels), flatten(prediction, labels)
    # Where no label of a multilabel mask is predicted, what is missing is shown.
    blamed = np.where(claimed == _clear(labels), real, claimed)
    error = np.where(wrong_pixels(target, prediction, labels), blamed, _clear(labels))
    if labels.task == "binary":
        real, claimed = (np.where(m == 0, _clear(labels), m) for m in (real, claimed))
    return {"target": real, "prediction": claimed, "error": error}


def _clear(labels: LabelSpace) -> int:
    """The value of no class: what `flatten` gives where no label of a multilabel mask holds."""
    return labels.num_classes


def _png(values: Array, labels: LabelSpace) -> str:
    """Values as a palette PNG whose first colour is clear, with no more colours than occur."""
    present, counts = np.unique(values[values < labels.num_classes], return_counts=True)
    kept = np.sort(present[np.argsort(-counts, kind="stable")[:COLORS]])
    codes = np.zeros(max(labels.ignore_index, labels.num_classes) + 1, np.uint8)
    codes[kept] = np.arange(1, len(kept) + 1)
    pixels = codes[values]
    palette = [(0, 0, 0), *(labels.colors[c] for c in kept)]
    ignored = values == labels.ignore_index
    if ignored.any():
        diagonal = np.add.outer(np.arange(values.shape[0]), np.arange(values.shape[1])) // STRIPE % 2
        pixels = np.where(ignored, len(palette) + diagonal, pixels).astype(np.uint8)
        palette += [IGNORED, (70, 70, 70)]
    picture = Image.fromarray(pixels)
    picture.putpalette([channel for color in palette for channel in color])
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True, transparency=bytes([0]))
    return data_uri(content.getvalue(), "image/png")


def _jpeg(pixels: Array, quality: int) -> str:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=quality, optimize=True)
    return data_uri(content.getvalue(), "image/jpeg")


def _legend(target: Array, prediction: Array, labels: LabelSpace) -> list[tuple[str, Color]]:
    """Classes that occur in either mask, in class order, and what ignored pixels look like."""
    present = np.union1d(flatten(target, labels), flatten(prediction, labels)).tolist()
    legend = [(labels.names[c], labels.colors[c]) for c in present if c < labels.num_classes]
    return [*legend, ("ignored", IGNORED)] if labels.ignore_index in present else legend


def _nearest(mask: Array, size: tuple[int, int]) -> Array:
    """``[..., H, W]`` at another (height, width), each pixel the one nearest to its centre."""
    rows, columns = (
        ((np.arange(n) + 0.5) * whole / n).astype(np.int64)
        for n, whole in zip(size, mask.shape[-2:], strict=True)
    )
    return mask[..., rows[:, None], columns]


def _stretched(image: Array, size: tuple[int, ...]) -> Array:
    """A picture at another (height, width), by area where it shrinks."""
    if image.shape[:2] == size:
        return image
    shrinks = size[1] < image.shape[1]
    soft = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), (size[1], size[0]), interpolation=soft)


def _channels_last(mask: Array) -> Array:
    return mask if mask.ndim == 2 else np.moveaxis(mask, 0, 2)
