"""Text files of other people -> plain values, within bounds.

A few lines of YAML can stand for billions of values (aliases of aliases), and brackets without end
exhaust whoever walks through them: what is handed on is small enough for that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

BYTES = 256 * 2**20  # of a text file
DEPTH = 100  # containers within each other
VALUES = 1_000_000  # of YAML, each alias counted as what it stands for


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain values only, and no key twice in a mapping: the second would replace the first in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping.

        Raises:
            yaml.YAMLError: A key stands there twice.
        """
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key in (k.value for k, _ in node.value if isinstance(k, yaml.ScalarNode) and k.value != "<<"):
                if key in seen:
                    raise yaml.YAMLError(f"the key {key} stands there twice")
                seen.add(key)
        return super().construct_mapping(node, deep)


def read_text(path: Path) -> str:
    """Read a text in UTF-8.

    Raises:
        OSError: It cannot be read.
        ValueError: It is longer than `BYTES`, or not in UTF-8.
    """
    if (size := path.stat().st_size) > BYTES:
        raise ValueError(f"{size} bytes are more than such a file can need")
    return path.read_text(encoding="utf-8")


def yaml_value(text: str) -> Any:
    """Plain values of a YAML text.

    Raises:
        ValueError: No YAML, a key stands there twice, or it stands for too much.
    """
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(" ".join(str(error).split())[:120]) from None
    check_bounds(value)
    return value


def json_value(text: str) -> Any:
    """Plain values of a JSON text.

    Raises:
        ValueError: No JSON, or nested too deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    check_bounds(value, len(text) + 1)
    return value


def check_bounds(value: Any, most: int = VALUES) -> None:
    """Raise `ValueError` where plain containers hold more than ``most`` values, or too deeply."""
    count, level = 0, [value]
    for _ in range(DEPTH):
        count += len(level)
        if count > most:
            raise ValueError(f"it stands for more than {most} values")
        above, level = level, []
        for node in above:
            if isinstance(node, Mapping | list | tuple):
                level += node.values() if isinstance(node, Mapping) else node
            if count + len(level) > most:
                raise ValueError(f"it stands for more than {most} values")
        if not level:
            return
    raise ValueError("nested too deeply")
