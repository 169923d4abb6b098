"""CamVid (Brostow et al. 2008, 2009) in the layout of SegNet's tutorial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segkit.data.folder import Found, find, pair, unpaired
from segkit.data.labels import read_labels
from segkit.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES
from segkit.data.source import FileSource, existing_folders, root_folder
from segkit.types import SPLITS, LabelSpace, Sample, UserError


def camvid(
    root: str | Path | None, labels: str | Path | Mapping[str, Any] | LabelSpace | None = "camvid11"
) -> FileSource:
    """List CamVid: images in ``train``, ``val``, ``test``, masks in ``trainannot`` and so on.

    The group of a sample is its sequence, the name's part before the first underscore. The
    official splits cut through sequences: validation and test hold some that training holds too.

    Args:
        root: Folder with these six folders; ``val`` and ``test`` may be missing.
        labels: A label space (`read_labels`) for the ids 0..11.

    Raises:
        UserError: A folder is missing, or no image of a part has a mask. Single files without
            a partner are left out and told in `FileSource.faults`.
    """
    space = read_labels(labels)
    base = root_folder(root, "CamVid's folders train, trainannot, val, valannot, test and testannot")
    samples = []
    pictures: Found = {}
    targets: Found = {}
    for split in SPLITS:
        present = [name for name in (split, f"{split}annot") if (base / name).is_dir()]
        if not present and split != "train":
            continue
        if len(present) < 2:
            raise UserError(
                f"data.root={root} must hold the folders {split} and {split}annot; "
                f"it holds {existing_folders(base)}"
            )
        images = find(base, split, "images", IMAGE_SUFFIXES)
        masks = find(base, f"{split}annot", "masks", MASK_SUFFIXES)
        samples += [Sample(n, image, mask, n.split("_")[0], split) for n, image, mask in pair(images, masks)]
        pictures |= {f"{split}/{name}": path for name, path in images.items()}
        targets |= {f"{split}/{name}": path for name, path in masks.items()}
    return FileSource(samples, space, unpaired(pictures, targets))
