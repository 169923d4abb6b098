"""A block of ``metrics.json`` -> its numbers, tables and words, whatever the numbers are called.

A meter that gains a number needs no change here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from segkit.report.grid import Colors, Grid, number, pretty, word
from segkit.report.node import Node

OWN = {"protocol", "mean", "per_class"}  # the other mappings are groups of numbers


class Block(NamedTuple):
    """What a meter found.

    Attributes:
        numbers: Numbers of the whole data set with their definitions; ``None`` where there are none.
        classes: Numbers of each class; ``None`` where there are none.
        words: The rest of its protocol.
    """

    numbers: Grid | None
    classes: Grid | None
    words: list[tuple[str, str]]


def block(node: Node, colors: Colors) -> Block:
    """Everything that a block says."""
    words = node.table("protocol")
    found = list(_numbers(node))
    rows = [[word(_name(path)), number(v.as_number()), word(_definition(words, path))] for path, v in found]
    columns = per_class(node)
    classes = list(dict.fromkeys(name for column in columns.values() for name in column))
    cells = [[word(c, colors), *(number(column.get(c)) for column in columns.values())] for c in classes]
    return Block(
        Grid("All images", ("number", "value", "definition"), rows, frozenset({0, 2})) if rows else None,
        Grid("Classes", ("class", *map(pretty, columns)), cells) if columns else None,
        list(_words(words, {path[-1] for path, _ in found if _definition(words, path)})),
    )


def per_class(node: Node) -> dict[str, dict[str, float | None]]:
    """Every number of the classes: its name -> class -> value."""
    columns: dict[str, dict[str, float | None]] = {}
    for name, row in node.table("per_class").items():
        for key, value in row.items():
            if value.is_number:
                columns.setdefault(key, {})[name] = value.as_number()
    return columns


def _numbers(node: Node) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Numbers of the block, of ``mean``, and of further groups with the group's name before theirs."""
    for key, value in node.items():
        if value.is_number:
            yield (key,), value
        elif key == "mean" or (key not in OWN and isinstance(value.value, dict)):
            for name, inner in value.items():
                if inner.is_number:
                    yield (() if key == "mean" else (key,)) + (name,), inner


def _name(path: tuple[str, ...]) -> str:
    return ", ".join(pretty(key) for key in reversed(path))


def _definition(words: Node, path: tuple[str, ...]) -> str:
    found = words.value.get(path[-1])
    return "" if isinstance(found, dict | list) or found is None else str(found)


def _words(words: Node, used: set[str]) -> Iterator[tuple[str, str]]:
    for key, value in words.items():
        if key not in used and value.value not in (None, "", [], {}):
            text = value.value
            yield key.replace("_", " "), ", ".join(map(str, text)) if isinstance(text, list) else str(text)
