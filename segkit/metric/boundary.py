"""How well borders are drawn: boundary F1 and IoU, trimap IoU, surface Dice and distances."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from segkit.metric.distance import DISTANCES, NUMBERS, Widths, compare
from segkit.metric.overlap import plain, rates
from segkit.metric.table import Column, ImageTable
from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.metric.scored import Scored
    from segkit.types import Array

PROTOCOL = {
    "prediction": "hard labels, at the resolution of the target",
    "per_class": "mean over the images whose target or prediction shows the class",
    "mean": "mean over the classes that have a number, each with the same weight",
    "missing": (
        "a class that only target (missed) or only prediction (invented) shows in an image has the "
        "worst value there: 0, or as a distance the diagonal of the image; so has a class without a "
        "border in the prediction where the target has one"
    ),
    "absent": (
        "left out: an image where neither shows the class, and one where both show it and the target "
        "has no border of it (counted as without_border)"
    ),
    "contour": (
        "pixels of a class with a pixel of another class above, below, left or right; "
        "the frame of the image is no contour"
    ),
    "ignored": (
        "pixels with the ignore index belong to no class, predictions there are left out, and a border "
        "to them is no contour"
    ),
    "distance": "Euclidean, between centres of pixels, exact",
}


class Width(NamedTuple):
    """A number of pixels, or a share of the diagonal of an image."""

    value: float
    share: bool

    def pixels(self, diagonal: float) -> float:
        """The width in an image with this diagonal (pixels)."""
        return self.value * diagonal if self.share else self.value

    def whole(self, diagonal: float) -> float:
        """The same; a share is rounded to a whole pixel, at least 1, as Cheng et al. do."""
        return float(max(1, round(self.pixels(diagonal)))) if self.share else self.value

    def __str__(self) -> str:
        if self.share:
            return f"{100 * self.value:.6g} % of the diagonal of the image"
        return f"{self.value:.6g} pixel{'s' * (self.value != 1)}"


class Boundary(ImageTable):
    """Measures borders, per image and class, from hard labels.

    A width is a number of pixels (``2``) or a share of the diagonal of each image (``0.75%``).
    See `segkit.metric.distance` for what a contour is, and `numbers` for the definitions.

    Args:
        labels: What prediction and target mean. In a multilabel task each class is a mask of its own.
        boundary_tolerance: Of the boundary F1, at least 0.
        surface_tolerance: Of the surface Dice, at least 0.
        band_width: Of the boundary IoU, at least 1 pixel.
        trimap_width: Of the trimap IoU, on either side of a border, at least 1 pixel.
        unit: What distances are given in: ``pixel``, or ``diagonal`` (shares of the image's).
        **kwargs: As for every `torchmetrics.Metric`.

    Raises:
        UserError: A width cannot be read or is too small, or there is no such unit.
    """

    def __init__(
        self,
        labels: LabelSpace,
        boundary_tolerance: float | str = "0.75%",
        surface_tolerance: float | str = 2,
        band_width: float | str = "2%",
        trimap_width: float | str = "1%",
        unit: str = "pixel",
        **kwargs: Any,
    ) -> None:
        k = labels.num_classes
        columns = {
            "score": Column((k, len(NUMBERS))),
            "shown": Column((k, 2), torch.bool),
            "trimap": Column((k, 3), torch.int64),
            "diagonal": Column(()),
        }
        super().__init__(columns, **kwargs)
        if unit not in ("pixel", "diagonal"):
            raise UserError(f"metric.boundary.unit={unit}: choose pixel, diagonal")
        self.labels, self.unit = labels, unit
        self.boundary_tolerance = read_width("boundary_tolerance", boundary_tolerance, 0)
        self.surface_tolerance = read_width("surface_tolerance", surface_tolerance, 0)
        self.band_width = read_width("band_width", band_width, 1)
        self.trimap_width = read_width("trimap_width", trimap_width, 1)

    def update(self, scored: Scored) -> None:
        """Measure a picture."""
        target, prediction = scored.target.cpu().numpy(), scored.prediction.cpu().numpy()
        counted = target != self.labels.ignore_index
        diagonal = float(np.hypot(*target.shape[-2:]))
        widths = Widths(
            self.boundary_tolerance.pixels(diagonal),
            self.surface_tolerance.pixels(diagonal),
            self.band_width.whole(diagonal),
            self.trimap_width.whole(diagonal),
        )
        if self.labels.task == "multilabel":
            planes = zip(target, prediction, counted, strict=True)
            found = [compare(t, p, c, 2, widths) for t, p, c in planes]
            score, shown, trimap = (
                np.stack([values[1] for values in column]) for column in zip(*found, strict=True)
            )
        else:
            score, shown, trimap = compare(target, prediction, counted, self.labels.num_classes, widths)
        self.add(scored.index, score=score, shown=shown, trimap=trimap, diagonal=np.array(diagonal))

    def values(self, rows: Mapping[str, Array]) -> Array:
        """Numbers of every image and class in the chosen unit: ``[images, K, 7]``, as `NUMBERS` names them.

        nan where there is no number; a mean over images that leaves nan out is a class's number.
        """
        score = rows["score"].copy()
        score[:, list(self.ignored)] = np.nan
        if self.unit == "diagonal":
            score[..., -len(DISTANCES) :] /= rows["diagonal"][:, None, None]
        return score

    def numbers(self, rows: Mapping[str, Array]) -> dict[str, Any]:
        """Derive the numbers from stored rows.

        Returns:
            ``protocol``: words that define each number; ``mean``: over classes, the numbers of
            `NUMBERS` and ``trimap_iou_dataset``; ``per_class``: name -> the same numbers,
            ``images`` (that they are the mean of), ``missed``, ``invented`` and
            ``without_border`` (images). ``None`` where nothing could be measured.
        """
        values = self.values(rows)
        defined = ~np.isnan(values)
        images = defined.sum(0)  # [K, 7]
        score = np.where(images > 0, np.where(defined, values, 0).sum(0) / np.maximum(images, 1), np.nan)
        trimap = rates(rows["trimap"].sum(0))["iou"]
        trimap[list(self.ignored)] = np.nan
        real, claimed = rows["shown"][..., 0], rows["shown"][..., 1]
        without = real & claimed & ~defined[..., 0]
        per_class = {
            name: {
                **{number: plain(value) for number, value in zip(NUMBERS, score[c], strict=True)},
                "trimap_iou_dataset": plain(trimap[c]),
                "images": int(images[c, 0]),
                "missed": int((real & ~claimed)[:, c].sum()),
                "invented": int((claimed & ~real)[:, c].sum()),
                "without_border": int(without[:, c].sum()),
            }
            for c, name in enumerate(self.labels.names)
        }
        over_classes = [*score.T, trimap]
        mean = {
            name: plain(_mean(values))
            for name, values in zip((*NUMBERS, "trimap_iou_dataset"), over_classes, strict=True)
        }
        return {"protocol": self._words(len(values)), "mean": mean, "per_class": per_class}

    def _words(self, images: int) -> dict[str, Any]:
        """The protocol in words, for these options."""
        unit = "pixels" if self.unit == "pixel" else "shares of the diagonal of the image"
        whose = "the same class" if self.labels.task == "multilabel" else "any class"
        band = "pixels of the mask nearer to its contour than the band width"
        return {
            "task": self.labels.task,
            "images": images,
            "unit": f"hausdorff, hd95 and assd in {unit}",
            "boundary_tolerance": str(self.boundary_tolerance),
            "surface_tolerance": str(self.surface_tolerance),
            "band_width": _rounded(self.band_width),
            "trimap_width": _rounded(self.trimap_width),
            **PROTOCOL,
            "boundary_f1": (
                "harmonic mean of the shares of the predicted and of the target's contour pixels that "
                "lie within the boundary tolerance of the other contour (Csurka et al. 2013)"
            ),
            "boundary_iou": f"IoU of the bands of both masks: {band} (Cheng et al. 2021)",
            "trimap_iou": (
                f"IoU over the pixels nearer to a contour pixel of the target, of {whose}, than the "
                "trimap width (Kohli et al. 2009, Krähenbühl and Koltun 2011)"
            ),
            "trimap_iou_dataset": "the same from the pixels of all images together",
            "surface_dice": (
                "share of the contour pixels of both that lie within the surface tolerance of the "
                "other contour (Nikolov et al. 2018, with each contour pixel counting 1)"
            ),
            "hausdorff": "largest distance of a contour pixel of either to the other contour",
            "hd95": (
                "the larger of the two 95th percentiles (linear) of the distances of the contour "
                "pixels of one to the other contour"
            ),
            "assd": "mean of the distances of all contour pixels of both to the other contour",
        }


def read_width(key: str, value: float | str, least: float) -> Width:
    """Read ``2`` (pixels) or ``0.75%`` (of the diagonal).

    Raises:
        UserError: It is neither, or less than ``least`` pixels.
    """
    text = str(value).strip()
    share = text.endswith("%")
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = math.nan
    low = 0 if share else least
    if not (math.isfinite(number) and (number > 0 if share and least else number >= low)):
        raise UserError(
            f"metric.boundary.{key}={value}: give pixels, at least {least}, such as 2, "
            "or a share of the diagonal, such as 0.75%"
        )
    return Width(number / 100, True) if share else Width(number, False)


def _rounded(width: Width) -> str:
    return f"{width}, rounded to a whole pixel, at least 1" if width.share else str(width)


def _mean(values: Array) -> float:
    """Mean of what is defined; nan if nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan
