"""What a label space says about its classes' file ids: numbers, or colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segkit.data.palette import safe_colors
from segkit.types import LabelSpace, Masks, UserError

Class = Mapping[str, Any]  # name, and what else the YAML says about it
Color = tuple[int, int, int]

MAX_ID = 2**24 - 1  # the largest number that a table of ids is made for; white as a colour


def pack(color: Sequence[int]) -> int:
    """``65536 * red + 256 * green + blue``: the file id of a colour."""
    return color[0] << 16 | color[1] << 8 | color[2]


def unpack(file_id: int) -> Color:
    """The colour of a file id: the reverse of `pack`."""
    return file_id >> 16, file_id >> 8 & 255, file_id & 255


def class_ids(spec: Mapping[str, Any], classes: Sequence[Class], masks: Masks) -> tuple[tuple[int, ...], ...]:
    """File ids per class.

    Without ``ids`` a class means its position, or in masks of colours its ``color``.

    Raises:
        UserError: Some classes have ids and others do not, or a value is no id.
    """
    given, names = column(spec, classes, "ids"), [c["name"] for c in classes]
    if masks == "color":
        return _color_ids(spec, classes, given)
    missing = [n for n, value in zip(names, given, strict=True) if value is None]
    if len(missing) == len(names):
        given = range(len(names))
    elif missing:
        other = next(n for n in names if n not in missing)
        raise UserError(
            f"class '{missing[0]}' has no ids while '{other}' has; give ids to every class or to none"
        )
    return tuple(
        parse_ids(value, f"ids of class '{n}'", masks) for n, value in zip(names, given, strict=True)
    )


def _color_ids(
    spec: Mapping[str, Any], classes: Sequence[Class], given: Sequence[Any]
) -> tuple[tuple[int, ...], ...]:
    ids = []
    for item, value, color in zip(classes, given, column(spec, classes, "colors"), strict=True):
        what = f"class '{item['name']}'"
        if value is not None:
            ids.append(parse_ids(value, f"ids of {what}", "color"))
        elif color is not None:
            ids.append((pack(_color(color, what)),))
        elif spec.get("rest") == item["name"]:
            ids.append(())
        else:
            raise UserError(f"{what} has no color, by which masks: color knows it; give [red, green, blue]")
    return tuple(ids)


def parse_ids(value: Any, what: str, masks: Masks) -> tuple[int, ...]:
    """One id, or a list of them.

    Raises:
        UserError: A number stands where a colour is needed or the reverse, or is out of range.
    """
    if masks == "color":
        listed = [value] if _is_color(value) or not _is_list(value) else list(value)
        for item in listed:
            if not _is_color(item):
                raise UserError(
                    f"{what}: {item!r} is no colour; with masks: color give [red, green, blue], "
                    "each 0 to 255, or a list of such"
                )
        return tuple(pack(item) for item in listed)
    listed = list(value) if _is_list(value) else [value]
    for item in listed:
        if _is_color(item):
            raise UserError(f"{what}: {item!r} is a colour; set masks: color, or give whole numbers")
        if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item <= MAX_ID:
            raise UserError(f"{what}: {item!r} is no mask value; give whole numbers from 0 to {MAX_ID}")
    return tuple(listed)


def check_ids(space: LabelSpace) -> None:
    """Refuse ids that mean two things.

    Raises:
        UserError: An id stands twice in a class, in two classes (unless the task is
            multilabel), or in a class and in ``ignore``.
    """
    owner: dict[int, str] = {}
    noun = "id" if space.masks == "index" else "colour"
    for name, group in zip(space.names, space.ids, strict=True):
        if len(set(group)) < len(group):
            listed = ", ".join(map(space.id_text, group))
            kind = "number" if space.masks == "index" else "colour"
            raise UserError(f"ids of class '{name}' hold a {kind} twice: [{listed}]")
        for i in group:
            shown = f"{noun} {space.id_text(i)}"
            if i in space.ignore:
                raise UserError(f"{shown} is both class '{name}' and in `ignore`; remove it from one of them")
            if i in owner and space.task != "multilabel":
                more = " unless task: multilabel" if space.masks == "index" else "; merge these classes"
                raise UserError(f"{shown} is both '{owner[i]}' and '{name}'; a pixel has one class{more}")
            owner[i] = name


def class_colors(
    spec: Mapping[str, Any], classes: Sequence[Class], ids: Sequence[Sequence[int]], masks: Masks
) -> tuple[Color, ...]:
    """Colours to paint the classes in: as given, else as in the masks, else distinct ones.

    Raises:
        UserError: A value is no colour.
    """
    colors = []
    given = column(spec, classes, "colors")
    for item, value, own, default in zip(classes, given, ids, safe_colors(len(classes)), strict=True):
        inside = unpack(own[0]) if masks == "color" and own else default
        colors.append(inside if value is None else _color(value, f"class '{item['name']}'"))
    return tuple(colors)


def column(spec: Mapping[str, Any], classes: Sequence[Class], key: str) -> Sequence[Any]:
    """Values of ``ids`` or ``colors`` per class, from the parallel list or from the classes.

    Raises:
        UserError: The list has another length than ``names``, or both are given.
    """
    single = key.removesuffix("s") if key == "colors" else key
    inside = [c.get(single) for c in classes]
    if spec.get(key) is None:
        return inside
    listed = spec[key]
    if not _is_list(listed) or len(listed) != len(classes):
        size = len(listed) if _is_list(listed) else "no list"
        raise UserError(f"`{key}` must have one entry per name: {len(classes)} names, {key}: {size}")
    if given := [c["name"] for c, value in zip(classes, inside, strict=True) if value is not None]:
        raise UserError(f"`{key}` is given twice: as a list and inside class '{given[0]}'; keep one")
    return list(listed)


def _color(value: Any, what: str) -> Color:
    if not _is_color(value):
        raise UserError(f"color of {what} must be [red, green, blue], each 0 to 255, not {value!r}")
    return value[0], value[1], value[2]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_color(value: Any) -> bool:
    if not _is_list(value) or len(value) != 3:
        return False
    return all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 255 for v in value)
