"""Picture files -> prediction files."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segkit.data.read import IMAGE_SUFFIXES, read_image
from segkit.files import write_npz, write_png
from segkit.infer.predictor import Predictor
from segkit.report.paint import overlay as blend
from segkit.report.paint import paint_classes
from segkit.types import LabelSpace, UserError

if TYPE_CHECKING:
    from segkit.types import Array

log = logging.getLogger(__name__)

KINDS = INDEX, OVERLAY, COLOR, PROBABILITY = "index", "overlay", "color", "probability"
UNSAFE = r"[^\w-]"  # in a class name that becomes a file name


class Summary(NamedTuple):
    """What came of a set of pictures.

    Attributes:
        done: (name of the picture below the input folder, file with its class indices).
        failed: (name of the picture, why it was left out).
    """

    done: list[tuple[str, Path]]
    failed: list[tuple[str, str]]


def predict_files(
    predictor: Predictor,
    inputs: str | Path,
    output: str | Path,
    *,
    overlay: bool = True,
    color: bool = False,
    probabilities: bool = False,
) -> Summary:
    """Label picture files; one that cannot be read is left out, the rest is done.

    The results keep the folders of the input, below one folder for each kind:
    ``index/a/b.png`` (class indices, with a palette so that viewers show colours; in a
    multilabel task one black and white ``index/a/b/CLASS.png`` for each class),
    ``overlay/a/b.png``, ``color/a/b.png`` and ``probability/a/b.npz`` (float16 ``[K, H, W]``
    under the name ``probabilities``). Two pictures that differ in their suffix alone keep it:
    ``b.jpg.png``, ``b.tif.png``.

    Args:
        predictor: Labels one picture.
        inputs: A picture, a folder (searched to the bottom) or a glob.
        output: Folder of the results; nothing is written elsewhere.
        overlay: Write the picture with class colours laid over it.
        color: Write the class colours alone.
        probabilities: Write the probabilities.

    Returns:
        What was done and what was left out.

    Raises:
        UserError: There are no pictures, a result would overwrite one of them, or ``output``
            cannot be written.
    """
    output = Path(output)
    root, pictures = find_pictures(inputs, output)
    names = result_names([p.relative_to(root) for p in pictures])
    _refuse_overwriting(pictures, names, output)
    summary = Summary([], [])
    for path, name in zip(pictures, names, strict=True):
        shown = path.relative_to(root).as_posix()
        try:
            image = read_image(path)
            _stay_inside(output, name)
        except UserError as error:
            summary.failed.append((shown, str(error)))
            continue
        prediction = predictor.predict(image)
        written = _write_index(output / INDEX / name, prediction, predictor.labels)
        if overlay:
            write_png(_file(output / OVERLAY / name, ".png"), blend(image, prediction, predictor.labels))
        if color:
            write_png(_file(output / COLOR / name, ".png"), paint_classes(prediction, predictor.labels))
        if probabilities:
            values = predictor.probabilities(image).astype(np.float16)
            write_npz(_file(output / PROBABILITY / name, ".npz"), probabilities=values)
        summary.done.append((shown, written))
        log.info("%d of %d: %s", len(summary.done) + len(summary.failed), len(pictures), shown)
    return summary


def find_pictures(inputs: str | Path, output: Path) -> tuple[Path, list[Path]]:
    """Resolve a file, a folder or a glob.

    Args:
        inputs: What the user named.
        output: Folder of the results: earlier ones are no input.

    Returns:
        The folder below which the pictures lie, and the pictures, sorted.

    Raises:
        UserError: Nothing is there, or nothing of it is a picture.
    """
    path = Path(inputs)
    if path.is_file():
        return path.parent, [path]
    root, found = (path, path.rglob("*")) if path.is_dir() else _glob(path)
    results = [r for k in KINDS if not _below(root, r := (output / k).resolve())]
    pictures = sorted(
        p
        for p in found
        if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file() and not any(_below(p, r) for r in results)
    )
    if not pictures:
        kinds = " ".join(s.lstrip(".") for s in IMAGE_SUFFIXES)
        what = "no such file or folder" if not root.exists() else f"no pictures ({kinds})"
        raise UserError(f"input={inputs}: {what}; give a picture, a folder or a glob in quotes")
    return root, pictures


def result_names(pictures: Sequence[Path]) -> list[Path]:
    """Name each picture's results, without a suffix where that is unambiguous.

    Args:
        pictures: Different paths, relative to the input folder.

    Returns:
        As many different paths (also where upper and lower case are the same).
    """
    names = [p.with_suffix("") for p in pictures]
    while True:
        times = Counter(_key(n) for n in names)
        clash = [times[_key(n)] > 1 and n != p for n, p in zip(names, pictures, strict=True)]
        if not any(clash):
            return names
        names = [p if c else n for n, p, c in zip(names, pictures, clash, strict=True)]


def _glob(pattern: Path) -> tuple[Path, Iterable[Path]]:
    """Split a glob at its first wildcard."""
    parts = pattern.parts
    fixed = next((i for i, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts))
    root, rest = Path(*parts[:fixed]), parts[fixed:]
    if not rest or ".." in rest:
        return root, ()
    return root, root.glob(str(Path(*rest)))


def _refuse_overwriting(pictures: Sequence[Path], names: Sequence[Path], output: Path) -> None:
    """An output folder may hold inputs, but no result may take the place of one."""
    inputs = {os.path.realpath(p) for p in pictures}
    for name in names:
        for kind in (INDEX, OVERLAY, COLOR):
            if os.path.realpath(_file(output / kind / name, ".png")) in inputs:
                raise UserError(
                    f"output={output} would overwrite pictures of the input; choose another folder"
                )


def _stay_inside(output: Path, name: Path) -> None:
    """A link among the results must not lead out of the output folder."""
    for kind in KINDS:
        if not _below(output / kind / name, output.resolve()):
            raise UserError(f"{output / kind / name.parent}: a link leads out of {output}; remove it")


def _write_index(path: Path, prediction: Array, labels: LabelSpace) -> Path:
    if prediction.ndim == 3:
        for number, (name, plane) in enumerate(zip(labels.names, prediction, strict=True)):
            file = path / f"{number}_{re.sub(UNSAFE, '_', name)}.png"
            write_png(file, plane * np.uint8(255))
        return path
    file = _file(path, ".png")
    write_png(file, prediction, labels.colors if labels.num_classes <= 255 else None)
    return file


def _file(path: Path, suffix: str) -> Path:
    """Add a suffix; ``Path.with_suffix`` would take a dot in the name for one."""
    return path.with_name(path.name + suffix)


def _below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)


def _key(path: Path) -> str:
    return path.as_posix().casefold()
