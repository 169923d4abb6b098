"""Samples -> small pictures for a page, also of samples that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from segkit.analysis.reduced import read_image_reduced, read_reduced
from segkit.data.read import read_image, read_mask
from segkit.data.scan import Facts
from segkit.report.paint import overlay
from segkit.types import LabelSpace, Sample, Source, UserError

if TYPE_CHECKING:
    from segkit.types import Array

WIDTH, HEIGHT, GAP = 260, 200, 6  # pixels of one side, and between the sides
QUALITY = 82  # of the JPEG
RANDOM = 4  # samples that stand for all, beside those that stand for a class
BROKEN = (UserError, OSError, ValueError, cv2.error)


class Thumb(NamedTuple):
    """A small picture.

    Attributes:
        name: Of the sample or the file.
        about: What is to be seen where it is not image and overlay, or why nothing is.
        jpeg: The picture; empty where nothing can be read.
        size: Its width and height in pixels.
    """

    name: str
    about: str
    jpeg: bytes = b""
    size: tuple[int, int] = (0, 0)


def sample_thumb(source: Source, sample: Sample, about: str = "") -> Thumb:
    """Draw image and mask overlay side by side, or as much of both as can be read."""
    try:
        image, target = read_reduced(source, sample, (HEIGHT, WIDTH))
        sides = _sides(image, target, source.labels)
        seen = "image without a mask" if target is None else ""
    except BROKEN as error:
        sides, seen = _stored(sample, source.labels)
        seen = seen or str(error)
    return _thumb(sample.name, about or seen, sides)


def file_thumb(path: Path) -> Thumb:
    """Draw one file as a picture, whatever it is."""
    try:
        return _thumb(path.name, "as it is stored", [_small(read_image_reduced(path, (HEIGHT, WIDTH)))])
    except BROKEN as error:
        return Thumb(path.name, str(error))


def typical(
    samples: Sequence[Sample], facts: Facts, labels: LabelSpace, classes: Sequence[int]
) -> Mapping[int, str]:
    """Choose samples worth a look.

    For each class the sample whose share of it is nearest to the median over the samples that
    show it, and a few at random (the same ones every time).

    Returns:
        Position of the sample -> why it was chosen.
    """
    reasons: dict[int, list[str]] = {}
    total = np.maximum(1, facts.mask_size.astype(np.int64).prod(1) - facts.ignored)
    for k in classes:
        shows = np.flatnonzero(facts.pixels[:, k])
        if len(shows):
            share = facts.pixels[shows, k] / total[shows]
            nearest = int(shows[np.abs(share - np.median(share)).argmin()])
            words = f"{labels.names[k]} {100 * facts.pixels[nearest, k] / total[nearest]:.2g} %"
            reasons.setdefault(nearest, []).append(words)
    readable = np.flatnonzero((facts.image_size > 0).all(1))
    drawn = np.random.default_rng(0).permutation(readable)[:RANDOM]
    for i in drawn.tolist():
        reasons.setdefault(i, []).append("drawn at random")
    return {i: ", ".join(words) for i, words in reasons.items() if i < len(samples)}


def wide_picture(path: Path, width: int) -> Thumb:
    """Draw a picture on disk, at most ``width`` pixels wide."""
    picture = read_image(path)
    factor = min(1.0, width / picture.shape[1])
    size = (round(picture.shape[1] * factor), max(1, round(picture.shape[0] * factor)))
    return _thumb(path.name, "", [cv2.resize(picture, size, interpolation=cv2.INTER_AREA)])


def _sides(image: Array, target: Array | None, labels: LabelSpace) -> list[Array]:
    small = _small(image)
    if target is None:
        return [small]
    mask = _nearest(target, *small.shape[:2])
    return [small, overlay(small, mask.transpose(2, 0, 1) if mask.ndim == 3 else mask, labels)]


def _stored(sample: Sample, labels: LabelSpace) -> tuple[list[Array], str]:
    """What the files of a faulty sample hold, each for itself."""
    sides, seen = [], []
    try:
        sides.append(_small(read_image_reduced(sample.image, (HEIGHT, WIDTH))))
        seen.append("image")
    except BROKEN:
        pass
    if sample.mask is not None and (mask := _mask_stored(sample.mask, labels)) is not None:
        sides.append(mask)
        seen.append("mask as it is stored")
    return sides, " and ".join(seen)


def _mask_stored(path: Path, labels: LabelSpace) -> Array | None:
    """File ids in arbitrary colours (0 is dark), or the file as a picture."""
    try:
        ids = read_mask(path, labels.masks)
        ids = _nearest(ids, *_size(*ids.shape)).astype(np.int64)
        if labels.masks == "color":
            return np.stack([ids >> 16, ids >> 8 & 255, ids & 255], 2).astype(np.uint8)
        palette = np.random.default_rng(0).integers(70, 256, (1021, 3), np.uint8)
        palette[0] = 32
        return np.asarray(palette[np.where(ids > 0, 1 + ids % 1020, 0)])
    except BROKEN:
        pass
    try:
        return _small(read_image(path))
    except BROKEN:
        return None


def _small(picture: Array) -> Array:
    height, width = _size(*picture.shape[:2])
    shrinks = height < picture.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=how)


def _size(height: int, width: int) -> tuple[int, int]:
    """Height and width that fit into a side; tiny pictures are enlarged."""
    factor = min(WIDTH / width, HEIGHT / height, 4)
    return max(1, round(height * factor)), max(1, round(width * factor))


def _nearest(mask: Array, height: int, width: int) -> Array:
    """Another size without new values, for any type and number of channels."""
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
    return mask[rows][:, columns]


def _thumb(name: str, about: str, sides: Sequence[Array]) -> Thumb:
    if not sides:
        return Thumb(name, about)
    tall = max(side.shape[0] for side in sides)
    columns: list[Any] = []
    for side in sides:
        paper = np.full((tall, side.shape[1] + GAP * bool(columns), 3), 255, np.uint8)
        paper[: side.shape[0], paper.shape[1] - side.shape[1] :] = side
        columns.append(paper)
    sheet = np.hstack(columns)
    done, jpeg = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return (
        Thumb(name, about, jpeg.tobytes(), (sheet.shape[1], sheet.shape[0])) if done else Thumb(name, about)
    )
