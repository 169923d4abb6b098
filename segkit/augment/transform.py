"""The one door to albumentations: what it offers, what of it is safe for targets, how it is run.

Written for albumentations 2.0.8. What its defaults would do, and what happens here instead:

- it asks the network for a newer version when imported; not here,
- it fills the target with class 0 beyond the border; here with the ignore index,
- it only warns about misspelt arguments and drops them; here they are errors,
- ``Compose.set_random_seed`` gives every transform the same numbers, so that two flips
  of probability 0.5 always come together; here all transforms draw from one stream,
- it fills only the first channel of a ``[H, W, K]`` target in several transforms; here
  every channel is a target of its own.

Warps (affine, perspective, elastic...) use ``INTER_NEAREST``: there OpenCV rounds to the
nearest pixel centre, and ``INTER_NEAREST_EXACT`` exists for resizing only.
"""

from __future__ import annotations

import difflib
import inspect
import os
import random
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from pydantic import ValidationError

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations

from segkit.types import UserError

if TYPE_CHECKING:
    from segkit.types import Array

_SIZE = "changes the size; use data.size, data.fit and augment.scale"
_DATA = "needs data that a sample does not carry"
_TYPE = "changes the type or the channels; the image stays uint8 RGB, the network normalises it"
_REFUSED = {
    "AtLeastOneBBoxRandomCrop": _SIZE,
    "BBoxSafeRandomCrop": _SIZE,
    "CenterCrop": _SIZE,
    "ConstrainedCoarseDropout": _DATA,
    "Crop": _SIZE,
    "CropAndPad": _SIZE,
    "CropNonEmptyMaskIfExists": _SIZE,
    "FDA": _DATA,
    "FrequencyMasking": "is an older name; use XYMasking",
    "FromFloat": _TYPE,
    "GridElasticDeform": "leaves gaps of class 0 in the target; use ElasticTransform",
    "HistogramMatching": _DATA,
    "Lambda": _DATA,
    "LongestMaxSize": _SIZE,
    "MaskDropout": "rewrites the target; use CoarseDropout",
    "Morphological": "grows and shrinks classes in the order of their indices",
    "Mosaic": _DATA,
    "Normalize": _TYPE,
    "OverlayElements": _DATA,
    "Pad": _SIZE,
    "PadIfNeeded": _SIZE,
    "PiecewiseAffine": "is very slow; use ElasticTransform",
    "PixelDistributionAdaptation": _DATA,
    "RandomCrop": _SIZE,
    "RandomCropFromBorders": _SIZE,
    "RandomCropNearBBox": _SIZE,
    "RandomResizedCrop": _SIZE,
    "RandomScale": _SIZE,
    "RandomSizedBBoxSafeCrop": _SIZE,
    "RandomSizedCrop": _SIZE,
    "Resize": _SIZE,
    "ShiftScaleRotate": "is an older name; use Affine",
    "SmallestMaxSize": _SIZE,
    "TextImage": _DATA,
    "TimeMasking": "is an older name; use XYMasking",
    "TimeReverse": "is an older name; use HorizontalFlip",
    "ToFloat": _TYPE,
    "ToRGB": _TYPE,
    "ToTensor3D": _TYPE,
    "ToTensorV2": _TYPE,
}
_SQUARE = {"D4", "RandomRotate90", "SquareSymmetry", "Transpose"}
_KEPT = {
    ("Affine", "fit_output"): False,
    ("Perspective", "keep_size"): True,
    ("Rotate", "crop_border"): False,
    ("ToGray", "num_output_channels"): 3,
}
_OURS = {
    "fill_mask": "the target is filled with the ignore index",
    "mask_drop_value": "the target is left as it is",
    "mask_interpolation": "the target takes the nearest pixel",
}


