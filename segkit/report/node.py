"""Values of a file that somebody may have changed by hand: each is looked at before it is used."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segkit.foreign import json_value, read_text
from segkit.types import UserError


class Node:
    """A part of a file that knows where it lies, so that what is wrong there can be named.

    Args:
        value: Plain containers, as JSON or YAML give them.
        file: The file.
        where: Keys that lead to ``value``, joined with dots.
    """

    def __init__(self, value: Any, file: Path, where: str = "") -> None:
        self.value, self.file, self.where = value, file, where

    def __bool__(self) -> bool:
        return bool(self.value)

    def table(self, key: str) -> Node:
        """The mapping below ``key``; an empty one where there is none."""
        found = self._at(key, {})
        return found if isinstance(found.value, Mapping) else found._refuse("a mapping")

    def rows(self, key: str) -> list[Node]:
        """The mappings of the list below ``key``; none where there is no list."""
        found = self._at(key, [])
        if not isinstance(found.value, list):
            found._refuse("a list")
        rows = [Node(v, self.file, f"{found.where}[{i}]") for i, v in enumerate(found.value)]
        return [r if isinstance(r.value, Mapping) else r._refuse("a mapping") for r in rows]

    def items(self) -> Iterator[tuple[str, Node]]:
        """Each key of this mapping with what lies below it."""
        for key in self._mapping():
            yield str(key), self._at(key, None)

    def number(self, key: str) -> float | None:
        """A number; ``None`` where there is none or it is not finite."""
        return self._at(key, None).as_number()

    def whole(self, key: str) -> int | None:
        """A number without decimals."""
        number = self.number(key)
        return None if number is None else int(number)

    def text(self, key: str) -> str:
        """What is written there: a text or a number; empty where there is nothing."""
        return self._at(key, "").text_of()

    def text_of(self) -> str:
        """This value as a text: one, or a number; empty where there is nothing."""
        if isinstance(self.value, Mapping | list):
            self._refuse("a text")
        return "" if self.value is None else str(self.value)

    def texts(self, key: str) -> list[str]:
        """The texts of a list."""
        found = self._at(key, [])
        return [str(v) for v in found.value] if isinstance(found.value, list) else found._refuse("a list")

    def range(self, key: str) -> tuple[float, float] | None:
        """An interval ``[low, high]``; ``None`` where there is none."""
        found = self._at(key, None)
        if found.value is None:
            return None
        if not isinstance(found.value, list) or len(found.value) != 2:
            found._refuse("two numbers")
        low, high = (Node(v, self.file, found.where).as_number() for v in found.value)
        return None if low is None or high is None else (low, high)

    def as_number(self) -> float | None:
        """This value as a number (a whole one stays whole); ``None`` where it is empty or not finite."""
        if self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            self._refuse("a number")
        try:
            finite = math.isfinite(self.value)
        except OverflowError:
            self._refuse("a number of this size")
        return self.value if finite else None

    @property
    def is_number(self) -> bool:
        """Whether it can be shown as a number: one, or nothing."""
        return self.value is None or (
            isinstance(self.value, int | float) and not isinstance(self.value, bool)
        )

    def _at(self, key: str, missing: Any) -> Node:
        found = self._mapping().get(key)
        where = f"{self.where}.{key}" if self.where else str(key)
        return Node(missing if found is None else found, self.file, where)

    def _mapping(self) -> Mapping[str, Any]:
        if not isinstance(self.value, Mapping):
            self._refuse("a mapping")
        return self.value

    def _refuse(self, expected: str) -> Any:
        shown = repr(self.value)
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
        place = f"{self.where} is {shown}" if self.where else f"it holds {shown}"
        raise UserError(f"{self.file}: {place}, not {expected}; mend the file, or remove it")


def read_json(path: Path) -> Node | None:
    """Read a JSON file that holds a mapping; ``None`` where there is no file.

    Raises:
        UserError: It cannot be read, is no JSON, or holds something else.
    """
    if not path.is_file():
        return None
    try:
        value = json_value(read_text(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the file") from error
    except ValueError as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: not JSON ({reason}); mend the file, or remove it") from error
    node = Node(value, path)
    node._mapping()
    return node
