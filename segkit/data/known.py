"""Palettes and numberings of well-known data sets: what foreign masks are recognised by."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from segkit.data.ids import Color, pack

# Cordts et al., "The Cityscapes Dataset", CVPR 2016, and its labels.py (labelIds 0..33, trainIds 0..18, 255).
CITYSCAPES_LABEL_IDS = frozenset(range(34))
CITYSCAPES_TRAIN_IDS = frozenset({*range(19), 255})
CITYSCAPES_INSTANCES = range(24, 34)  # labelIds whose instances are numbered 1000 * labelId + n
ADE20K_CLASSES = 150  # Zhou et al. 2017: ids 1..150, 0 is everything else

VOC_CLASSES = 21  # Everingham et al.: background and 20 kinds of things
VOC_BORDER: Color = (224, 224, 192)  # entry 255 of the palette: the line around things

CITYSCAPES_COLORS: dict[int, Color] = {
    7: (128, 64, 128),
    8: (244, 35, 232),
    11: (70, 70, 70),
    12: (102, 102, 156),
    13: (190, 153, 153),
    17: (153, 153, 153),
    19: (250, 170, 30),
    20: (220, 220, 0),
    21: (107, 142, 35),
    22: (152, 251, 152),
    23: (70, 130, 180),
    24: (220, 20, 60),
    25: (255, 0, 0),
    26: (0, 0, 142),
    27: (0, 0, 70),
    28: (0, 60, 100),
    31: (0, 80, 100),
    32: (0, 0, 230),
    33: (119, 11, 32),
}
# What the benchmark does not evaluate: void, dynamic, ground, parking, rail track, guard rail, bridge,
# tunnel, caravan, trailer.
CITYSCAPES_VOID: tuple[Color, ...] = (
    (0, 0, 0),
    (111, 74, 0),
    (81, 0, 81),
    (250, 170, 160),
    (230, 150, 140),
    (180, 165, 180),
    (150, 100, 100),
    (150, 120, 90),
    (0, 0, 90),
    (0, 0, 110),
)
# Brostow et al. 2009: CamVid's 32 colours, and the pavement of SegNet's eleven.
CAMVID_COLORS: dict[str, Color] = {
    "animal": (64, 128, 64),
    "archway": (192, 0, 128),
    "bicyclist": (0, 128, 192),
    "bridge": (0, 128, 64),
    "building": (128, 0, 0),
    "car": (64, 0, 128),
    "cart": (64, 0, 192),
    "child": (192, 128, 64),
    "pole": (192, 192, 128),
    "fence": (64, 64, 128),
    "lane marking": (128, 0, 192),
    "other marking": (192, 0, 64),
    "text": (128, 128, 64),
    "motorcycle": (192, 0, 192),
    "other moving": (128, 64, 64),
    "parking block": (64, 192, 128),
    "pedestrian": (64, 64, 0),
    "road": (128, 64, 128),
    "road shoulder": (128, 128, 192),
    "sidewalk": (0, 0, 192),
    "sign": (192, 128, 128),
    "sky": (128, 128, 128),
    "pickup truck": (64, 128, 192),
    "traffic cone": (0, 0, 64),
    "traffic light": (0, 64, 64),
    "train": (192, 64, 128),
    "tree": (128, 128, 0),
    "truck or bus": (192, 128, 192),
    "tunnel": (64, 0, 64),
    "vegetation": (192, 192, 0),
    "wall": (64, 192, 0),
    "pavement": (60, 40, 222),
}


class Palette(NamedTuple):
    """The colours of a data set.

    Attributes:
        title: Its name for messages.
        colors: Packed colours (``65536 * red + 256 * green + blue``) that it paints with.
        void: Those of them that mean nothing that is measured.
        greys: What the colours become when a picture is converted to grey (ITU-R BT.601),
            rounded either way.
    """

    title: str
    colors: frozenset[int]
    void: frozenset[int]
    greys: frozenset[int]


def voc_color(index: int) -> Color:
    """Entry of PASCAL VOC's palette: bit 3k, 3k + 1, 3k + 2 of the index is bit 7 - k of red, green, blue."""
    channels = [0, 0, 0]
    for bit in range(8):
        channels[bit % 3] |= (index >> bit & 1) << 7 - bit // 3
    return channels[0], channels[1], channels[2]


@lru_cache(maxsize=1)
def palettes() -> tuple[Palette, ...]:
    """Every palette that is recognised."""
    return (
        _palette("PASCAL VOC", [voc_color(i) for i in range(VOC_CLASSES)], [VOC_BORDER]),
        _palette("Cityscapes", CITYSCAPES_COLORS.values(), CITYSCAPES_VOID),
        _palette("CamVid", CAMVID_COLORS.values(), [(0, 0, 0)]),
    )


def palette_of_colors(colors: set[int]) -> Palette | None:
    """The palette that holds all of these packed colours; nothing where several do, or none.

    Three colours and more: black and one red occur in too many palettes.
    """
    found = [p for p in palettes() if colors <= p.colors]
    return found[0] if len(colors) >= 3 and len(found) == 1 else None


def palette_of_greys(values: set[int]) -> Palette | None:
    """The palette whose colours, made grey, are these numbers.

    A palette covers up to 60 of 256 grey levels, so that three chosen at random fit in one
    case of a hundred and four in one of four hundred: four are asked for, black not counted.
    """
    found = [p for p in palettes() if values <= p.greys]
    return min(found, key=lambda p: len(p.greys)) if len(values - {0}) >= 4 and found else None


def _palette(title: str, classes: Iterable[Color], void: Iterable[Color]) -> Palette:
    rest = list(void)
    both = [*classes, *rest]
    every = frozenset(pack(c) for c in both)
    weighted = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in both]
    greys = frozenset(g for w in weighted for g in (int(w), int(w + 0.5)))
    return Palette(title, every, frozenset(pack(c) for c in rest), greys)
