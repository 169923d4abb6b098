"""From a sample as it was read to a training sample: fit to size, then transform."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segkit.augment.crop import Fit, RandomCrop
from segkit.augment.fit import cut
from segkit.types import UserError

if TYPE_CHECKING:
    from segkit.augment.transform import Chain
    from segkit.types import Array


class Augment:
    """Random changes of a sample that leave its labels right.

    A pure function: the same arguments give the same result in any order and in any
    process, and no global random state is read or changed.

    Args:
        transforms: Name of a transform of albumentations -> its arguments (``{p: 0.5}``);
            ``None`` leaves it out. They run in this order, after the picture has its size.
            Geometric ones move image and target together and fill the target with the
            ignore index; the others change the image only.
        scale: (smallest, largest) random magnification, drawn uniformly on a logarithmic
            axis; ``(1, 1)`` for none. Below 1 the picture is surrounded by ignored pixels.
        crop_class_prob: Probability, 0..1, that the visible part is placed around a random
            pixel of a class drawn uniformly among those that the picture shows, so that
            rare classes are seen more often.
        crop_classes: Class indices that are drawn from; ``None``: all.
        crop_max_ratio: Largest share, above 0 to 1, of the valid pixels that one class may
            fill; up to ten crops are tried.

    Raises:
        UserError: An argument cannot be used; the message names it and the nearest right one.
    """

    def __init__(
        self,
        transforms: Mapping[str, Mapping[str, Any] | None],
        scale: Sequence[float] = (1.0, 1.0),
        crop_class_prob: float = 0.0,
        crop_classes: Sequence[int] | None = None,
        crop_max_ratio: float = 1.0,
    ) -> None:
        self.transforms = {k: v for k, v in transforms.items() if v is not None}
        self.crop = RandomCrop(scale, crop_class_prob, crop_classes, crop_max_ratio)
        self._chains: dict[int, Chain] = {}
        if self.transforms:
            self._chain(255)  # so that a mistake is told now and not in the first batch

    def __call__(
        self,
        image: Array,
        target: Array,
        *,
        size: tuple[int, int],
        fit: Fit,
        ignore_index: int,
        seed: int,
        focus: int | None = None,
    ) -> tuple[Array, Array]:
        """Fit a sample to ``size`` and transform it.

        Args:
            image: ``[H, W, 3]`` uint8 RGB.
            target: ``[H, W]`` class indices or ``[H, W, K]`` zeros and ones, uint8 or uint16.
            size: (height, width) of the result, in pixels.
            fit: ``stretch``: the whole picture, whatever its proportions. ``crop``: a random
                part of it in its own proportions.
            ignore_index: Value of target pixels that count nowhere.
            seed: Not negative; the only source of randomness.
            focus: A class index that the result should show: where a part of the picture is
                taken, it is placed around a pixel of it (before ``crop_class_prob``).

        Returns:
            Image ``[*size, 3]`` and target ``[*size]`` or ``[*size, K]`` of the given types;
            contiguous new arrays.

        Raises:
            UserError: ``fit`` is unknown, or a transform does not suit this size.
            TypeError: The image is not uint8, or the target neither uint8 nor uint16.
        """
        if fit not in ("stretch", "crop"):
            raise UserError(f"data.fit={fit}: give stretch or crop")
        if image.dtype != np.uint8 or target.dtype not in (np.uint8, np.uint16):
            raise TypeError(f"image {image.dtype}, target {target.dtype}: give uint8, and uint8 or uint16")
        rng = np.random.default_rng(seed)
        window = self.crop.window(target, size, fit, ignore_index, rng, focus)
        image, target = cut(image, target, window, size, ignore_index)
        if not self.transforms:
            return image, target
        return self._chain(ignore_index)(image, target, rng)

    def only(self, *names: str) -> Augment:
        """The same augmentation with these of its transforms alone, for measuring."""
        made = copy.copy(self)
        made.transforms = {name: self.transforms[name] for name in names}
        made._chains = {}
        return made

    @property
    def cuts_holes(self) -> bool:
        """Whether a transform hides parts of the picture on purpose, while the target stays as it is."""
        if not self.transforms:
            return False
        known = [inspect.signature(type(step)).parameters for step in self._chain(255).steps.values()]
        keys = ("fill_mask", "mask_drop_value")  # without a value by default: the mask is left alone
        return any(key in k and k[key].default is None for k in known for key in keys)

    def _chain(self, ignore_index: int) -> Chain:
        if ignore_index not in self._chains:
            from segkit.augment.transform import Chain  # albumentations takes seconds to import

            self._chains[ignore_index] = Chain(self.transforms, ignore_index)
        return self._chains[ignore_index]
