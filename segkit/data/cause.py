"""Why a mask holds values that its label space does not expect, in words, with what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from segkit.data.fault import Severity
from segkit.data.known import ADE20K_CLASSES, CITYSCAPES_LABEL_IDS
from segkit.data.smooth import Texture, texture
from segkit.error import LOOK

if TYPE_CHECKING:
    from segkit.types import Array, LabelSpace

SHOWN = 5  # values that a line lists
UNSMOOTHED = "draw, export and resize masks without smoothing (nearest neighbour)"


class Diagnosis(NamedTuple):
    """What is wrong with a mask.

    Attributes:
        kind: As in `segkit.data.fault.Fault`.
        message: What the mask *holds*, and why it probably does; no full stop.
        fix: What mends it; no full stop.
        severity: As in `Fault`.
    """

    kind: str
    message: str
    fix: str
    severity: Severity = "error"

    def line(self, mask: Path) -> str:
        """The diagnosis of one file, as an error says it."""
        return f"mask {mask} holds {self.message}; {self.fix}"


@dataclass(frozen=True)
class Values:
    """What one mask, or several added up, hold.

    Attributes:
        present: Each value, a number or a packed colour, and its pixels.
        labels: What the values should mean.
        mask: ``[H, W]`` the values where they lie, if at hand.
        labels_file: A label space that fits, written for the user.
    """

    present: dict[int, int]
    labels: LabelSpace
    mask: Array | None = None
    labels_file: str | None = None

    @cached_property
    def classes(self) -> set[int]:
        """Values that mean a class."""
        return {i for ids in self.labels.ids for i in ids}

    @cached_property
    def unknown(self) -> dict[int, int]:
        """Values that are listed nowhere."""
        listed = self.classes | set(self.labels.ignore)
        return {i: n for i, n in self.present.items() if i not in listed}

    @cached_property
    def texture(self) -> Texture | None:
        """How the edges look; nothing without a mask."""
        return None if self.mask is None else texture(self.mask)

    @property
    def expects_label_ids(self) -> bool:
        """Whether the label space is one for Cityscapes' labelIds."""
        return self.classes | set(self.labels.ignore) >= CITYSCAPES_LABEL_IDS

    @property
    def counts_from_one(self) -> bool:
        """Whether the label space gives ids 1 to K and leaves 0 out."""
        return self.classes == set(range(1, len(self.labels.names) + 1)) and 0 in self.labels.ignore

    @property
    def shifted_up(self) -> bool:
        """Whether 1 to K are all there and 0 never, where the label space gives ids 0 to K - 1."""
        size, present = len(self.labels.names), set(self.present) - {255}
        return size > 2 and self.classes == set(range(size)) and present == set(range(1, size + 1))

    @property
    def shifted_down(self) -> bool:
        """Whether 0 to K - 1 are all there and K never, where the label space gives ids 1 to K."""
        size, present = len(self.labels.names), set(self.present) - {255}
        return size > 2 and self.classes == set(range(1, size + 1)) and present == set(range(size))

    @property
    def thousands(self) -> bool:
        """Whether every unknown id is 1000 * the id of a class + a number."""
        return bool(self.unknown) and all(i >= 1000 and i // 1000 in self.classes for i in self.unknown)

    @property
    def text(self) -> str:
        """The first values that are not known, with their pixels."""
        first = ", ".join(
            f"{self.labels.id_text(i)} ({n} pixels)" for i, n in list(self.unknown.items())[:SHOWN]
        )
        more = f" and {len(self.unknown) - SHOWN} more" if len(self.unknown) > SHOWN else ""
        noun = "ids" if self.labels.masks == "index" else "colours"
        return f"{noun} that the label space does not know: {first}{more}"

    @property
    def fit(self) -> str:
        """How to come by a label space that fits."""
        if self.labels_file is not None:
            return f"train with data.labels={self.labels_file}, which fits the masks"
        return f"`{LOOK}` writes a label space that fits, labels.yaml: train with data.labels=THAT FILE"


def unknown(values: Values) -> Diagnosis:
    """Ids or colours without any pattern."""
    labels = values.labels
    rest = ", `rest: none` (no class)" if labels.task == "multilabel" else ""
    add = f"add them to `ids` or `ignore` of the label space, or set `rest: ignore`{rest}"
    if len(labels.names) == 2 and labels.task != "multilabel" and labels.masks == "index":
        add = f"if all but 0 is foreground use data.labels=binary, otherwise {add}"
    return Diagnosis("unknown", values.text, f"{add}; {values.fit}")


def jpeg(message: str) -> Diagnosis:
    """Values that compression invents."""
    fix = "save masks as PNG, from the original drawing: what JPEG lost does not come back"
    return Diagnosis("jpeg", message, fix)


def invented(values: Values) -> Diagnosis | None:
    """Unknown values along edges that no one drew; nothing where edges are as drawn."""
    if values.texture == Texture.RINGING:
        text = "they lie along the edges, as JPEG leaves them even when saved as PNG later"
        return jpeg(f"{values.text}; {text}")
    if values.texture != Texture.SMOOTH:
        return None
    text = "along the edges they lie between the values of both sides: the mask was smoothed or kept as JPEG"
    fix = f"{UNSMOOTHED}; `rest: ignore` in the label space leaves them out"
    return Diagnosis("antialiased", f"{values.text}; {text}", fix)


def instances(values: Values, cause: str, fix: str = "") -> Diagnosis:
    """Numbers of things given as classes."""
    default = (
        "give masks of class indices, or use data.labels=binary if all but 0 is one class (things that touch "
        "become one)"
    )
    return Diagnosis("instance_ids", f"{values.text}; {cause}", fix or default)


def train_ids(values: Values, shown: str) -> Diagnosis:
    """Cityscapes' second numbering."""
    text = "these look like Cityscapes trainIds, where labelIds are expected"
    fix = f"give the masks that end with _gtFine_labelIds.png; or {values.fit}"
    return Diagnosis("train_ids", f"{shown}; {text}", fix)


def from_one(values: Values) -> Diagnosis:
    """Ids 1..K where 0..K-1 are expected."""
    size = len(values.labels.names)
    ade = " (as in ADE20K)" if size == ADE20K_CLASSES else ""
    text = f"the ids may count from 1, with 0 for something else{ade}, while the label space counts from 0"
    fix = f"give ids 1 to {size}, and 0 in `ignore` or as a class of its own; {values.fit}"
    if values.unknown:
        return Diagnosis("off_by_one", f"{values.text}; {text}", fix)
    # Every id is known: a data set without a pixel of the first class is possible.
    return Diagnosis("off_by_one", f"all ids from 1 to {size} and never 0; {text}", fix, "warning")


def from_zero(values: Values) -> Diagnosis:
    """Ids 0..K-1 where 1..K are expected, so that the first class is ignored."""
    size = len(values.labels.names)
    return Diagnosis(
        "off_by_one",
        f"0 but never {size}: the ids seem to count from 0, while the label space counts from 1",
        f"give ids 0 to {size - 1} and `ignore: [255]`; {values.fit}",
    )
