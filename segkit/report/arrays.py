"""What was counted: whether its arrays can be what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from segkit.types import Array


def check_counts(found: Mapping[str, Array]) -> None:
    """Look whether what was counted can be what it says.

    Args:
        found: Arrays by name, as `segkit.report.evaluation.write_evaluation` keeps them.

    Raises:
        KeyError: One is missing.
        ValueError: Arrays do not fit each other, or hold something else than they should.
    """
    classes, images = len(_texts(found, "classes")), len(_texts(found, "names"))
    shapes: dict[str, tuple[int, ...]] = {
        "counts": (images, classes, 3),
        "index": (images,),
        "colors": (classes, 3),
        "confusion": (classes, classes),
        "cells": (len(np.atleast_1d(found.get("cells", ()))), 4),
    }
    for name, shape in shapes.items():
        if name in ("counts", "index") or name in found:
            _check(name, found[name], shape)
    if "groups" in found and _texts(found, "groups").shape != (images,):
        raise ValueError("groups are not as many as names")
    for name in ("classes", "names"):
        if len(set(found[name].tolist())) < len(found[name]):
            raise ValueError(f"{name} hold one twice")
    if not classes or not images:
        raise ValueError("nothing is in it")
    _check_values(found, classes)


def _texts(found: Mapping[str, Array], name: str) -> Array:
    values = found[name]
    if values.ndim != 1 or (values.dtype.kind != "U" and values.size):
        raise ValueError(f"{name} is no row of texts")
    return values


def _check(name: str, values: Array, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} has the shape {list(values.shape)}, not {list(shape)}")
    if values.dtype.kind not in "iu":
        raise ValueError(f"{name} holds no whole numbers")


def _check_values(found: Mapping[str, Any], classes: int) -> None:
    """Numbers that are none of pixels, classes, images or colours."""
    index = found["index"]
    if index.min() < 0 or (np.diff(index.astype(np.int64)) <= 0).any():
        raise ValueError("index is not ascending")
    for name in ("counts", "confusion", "cells"):
        values = found.get(name)
        # So far that sums over all images stay inside int64.
        if values is not None and values.size and not 0 <= values.min() <= values.max() < 2**48:
            raise ValueError(f"{name} holds numbers that count no pixels")
    cells = found.get("cells")
    if cells is None or not cells.size:
        return
    if cells[:, 1:3].max() >= classes:
        raise ValueError("cells hold classes that are not there")
    if not np.isin(cells[:, 0], index).all():
        raise ValueError("cells hold images that are not there")
