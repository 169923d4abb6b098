"""The Oxford-IIIT Pet data set (Parkhi et al. 2012) in torchvision's layout, which can fetch it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segkit.data.fault import Fault
from segkit.data.labels import read_labels
from segkit.data.source import FileSource, existing_folders, root_folder
from segkit.types import LabelSpace, Sample, UserError

NAME, IMAGES, MASKS = "oxford-iiit-pet", "images", "annotations/trimaps"
LISTS = {"train": "annotations/trainval.txt", "test": "annotations/test.txt"}


def pets(
    root: str | Path | None,
    labels: str | Path | Mapping[str, Any] | LabelSpace | None = "pets",
    *,
    download: bool = False,
) -> FileSource:
    """List the images of ``trainval.txt`` (train) and ``test.txt`` (test) with their trimaps.

    A trimap holds 1 for the pet, 2 for what is behind it and 3 for the border between both.
    What is called .jpg is in places a GIF or a PNG; it is read as what it is. The folder's
    ``.mat`` files, and images that no list names, are passed by.

    Args:
        root: The folder that holds (or gets) ``oxford-iiit-pet``, or that folder itself.
        labels: A label space (`read_labels`) for the ids 1, 2 and 3.
        download: Let torchvision fetch the data (800 MB) from its authors, unless it is there.

    Raises:
        UserError: The data is not there, cannot be fetched, or a list is no list. Listed
            files that are missing are left out and told in `FileSource.faults`.
    """
    space = read_labels(labels)
    if download and root is not None:
        _download(Path(root).expanduser())
    base = root_folder(root, f"{NAME}, or should hold it after data.download=true")
    base = base / NAME if (base / NAME).is_dir() else base
    missing = [f for f in (IMAGES, MASKS) if not (base / f).is_dir()]
    missing += [f for f in LISTS.values() if not (base / f).is_file()]
    if missing:
        raise UserError(
            f"{base} does not hold {', '.join(missing)}; it holds {existing_folders(base)}; "
            "set data.root to the folder around oxford-iiit-pet, or data.download=true"
        )
    there = {p.relative_to(base).as_posix() for f in (IMAGES, MASKS) for p in (base / f).iterdir()}
    samples: list[Sample] = []
    absent: list[str] = []
    for split, file in LISTS.items():
        for name in _names(base / file):
            files = (f"{IMAGES}/{name}.jpg", f"{MASKS}/{name}.png")
            absent += [str(base / f) for f in files if f not in there]
            if there.issuperset(files):
                samples.append(Sample(name, base / files[0], base / files[1], split=split))
    if not samples:
        raise UserError(f"{base}: no listed image has its trimap (missing: {absent[0]}); unpack it anew")
    return FileSource(samples, space, _faults(absent))


def _download(root: Path) -> None:
    """Fetch the data unless it is there, with torchvision's checksums."""
    if (root / NAME / IMAGES).is_dir() and (root / NAME / "annotations").is_dir():
        return
    from torchvision.datasets import OxfordIIITPet  # two seconds that nobody else waits for

    try:
        OxfordIIITPet(root, download=True)
    except (OSError, RuntimeError, EOFError) as error:  # no network, a wrong checksum, a full disk
        cause = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"data.download=true: the pets cannot be fetched: {cause}; unpack images.tar.gz and "
            f"annotations.tar.gz of the data set's own page into {root / NAME}"
        ) from error


def _names(file: Path) -> list[str]:
    """First column of lines such as ``Abyssinian_100 1 1 1`` (name, class, species, breed)."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as a list of names: {error}") from error
    names = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise UserError(f"{file} is empty; it must name one image per line")
    return names


def _faults(absent: list[str]) -> list[Fault]:
    message = f"{len(absent)} listed files do not exist"
    return [Fault("unpaired", message, "unpack the data set anew", tuple(absent))] if absent else []
