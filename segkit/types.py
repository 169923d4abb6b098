"""The nouns of segkit: what travels between disk, network and numbers.

This file imports neither torch nor Lightning, so that every command can check what
it was given before anything heavy is loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from segkit.error import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[Any]

__all__ = ["SPLITS", "Batch", "LabelSpace", "Sample", "Source", "Split", "Task", "UserError"]

Task = Literal["multiclass", "binary", "multilabel"]
Masks = Literal["index", "color"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class Sample(NamedTuple):
    """One image and its mask, as they lie on disk (or are generated).

    Attributes:
        name: Unique in its source and safe as a relative path without a suffix
            (``aachen/aachen_000000_000019``); outputs are named after it.
        image: Path of the image; empty for a generated sample.
        mask: Path of the mask; ``None`` where there is none.
        group: Samples of one group (city, sequence, patient) stay in one split.
        split: The official split, or ``""`` where the data has none.
    """

    name: str
    image: Path
    mask: Path | None = None
    group: str = ""
    split: str = ""


class Batch(NamedTuple):
    """Samples ready for the network.

    Attributes:
        image: ``[N, 3, H, W]`` uint8 RGB, 0..255, not normalised.
        target: ``[N, H', W']`` class indices (uint8, or int32 for 255 classes and more),
            or ``[N, K, H', W']`` zeros and ones in a multilabel task; ``ignore_index``
            marks pixels that count nowhere. In training ``H', W' == H, W``; in evaluation
            they are the native size of the mask.
        index: ``[N]`` int64, position of each sample in its split.
        names: The N sample names.
        image_size: (height, width) of each image inside ``image``: a batch of pictures of
            several sizes is padded at the bottom and the right.
        target_size: The same for ``target``.
        window: ``[T]`` float64, total weight of each loss term over all micro-batches of
            the accumulation window (and all processes) that this batch belongs to;
            ``None`` outside training.
        skipped: Name of each sample that is left out because it could not be read, and why
            (``data.on_error=skip``). N may be 0: then ``image`` and ``target`` are empty.
    """

    image: Tensor
    target: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody misses
    names: tuple[str, ...]
    image_size: tuple[tuple[int, int], ...]
    target_size: tuple[tuple[int, int], ...]
    window: Tensor | None = None
    skipped: tuple[tuple[str, str], ...] = ()


class Source(Protocol):
    """A set of samples that can be read: the contract of everything under ``data=``."""

    labels: LabelSpace
    samples: Sequence[Sample]

    def read(self, sample: Sample) -> tuple[Array, Array | None]:
        """Return ``image`` uint8 RGB ``[H, W, 3]`` and ``target`` as `LabelSpace.encode` makes it.

        ``target`` is ``None`` for a sample without a mask. Raises `UserError` that names
        the file when it cannot be read or holds an id that the label space does not know.
        """
        ...


@dataclass(frozen=True)
class LabelSpace:
    """What the numbers in a mask mean.

    Attributes:
        names: The K class names; a class index is a position in this tuple.
        colors: One RGB triple (0..255) per class.
        ids: Per class the values in mask files (*file ids*) that mean it. Several ids are
            merged into one class. In a multilabel task one id may stand in several classes.
        ignore: File ids that are left out of loss and numbers.
        rest: What an id that is listed nowhere means: ``"error"``, ``"ignore"``, the name of
            a class, or in a multilabel task ``"none"`` (no class is present).
        task: ``multiclass`` (K logits, softmax), ``binary`` (names are background and
            foreground; one logit, sigmoid) or ``multilabel`` (K logits, K sigmoids).
        parents: Per class the name of its category, or empty where there is no coarser level.
        masks: What mask files hold: ``index`` (numbers) or ``color`` (RGB). A colour's file id
            is ``65536 * red + 256 * green + blue``.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    ids: tuple[tuple[int, ...], ...]
    ignore: tuple[int, ...] = (255,)
    rest: str = "error"
    task: Task = "multiclass"
    parents: tuple[str, ...] = ()
    masks: Masks = "index"

    @property
    def num_classes(self) -> int:
        """K: how many classes are measured (2 in a binary task)."""
        return len(self.names)

    @property
    def num_logits(self) -> int:
        """How many channels the network gives: 1 in a binary task, otherwise K."""
        return 1 if self.task == "binary" else len(self.names)

    @property
    def ignore_index(self) -> int:
        """Value of ignored pixels in a target: 255, or 65535 where 255 is a class index."""
        return 255 if self.num_classes <= 255 else 65535

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Smallest type that holds every class index and `ignore_index`."""
        return np.uint8 if self.num_classes <= 255 else np.uint16

    def id_text(self, file_id: int) -> str:
        """A file id for a message: a number, or a colour as (red, green, blue)."""
        if self.masks == "index":
            return str(file_id)
        return f"({file_id >> 16}, {file_id >> 8 & 255}, {file_id & 255})"

    def unknown(self, file_ids: Array) -> dict[int, int]:
        """Ids in a mask that this label space does not know, with their pixel counts."""
        if self.rest != "error":
            return {}
        values, counts = np.unique(file_ids, return_counts=True)
        known = {i for ids in self.ids for i in ids} | set(self.ignore)
        return {int(v): int(c) for v, c in zip(values, counts, strict=True) if int(v) not in known}

    def encode(self, file_ids: Array) -> Array:
        """Turn file ids into a target.

        Args:
            file_ids: ``[H, W]`` unsigned integers as read from the mask file.

        Returns:
            ``[H, W]`` class indices of type `dtype`, or ``[H, W, K]`` zeros and ones in a
            multilabel task; ignored pixels are `ignore_index` (in every channel).

        Raises:
            UserError: An id is known neither as a class nor as ignored.
        """
        table, listed = _table(self)
        rows, top = file_ids, int(file_ids.max(initial=0))
        if top >= len(table):  # instance ids can reach 2^32: no table is that long
            rows = np.minimum(file_ids, len(table) - 1)
        # Looking at every pixel is needed only where some id below the largest is not listed.
        if self.rest == "error" and not listed[: top + 1].all() and not listed.take(rows).all():
            first = list(self.unknown(file_ids).items())[:5]
            shown = ", ".join(f"{self.id_text(i)} ({n} pixels)" for i, n in first)
            raise UserError(f"mask id not in the label space: {shown}")
        return table.take(rows, axis=0)

    def predict(self, logits: Tensor, threshold: float = 0.5) -> Tensor:
        """Turn logits into hard labels.

        Args:
            logits: ``[N, C, H, W]`` with C = `num_logits`.
            threshold: Probability from which on a sigmoid output counts as present;
                unused in a multiclass task.

        Returns:
            ``[N, H, W]`` int64 class indices, or ``[N, K, H, W]`` zeros and ones (int64) in
            a multilabel task.
        """
        if self.task == "multiclass":
            return logits.max(1).indices  # ten times faster than argmax on a CPU
        hard = (logits.sigmoid() >= threshold).long()
        return hard[:, 0] if self.task == "binary" else hard

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return ``[N, K, H, W]`` class probabilities from logits ``[N, C, H, W]``."""
        if self.task == "multiclass":
            return logits.softmax(1)
        positive = logits.sigmoid()
        if self.task == "multilabel":
            return positive
        import torch

        return torch.cat([1 - positive, positive], 1)

    def colorize(self, indices: Array) -> Array:
        """Paint ``[H, W]`` class indices: uint8 RGB ``[H, W, 3]``, ignored pixels black."""
        palette = np.zeros((self.ignore_index + 1, 3), np.uint8)
        palette[: self.num_classes] = self.colors
        return palette[indices]

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, as they are kept in a checkpoint."""
        return {k: _plain(v) for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LabelSpace:
        """Rebuild what `to_dict` gave."""
        return cls(**{k: _frozen(v) for k, v in values.items()})


@functools.lru_cache(maxsize=8)  # a colour's table has 16 million rows
def _table(labels: LabelSpace) -> tuple[Array, Array]:
    """Target of every file id, and whether the id is listed; the last row is for all larger ids."""
    size = max((i for ids in (*labels.ids, labels.ignore) for i in ids), default=0) + 2
    listed = np.zeros(size, bool)
    listed[[i for ids in (*labels.ids, labels.ignore) for i in ids]] = True
    rest = labels.names.index(labels.rest) if labels.rest in labels.names else labels.ignore_index
    if labels.task == "multilabel":
        table: Array = np.zeros((size, labels.num_classes), labels.dtype)
        if labels.rest == "ignore":
            table[~listed] = labels.ignore_index
        elif labels.rest in labels.names:
            table[~listed, rest] = 1
        for index, ids in enumerate(labels.ids):
            table[list(ids), index] = 1
    else:
        table = np.full(size, rest, labels.dtype)
        for index, ids in enumerate(labels.ids):
            table[list(ids)] = index
    table[list(labels.ignore)] = labels.ignore_index
    return table, listed


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, tuple | list) else value
