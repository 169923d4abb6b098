"""Samples that lie in files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.data.diagnose import explain
from segkit.data.fault import Fault
from segkit.data.read import image_size, read_image, read_mask
from segkit.types import LabelSpace, Sample, Split, UserError

# Folder names and CSV values that mean an official split (compared in lower case).
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


class FileSource:
    """Reads images and masks from disk: a `segkit.types.Source`.

    Data whose masks are no files of indices or colours (polygons, one file per class)
    derives from this and says in `read_target`, `target_size` and `mask_files` how its
    targets are made. Counts are kept until one of these files, an option of the source (an
    attribute that is a number, a text or a path) or its code changes; where targets depend on
    more, the source has a ``signature(sample)`` that tells all of it in a text.

    Args:
        samples: What there is; names must be unique.
        labels: What the numbers in the masks mean.
        faults: What was wrong when the files were listed; training refuses them.

    Raises:
        UserError: Two samples have one name.
    """

    indexed = True  # a sample has one mask file, whose values `LabelSpace.encode` maps

    def __init__(self, samples: Sequence[Sample], labels: LabelSpace, faults: Sequence[Fault] = ()) -> None:
        self.samples, self.labels, self.faults = list(samples), labels, list(faults)
        names = Counter(s.name for s in samples)
        if twice := [name for name, count in names.items() if count > 1]:
            one, other = [s.image for s in samples if s.name == twice[0]][:2]
            raise UserError(f"two images are both called '{twice[0]}': {one} and {other}; rename one of them")

    def read(self, sample: Sample) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        """Return ``image`` uint8 RGB ``[H, W, 3]`` and its target (`LabelSpace.encode`).

        Raises:
            UserError: A file cannot be read, the sizes differ, or the mask holds an id that
                the label space does not know.
        """
        image = read_image(sample.image)
        target = self.read_target(sample)
        if target is not None and target.shape[:2] != image.shape[:2]:
            raise UserError(size_fault(sample, image.shape[:2], target.shape[:2]))
        return image, target

    def read_target(self, sample: Sample) -> NDArray[Any] | None:
        """Return the target alone: class counts do not need the image.

        Raises:
            UserError: As in `read`, except for differing sizes.
        """
        if sample.mask is None:
            return None
        try:
            return self.labels.encode(read_mask(sample.mask, self.labels.masks))
        except UserError as error:
            raise UserError(explain(sample.mask, self.labels, error)) from error

    def target_size(self, sample: Sample) -> tuple[int, int] | None:
        """Height and width of the target, from the header of its file; ``None`` without a mask.

        Raises:
            UserError: The file is missing or no picture.
        """
        return None if sample.mask is None else image_size(sample.mask)

    def mask_files(self, sample: Sample) -> tuple[Path, ...]:
        """Every file that the target is made of: a change in one of them changes the target."""
        return () if sample.mask is None else (sample.mask,)


def root_folder(root: str | Path | None, holds: str) -> Path:
    """Return ``data.root`` as a path.

    Args:
        root: What the user gave.
        holds: What the folder should hold, for the message.

    Raises:
        UserError: It is not set or no folder.
    """
    if root is None or not str(root):
        raise UserError(f"data.root is not set: give the folder that holds {holds}")
    path = Path(root).expanduser()
    if not path.is_dir():
        raise UserError(f"data.root={root} is no folder; give the folder that holds {holds}")
    return path


def existing_folders(folder: Path) -> str:
    """List the folders in a folder, for messages."""
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return ", ".join([*names[:8], *(["..."] if len(names) > 8 else [])]) or "no folder"


def size_fault(sample: Sample, image: Sequence[int], mask: Sequence[int]) -> str:
    """Say that an image and its mask differ in size (each height, width)."""
    text = f"image {sample.image} is {image[1]}x{image[0]} but its mask {sample.mask} is {mask[1]}x{mask[0]}"
    if tuple(image) == tuple(mask)[::-1]:
        return f"{text}: one lies on its side; EXIF orientation is applied, so turn the mask"
    return f"{text}; give each image a mask of its own size"
