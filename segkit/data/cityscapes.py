"""Cityscapes (Cordts et al. 2016) as it is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segkit.data.folder import Found, find, pair, unpaired
from segkit.data.labels import read_labels
from segkit.data.source import FileSource, existing_folders, root_folder
from segkit.types import SPLITS, LabelSpace, Sample, UserError

IMAGES, MASKS = "leftImg8bit", "gtFine"


def cityscapes(
    root: str | Path | None,
    labels: str | Path | Mapping[str, Any] | LabelSpace | None = "cityscapes19",
    *,
    official_test: bool = False,
    mask_suffix: str = "_gtFine_labelIds",
) -> FileSource:
    """List ``leftImg8bit/SPLIT/CITY/*_leftImg8bit.png`` with the masks of ``gtFine``.

    The group of a sample is its city.

    Args:
        root: Folder with ``leftImg8bit`` and ``gtFine``.
        labels: A label space (`read_labels`) for labelIds.
        official_test: List the test part as well, as far as it has masks. The public masks
            of the test part are dummies that hold void alone, so numbers made with them mean
            nothing; leave this off unless the real ones are there.
        mask_suffix: What mask names end with; another one than labelIds needs other ``labels``.

    Raises:
        UserError: A folder is missing, or no image of a part has a mask. Single files without
            a partner are left out and told in `FileSource.faults`.
    """
    space = read_labels(labels)
    base = root_folder(root, f"Cityscapes' folders {IMAGES} and {MASKS}")
    samples = []
    pictures: Found = {}
    targets: Found = {}
    for split in SPLITS:
        folders = [base / name / split for name in (IMAGES, MASKS)]
        missing = [str(f.relative_to(base)) for f in folders if not f.is_dir()]
        if split == "test" and (missing or not official_test):
            continue
        if missing:
            raise UserError(
                f"data.root={root} does not hold {' and '.join(missing)}; it holds {existing_folders(base)}"
            )
        images = find(base, f"{IMAGES}/{split}/*/*", "images", (".png",), suffix=f"_{IMAGES}")
        masks = find(base, f"{MASKS}/{split}/*/*", "masks", (".png",), suffix=mask_suffix)
        if split == "test":
            images = {name: path for name, path in images.items() if name in masks}
        samples += [Sample(n, image, mask, n.split("/")[0], split) for n, image, mask in pair(images, masks)]
        pictures |= {f"{split}/{name}": path for name, path in images.items()}
        targets |= {f"{split}/{name}": path for name, path in masks.items()}
    return FileSource(samples, space, unpaired(pictures, targets))
