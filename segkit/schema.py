"""Composed values against the signatures they go to: constructors are the schema.

Without this, ``trainer.max_epochs=abc`` dies deep inside a library.
"""

from __future__ import annotations

import collections.abc
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union

from segkit.error import UserError

LISTS: dict[Any, str] = {
    int: "a list of whole numbers, such as [256,512]",
    float: "a list of numbers, such as [0.5,2.0]",
    str: "a list of texts, such as [a,b]",
}


def parameters(target: Callable[..., Any]) -> dict[str, Any]:
    """Names of what a class or function takes, with their annotations (``Any`` where unknown)."""
    function = target.__init__ if inspect.isclass(target) else target
    signature = inspect.signature(target)
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):  # names that exist for a type checker only
        hints = {}
    return {n: hints.get(n, Any) for n in signature.parameters}


def required(target: Callable[..., Any]) -> list[str]:
    """Names of what a class or function takes that has no default."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    taken = inspect.signature(target).parameters.values()
    return [p.name for p in taken if p.default is inspect.Parameter.empty and p.kind not in kinds]


def check_values(
    prefix: str, values: Mapping[str, Any], target: Callable[..., Any], also: tuple[str, ...] = ()
) -> None:
    """Compare the values below a key with the annotations of what they are given to.

    Args:
        prefix: Where the values stand in the configuration (``trainer``).
        values: Plain containers; keys that begin with ``_`` are Hydra's own.
        target: The class or function that takes them.
        also: Further keys that are taken elsewhere.

    Raises:
        UserError: A key that the target does not take, or a value of another type.
    """
    known = parameters(target)
    for key, value in values.items():
        if key.startswith("_") or key in also:
            continue
        if key not in known:
            nearest = difflib.get_close_matches(key, [*known, *also], n=1)
            hint = f"; did you mean '{prefix}.{nearest[0]}'?" if nearest else ""
            raise UserError(f"{prefix}.{key}: {target.__name__} takes no such key{hint}")
        if not fits(value, known[key]):
            got = value if isinstance(value, list) else type(value).__name__
            raise UserError(f"{prefix}.{key}={value}: expected {describe(known[key])}, got {got}")


def check_whole(key: str, value: Any, low: int) -> None:
    """Refuse what is no whole number, or below ``low``."""
    if not fits(value, int) or value < low:
        raise UserError(f"{key}={value}: give a whole number, at least {low}")


def fits(value: Any, annotation: Any) -> bool:
    """Whether a plain value may be given where ``annotation`` stands; unknown annotations take all."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:  # a class since Python 3.11, but not one to compare with
        return True
    if annotation in (None, type(None)):
        return value is None
    if origin in (Union, types.UnionType):
        return any(fits(value, a) for a in arguments)
    if origin is Literal:
        return value in arguments
    if annotation is bool:
        return isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is str:
        return isinstance(value, str)
    container = origin or annotation
    if inspect.isclass(container) and issubclass(container, collections.abc.Mapping):
        return isinstance(value, Mapping)
    if inspect.isclass(container) and issubclass(container, collections.abc.Sequence):
        members = [a for a in arguments if a is not Ellipsis]
        return isinstance(value, list | tuple) and (
            len(members) != 1 or all(fits(v, members[0]) for v in value)
        )
    return not inspect.isclass(annotation) or isinstance(value, annotation | str | list | dict)


def describe(annotation: Any) -> str:
    """An annotation in words for a message."""
    arguments = typing.get_args(annotation)
    members = [a for a in arguments if a is not Ellipsis]
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(describe(a) for a in arguments)
    if typing.get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if annotation in (None, type(None)):
        return "null"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    container = typing.get_origin(annotation) or annotation
    if container not in words and inspect.isclass(container):
        if issubclass(container, collections.abc.Mapping):
            return "names with values, such as {a: 1}"
        if issubclass(container, collections.abc.Sequence):
            return LISTS.get(members[0] if len(members) == 1 else None, "a list, such as [256,512]")
    return words.get(annotation, str(getattr(annotation, "__name__", annotation)))
