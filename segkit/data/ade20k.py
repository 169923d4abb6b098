"""ADE20K (Zhou et al. 2017) in the layout of the MIT scene parsing benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segkit.data.folder import Found, find, pair, unpaired
from segkit.data.labels import read_labels
from segkit.data.source import SPLIT_NAMES, FileSource, existing_folders, root_folder
from segkit.types import LabelSpace, Sample, UserError

NAME, IMAGES, MASKS = "ADEChallengeData2016", "images", "annotations"


def ade20k(
    root: str | Path | None, labels: str | Path | Mapping[str, Any] | LabelSpace | None = "ade150"
) -> FileSource:
    """List ``images/{training,validation}`` with the masks of ``annotations``.

    Masks hold 0 for whatever belongs to none of the 150 classes, and 1..150. (Many tools
    subtract one after reading; here the label space says which id means which class.) The
    test images of the benchmark have no public masks and are not listed.

    Args:
        root: ``ADEChallengeData2016``, or the folder around it.
        labels: A label space (`read_labels`) for the ids 0..150.

    Raises:
        UserError: A folder is missing, or no image of a part has a mask. Single files
            without a partner are left out and told in `FileSource.faults`.
    """
    space = read_labels(labels)
    base = root_folder(root, f"{NAME} with its folders {IMAGES} and {MASKS}")
    base = base / NAME if (base / NAME).is_dir() else base
    samples: list[Sample] = []
    pictures: Found = {}
    targets: Found = {}
    for part in ("training", "validation"):
        missing = [f"{f}/{part}" for f in (IMAGES, MASKS) if not (base / f / part).is_dir()]
        if missing:
            raise UserError(
                f"{base} does not hold {' and '.join(missing)}; it holds {existing_folders(base)}; "
                f"set data.root to {NAME}"
            )
        images = find(base, f"{IMAGES}/{part}", "images", (".jpg",))
        masks = find(base, f"{MASKS}/{part}", "masks", (".png",))
        samples += [Sample(n, image, mask, split=SPLIT_NAMES[part]) for n, image, mask in pair(images, masks)]
        pictures |= {f"{part}/{name}": path for name, path in images.items()}
        targets |= {f"{part}/{name}": path for name, path in masks.items()}
    return FileSource(samples, space, unpaired(pictures, targets))
