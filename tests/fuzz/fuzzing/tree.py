"""Plain containers -> wrong ones: types swapped, keys missing or misspelt, numbers that are none."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import yaml

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 255, 256, 65535, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400),
    *(0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        " ",
        "0",
        "-1",
        "nan",
        "null",
        "a" * 5000,
        "ü",
        "\u202e",
        "\ud800",
        "\0",
        "\n",
        "a\nb",
        "..",
        "../../x",
    ),
    *(
        "/etc/passwd",
        "${x}",
        "${now:}",
        "???",
        "<script>",
        "%s",
        "{}",
        "!!python/object:os.system",
        "1_0",
        "0o7",
    ),
    *(
        [],
        {},
        [[]],
        [None],
        {"": 1},
        {"a": {"b": {}}},
        [0, 255, 256],
        [-1],
        [1.5, "x"],
        [[0, 0, 0]],
        ["a", "a"],
    ),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something lies, from the root on."""
    found = [path]
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        found += places(child, (*path, key))
    return found


def wrong(rng: random.Random, trees: Sequence[Any]) -> Any:
    """One of the trees with one to three things wrong."""
    root = copy.deepcopy(rng.choice(trees))
    for _ in range(rng.choice((1, 1, 2, 3))):
        root = _change(rng, root)
    if rng.random() < 0.01 and isinstance(root, dict) and root:  # last: what is that deep, Python cannot copy
        root[rng.choice(list(root))] = _deep(rng.choice((50, 3000)))
    return root


def _change(rng: random.Random, root: Any) -> Any:
    path = rng.choice(places(root))
    if not path:
        return rng.choice(ODD) if rng.random() < 0.1 else root
    parent = root
    for key in path[:-1]:
        parent = parent[key]
    key, what = path[-1], rng.randrange(8)
    if what == 0:
        del parent[key]
    elif what == 1 and isinstance(parent, dict):
        parent[rng.choice((f"{key}s", str(key).upper(), "", "x", 1, None, "\0"))] = parent.pop(key)
    elif what == 2 and isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
    elif what == 3:
        parent[key] = [parent[key]]
    elif what == 4:
        parent[key] = {rng.choice(("id", "name", "x")): parent[key]}
    elif what == 5:
        parent[key] = str(parent[key])
    elif what == 6:
        number = parent[key]
        if isinstance(number, int | float):
            parent[key] = rng.choice((-number, number + 1, number * 1000, number + 0.5, not number))
        else:
            parent[key] = rng.choice(ODD)
    else:
        parent[key] = copy.deepcopy(rng.choice(ODD))
    return root


def _deep(levels: int) -> Any:
    node: Any = 1
    for _ in range(levels):
        node = [node]
    return node


def _dumped(dump: Callable[[Any], str], tree: Any) -> bytes:
    try:
        return dump(tree).encode("utf-8", "surrogatepass")
    except (RecursionError, ValueError, TypeError, yaml.YAMLError):
        return b"[" * 100_000  # what it would have been for a parser


def json_with(trees: Sequence[Any]) -> Callable[[random.Random, Sequence[bytes]], bytes]:
    """A source of JSON files that are wrong."""
    return lambda rng, _: _dumped(json.dumps, wrong(rng, trees))


def yaml_with(trees: Sequence[Any]) -> Callable[[random.Random, Sequence[bytes]], bytes]:
    """A source of YAML files that are wrong."""
    return lambda rng, _: _dumped(lambda tree: yaml.safe_dump(tree, allow_unicode=True), wrong(rng, trees))


def csv_with(tables: Sequence[list[list[str]]]) -> Callable[[random.Random, Sequence[bytes]], bytes]:
    """A source of tables that are wrong: cells, rows, columns, separators."""

    def make(rng: random.Random, _: Sequence[bytes]) -> bytes:
        rows = [row.copy() for row in rng.choice(tables)]
        for _ in range(rng.choice((1, 1, 2, 4))):
            row = rng.choice(rows) if rows else []
            what = rng.randrange(6)
            if what == 0 and row:
                row[rng.randrange(len(row))] = str(rng.choice(ODD)).encode("utf-8", "replace").decode()
            elif what == 1 and row:
                del row[rng.randrange(len(row))]
            elif what == 2:
                row.insert(rng.randrange(len(row) + 1), rng.choice(("", "x", '"', "a,b", "\n")))
            elif what == 3 and rows:
                del rows[rng.randrange(len(rows))]
            elif what == 4:
                rows.insert(rng.randrange(len(rows) + 1), row.copy())
            elif row:
                at = rng.randrange(len(row))
                row[at] = (row[at][:1000] * rng.choice((0, 2, 300, 70_000)))[:200_000]
        separator, end = rng.choice((",", ",", ",", ";", "\t")), rng.choice(("\n", "\n", "\r\n", "\r"))
        return end.join(separator.join(row) for row in rows).encode("utf-8", "surrogatepass")

    return make
