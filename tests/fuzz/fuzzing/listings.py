"""Folders of data sets whose files have odd names, or are doubled, missing, or elsewhere."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from fuzzing.reader import Make, Read, Reader
from fuzzing.tables import first, pictures
from segkit.data.ade20k import ade20k
from segkit.data.camvid import camvid
from segkit.data.cityscapes import cityscapes
from segkit.data.folder import folder
from segkit.data.planes import planes
from segkit.types import Source

LISTINGS: dict[str, tuple[Callable[[Path], Source], list[str]]] = {
    "ade20k": (
        ade20k,
        [
            f"{k}/{p}/{p}_{i}.{s}"
            for k, s in (("images", "jpg"), ("annotations", "png"))
            for p in ("training", "validation")
            for i in "12"
        ],
    ),
    "camvid": (
        camvid,
        [f"{p}{k}/{p}TP_{i}.png" for p in ("train", "val") for k in ("", "annot") for i in "12"],
    ),
    "cityscapes": (
        cityscapes,
        [
            f"{k}/{p}/x/{p}_{i}_{s}.png"
            for k, s in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds"))
            for p in ("train", "val")
            for i in "12"
        ],
    ),
    "folder": (
        lambda home: folder(home, {"names": ["x", "y"]}, group="^([^_]+)_"),
        [f"{k}/{p}/a_{i}.png" for k in ("images", "masks") for p in ("train", "val") for i in "12"],
    ),
    "planes": (
        planes,
        [*(f"images/{i}.png" for i in "12"), *(f"masks/{c}/{i}.png" for c in "ab" for i in "12")],
    ),
}


def _names_with(names: Sequence[str]) -> Make:
    """Names of files, of which some are odd, doubled, missing, or lie elsewhere."""

    def make(rng: random.Random, _: Sequence[bytes]) -> bytes:
        found = list(names)
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(len(found)) if found else 0
            name = found.pop(at) if found else "x.png"
            stem, dot, suffix = name.rpartition(".")
            odd = (
                "ü",
                "\u202e",
                " ",
                "\n",
                "%s",
                "'",
                "a" * 200,
                ".",
                "..",
                "~",
                "$x",
                "\udcff",
                "{class}",
                "*",
                "[",
            )
            swaps = (
                f"{stem}{rng.choice(odd)}{dot}{suffix}",
                f"{stem}.{rng.choice(('PNG', 'jpeg', 'txt', 'tif', ''))}",
                f"{rng.choice(odd)}/{name}",
                name.replace("/", f"{rng.choice(odd)}/", 1),
                f"{name}/{name}",
                name.upper(),
                name.replace("/", "/deep/", 1),
            )
            found += rng.choice(([], [rng.choice(swaps)], [name, rng.choice(swaps)]))
        return json.dumps(found).encode()

    return make


def _listing(name: str) -> Callable[[Path], Read]:
    make, _ = LISTINGS[name]

    def prepare(home: Path) -> Read:
        pictures(home, "mask/picture.png")
        picture, root = (home / "mask/picture.png").read_bytes(), home / "root"

        def read(data: bytes) -> None:
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            for file in json.loads(data):
                path = root / file
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(picture)
                except OSError:  # a file and a folder of one name, a name that is too long
                    continue
            first(make(root))

        return read

    return prepare


LISTING_READERS = [
    Reader(f"names {name}", [json.dumps(files).encode()], _listing(name), (_names_with(files),))
    for name, (_, files) in LISTINGS.items()
]
