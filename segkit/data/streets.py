"""Built-in data: generated street scenes, without any file.

A scene is a pure function of (seed, split, index): a perspective street with its buildings,
trees, vehicles, people and weather, in the eight Cityscapes categories (Cordts et al.,
"The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016) and about their
shares of the pixels, so that people and objects are rare and hard.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.limit import check_size
from segkit.data.scene.canvas import IGNORE, SUPERSAMPLE, Canvas
from segkit.data.scene.ground import paint_bonnet, paint_ground, paint_sky, plan_street
from segkit.data.scene.mood import develop
from segkit.data.scene.nature import Foliage
from segkit.data.scene.plan import plan_crowd, plan_plots
from segkit.data.scene.shade import finish_ground
from segkit.types import SPLITS, LabelSpace, Sample, Split, UserError

Array = NDArray[Any]

MOST = 1_000_000  # scenes of a part: all are listed before the first is painted


class Streets:
    """Street scenes that are painted when they are read.

    Args:
        labels: What the file ids mean; conf/labels/streets.yaml names them all.
        train_samples: Scenes in ``train``.
        val_samples: Scenes in ``val``.
        test_samples: Scenes in ``test``.
        seed: Another seed gives other scenes.
        height: Height of a picture, pixels, at least 32.
        width: Width of a picture, pixels, at least 32.
        root: Not used: there are no files.

    Raises:
        UserError: A ``root`` is given, or a number is out of range.
    """

    def __init__(
        self,
        labels: LabelSpace,
        train_samples: int = 400,
        val_samples: int = 80,
        test_samples: int = 80,
        seed: int = 0,
        height: int = 256,
        width: int = 512,
        root: str | None = None,
    ) -> None:
        if root is not None:
            raise UserError(f"data.root={root}: street scenes have no files; did you mean data=folder")
        sizes = {"train": train_samples, "val": val_samples, "test": test_samples}
        checks = {"seed": (seed, 0), "height": (height, 32), "width": (width, 32)}
        checks |= {f"{split}_samples": (size, 0) for split, size in sizes.items()}
        for key, (value, least) in checks.items():
            if value < least:
                raise UserError(f"data.{key}={value} is too small: give {least} or more")
            if key.endswith("_samples") and value > MOST:
                raise UserError(f"data.{key}={str(value)[:40]} is too large: give {MOST} or less")
        check_size(Path("a street scene of data.width and data.height"), width, height)
        self.labels = labels
        self.seed, self.height, self.width = seed, height, width
        self.samples = [
            Sample(f"{split}/{index:06d}", Path(), split=split)
            for split in SPLITS
            for index in range(sizes[split])
        ]

    def read(self, sample: Sample) -> tuple[Array, Array]:
        """Paint ``image`` uint8 RGB ``[height, width, 3]`` and its encoded ``target``."""
        split, index = sample.name.split("/")
        image, file_ids = scene(self.seed, int(index), self.height, self.width, SPLITS[SPLITS.index(split)])
        try:
            return image, self.labels.encode(file_ids)
        except UserError as error:
            raise UserError(
                f"scene {sample.name}: {error}; data.labels has to list the ids 0..7 and 255"
            ) from None

    def signature(self, sample: Sample) -> str:
        """Everything that a picture and its mask depend on, for caches."""
        return f"{sample.name} seed {self.seed} {self.height}x{self.width} {_painter()}"


@functools.cache
def _painter() -> str:
    """Digest of the code that paints: other code, other pictures."""
    here = Path(__file__)
    files = [here, *sorted(here.with_name("scene").glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def scene(seed: int, index: int, height: int, width: int, split: Split = "train") -> tuple[Array, Array]:
    """Paint one street.

    A pure function: the same arguments give the same bits in any process and any order.

    Args:
        seed: Non-negative seed of the data set.
        index: Number of the scene in its split.
        height: Pixels, at least 32.
        width: Pixels, at least 32.
        split: The splits show different streets.

    Returns:
        ``image`` ``[height, width, 3]`` uint8 RGB and ``file_ids`` ``[height, width]`` uint8:
        0..7 are void, flat, construction, object, nature, sky, human, vehicle; 255 is the
        ignored border.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, SPLITS.index(split), index]))
    canvas = Canvas(rng, height, width)
    street = plan_street(canvas)
    leaves = Foliage(canvas, 3)
    backdrop, things = plan_plots(canvas, street, leaves), plan_crowd(canvas, street, leaves)
    paint_sky(canvas)
    paint_ground(canvas, street)
    for layer in (backdrop, things):  # what stands behind the building line never hides what stands before it
        for thing in sorted(layer, key=lambda thing: -thing.z):
            if canvas.visible(thing):
                thing.paint()
    if canvas.chance(0.85):
        paint_bonnet(canvas)
    small = cv2.resize(canvas.pixels, (width, height), interpolation=cv2.INTER_AREA)
    image = cv2.cvtColor(small, cv2.COLOR_RGBA2RGB)
    file_ids = canvas.pixels[1::SUPERSAMPLE, 1::SUPERSAMPLE, 3] - 1
    finish_ground(canvas, image, file_ids, backdrop + things)
    border = max(1, round(min(height, width / 2) / 85))
    file_ids[:border] = file_ids[-border:] = IGNORE
    file_ids[:, :border] = file_ids[:, -border:] = IGNORE
    return develop(image, canvas.mood, rng), file_ids