class Chain:
    """Transforms that run one after the other.

    Args:
        transforms: Name of a class of albumentations -> its arguments; ``None`` leaves it out.
        ignore_index: What the target is filled with where a transform shows what lies
            beyond the border.

    Raises:
        UserError: A transform or an argument does not exist, is refused, or holds a value
            that albumentations does not take.
    """

    def __init__(self, transforms: Mapping[str, Mapping[str, Any] | None], ignore_index: int) -> None:
        self.steps = {
            name: _make(name, arguments, ignore_index)
            for name, arguments in transforms.items()
            if arguments is not None
        }

    def __call__(self, image: Array, target: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Run the transforms.

        Args:
            image: ``[H, W, 3]`` uint8; may be overwritten.
            target: ``[H, W]`` or ``[H, W, K]``, uint8 or uint16; may be overwritten.
            rng: Where the randomness comes from.

        Returns:
            Image and target, of the same shapes and types.

        Raises:
            UserError: A transform changed the size (90° rotations need a square) or the type.
        """
        plain = random.Random(int(rng.integers(2**63)))  # albumentations draws from both
        key, mask = ("mask", target) if target.ndim == 2 else ("masks", _planes_first(target))
        for name, step in self.steps.items():
            if name in _SQUARE and step.p > 0 and image.shape[0] != image.shape[1]:
                shown = f"[{image.shape[0]}, {image.shape[1]}]"
                raise UserError(
                    f"augment.transforms.{name} needs a square, data.size is {shown}: set "
                    f"augment.transforms.{name}.p=0, or use HorizontalFlip and VerticalFlip"
                )
            step.set_random_state(rng, plain)
            out = step(**{"image": image, key: mask})
            _check_unchanged(name, image, out["image"])
            image, mask = out["image"], out[key]
        return image, mask if target.ndim == 2 else np.ascontiguousarray(np.moveaxis(mask, 0, 2))


def _planes_first(target: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(target, 2, 0))


def _check_unchanged(name: str, before: Array, after: Array) -> None:
    if after.shape != before.shape or after.dtype != before.dtype:
        raise UserError(
            f"augment.transforms.{name} makes {after.dtype} {list(after.shape)} of {before.dtype} "
            f"{list(before.shape)}: use a transform that keeps size and type"
        )


def offered() -> list[str]:
    """Names of the transforms that may stand in ``augment.transforms``, sorted."""
    classes = vars(albumentations).items()
    kinds = (albumentations.DualTransform, albumentations.ImageOnlyTransform)
    bases = (albumentations.BasicTransform, albumentations.Transform3D, *kinds)
    found = {name for name, c in classes if inspect.isclass(c) and issubclass(c, kinds) and c not in bases}
    flat = {n for n in found if not issubclass(getattr(albumentations, n), albumentations.Transform3D)}
    return sorted(flat - set(_REFUSED))


def _make(name: str, arguments: Mapping[str, Any], ignore_index: int) -> Any:
    where = f"augment.transforms.{name}"
    if name in _REFUSED:
        raise UserError(f"{where} {_REFUSED[name]}")
    if name not in (names := offered()):
        raise UserError(f"{where}: albumentations offers no such transform{_nearest(name, names)}")
    if not isinstance(arguments, Mapping):
        raise UserError(
            f"{where}={arguments!r}: give its arguments, such as {{p: 0.5}}, or null to leave it out"
        )
    kind = getattr(albumentations, name)
    known = inspect.signature(kind).parameters
    for key, value in arguments.items():
        if key in _OURS:
            raise UserError(f"{where}.{key} cannot be set: {_OURS[key]}; leave it out")
        if key not in known:
            usable = [k for k in known if k not in _OURS]
            raise UserError(f"{where}.{key}: no such argument{_nearest(key, usable)}")
        if value != (kept := _KEPT.get((name, key), value)):
            raise UserError(f"{where}.{key}={value} would change the size of the image; set {kept}")
    return _construct(where, kind, {**arguments, **_for_target(kind, arguments, ignore_index)})


def _for_target(kind: Any, arguments: Mapping[str, Any], ignore_index: int) -> dict[str, Any]:
    """Arguments that keep a target exact."""
    known = inspect.signature(kind).parameters
    ours: dict[str, Any] = {}
    if "mask_interpolation" in known:
        ours["mask_interpolation"] = cv2.INTER_NEAREST
    if "fill_mask" in known and known["fill_mask"].default is not None:  # None: holes in the image only
        ours["fill_mask"] = float(ignore_index)
        ours["border_mode"] = arguments.get("border_mode", cv2.BORDER_CONSTANT)
        fill = arguments.get("fill", 0)
        ours["fill"] = [fill] * 3 if isinstance(fill, int | float) else fill  # OpenCV takes 5 for (5, 0, 0)
    return ours


def _construct(where: str, kind: Any, arguments: Mapping[str, Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return kind(**arguments)
    except Exception as error:
        raise UserError(_one_line(where, error)) from error


def _one_line(where: str, error: Exception) -> str:
    """Say what albumentations refuses; its own message has a line per possible type."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return f"{where}: {' '.join(str(error).split())}"
    first = cause.errors()[0]
    key = f".{first['loc'][0]}" if first["loc"] else ""
    given = f"={first['input']!r}" if first["loc"] else ""
    return f"{where}{key}{given}: {' '.join(first['msg'].split())}"


def _nearest(word: str, words: list[str]) -> str:
    lower = {w.lower(): w for w in words}
    found = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    return f"; did you mean {lower[found[0]]}?" if found else f"; choose from {', '.join(words)}"
