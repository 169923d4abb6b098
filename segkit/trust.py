"""What a configuration of somebody else's may say: that of a checkpoint, or of a run folder.

Such a configuration is data. It may choose among what ``conf/`` offers, at the places where ``conf/``
offers it, and nothing else: names are compared as texts before anything is imported.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from segkit.error import UserError
from segkit.foreign import check_bounds
from segkit.paths import CONF_DIR

NESTED = ("callback", "metric")  # groups that hold a target for each of their names
OURS = ("_target_", "_partial_")  # of Hydra's own keys, those that conf/ uses
WRITERS = ("callback", "logger", "trainer")  # groups whose texts may become names of files
# An interpolation that reads the configuration itself, or what every run has.
KNOWN = re.compile(r"\$\{(?:[\w.\[\]-]+|(?:hydra|now):[^${}]*)\}")
ENVIRONMENT = re.compile(r"\$\{oc\.env:[\w,./~ -]*\}")
PATHS = ("data.root", "data.file", "data.split")  # keys that may come from the environment

Place = tuple[str, ...]  # keys that lead to a value


@functools.cache
def own_targets(group: str) -> frozenset[str]:
    """Every ``_target_`` that the files of a group of ``conf/`` name."""
    line = re.compile(r"^\s*_target_:[ ]*([\w.]+\.\w+)", re.MULTILINE)
    files = (CONF_DIR / group).glob("*.yaml")
    return frozenset(t for f in files for t in line.findall(f.read_text(encoding="utf-8")))


def refuse_untrusted(
    config: Mapping[str, Any], file: Path, trust: Sequence[str] = (), typed: Collection[str] = ()
) -> None:
    """Refuse a configuration that could call something else than what ``conf/`` offers.

    Args:
        config: Groups (``model``, ``data`` ...) with their nodes, as plain containers.
        file: Where it stands, for the message.
        trust: Packages, modules or single names that the user lets it call.
        typed: Dotted keys whose values are the user's own.

    Raises:
        UserError: It names something else, at another place, or holds what could become that.
    """
    try:
        check_bounds(config)
    except ValueError as error:
        raise UserError(f"{file}: its configuration cannot be used: {error}") from None
    for path, node in _nodes(config, (), typed):
        if isinstance(node, Mapping):
            if ".".join((*path, "_target_")) not in typed:
                _check_mapping(path, node, file, trust)
        elif isinstance(node, str) and "${" in node:
            raise UserError(f"{file}: {_shown(path)} holds '{node[:60]}', which could become anything")
        elif not isinstance(node, str | int | float | list | tuple | None):
            raise UserError(
                f"{file}: {_shown(path)} holds {type(node).__name__}, which no configuration does"
            )


def refuse_resolvers(config: Mapping[str, Any], file: Path, typed: Collection[str] = ()) -> None:
    """Refuse interpolations that run something, or read the environment for more than a path of the data.

    Args:
        config: A configuration as it is written, bounded (`segkit.foreign`).
        file: Where it stands, for the message.
        typed: Dotted keys whose values are the user's own.

    Raises:
        UserError: There is such an interpolation.
    """
    for path, node in _nodes(config, (), typed):
        if not isinstance(node, str):
            continue
        rest = KNOWN.sub("", node)
        if ".".join(path) in PATHS:
            rest = ENVIRONMENT.sub("", rest)
        if "${" in rest:
            key = ".".join(path)
            raise UserError(
                f"{file}: {key} holds '{node[:60]}', which a run folder may not; type {key}=VALUE"
            )


def refuse_escapes(config: Mapping[str, Any], file: Path, typed: Collection[str] = ()) -> None:
    """Refuse names of files that lead out of the run folder, in the groups that write.

    Raises:
        UserError: A text there is an absolute path or holds ``..``.
    """
    for path, node in _nodes({k: v for k, v in config.items() if k in WRITERS}, (), typed):
        if not isinstance(node, str) or path[-1] == "dirpath":  # that one is always checkpoints/
            continue
        parts = PurePosixPath(node.replace("\\", "/")).parts
        if ".." in parts or parts[:1] == ("/",) or re.match(r"[A-Za-z]:", node) or "\0" in node:
            raise UserError(f"{file}: {_shown(path)}={node[:60]} leads out of the run folder")


def _check_mapping(path: Place, node: Mapping[str, Any], file: Path, trust: Sequence[str]) -> None:
    target = node.get("_target_")
    if target is not None:
        if isinstance(target, str) and _trusted(target, trust):
            return
        level = 2 if path[:1] and path[0] in NESTED else 1
        if len(path) != level or not isinstance(target, str) or target not in own_targets(path[0]):
            raise UserError(
                f"{file}: {_shown(path)} names '{str(target)[:80]}', which it may not call; "
                "if the code is yours, add trust=[PACKAGE]"
            )
    for key in node:
        if not isinstance(key, str) or "${" in key or (key.startswith("_") and key not in OURS):
            raise UserError(f"{file}: {_shown(path)} has the key '{str(key)[:40]}', which it may not have")


def _trusted(target: str, trust: Sequence[str]) -> bool:
    """Whether it is what the user named, or defined below it: not what is only imported there."""
    if target in trust:
        return True
    if not (above := [t for t in trust if target.startswith(f"{t}.")]):
        return False
    from hydra.utils import get_object

    try:
        home = str(getattr(get_object(target), "__module__", ""))
    except Exception as error:  # the import runs the user's own code
        raise UserError(f"trust: cannot import {target}: {error}") from error
    return any(home == t or home.startswith(f"{t}.") for t in above)


def _nodes(node: Any, path: Place, typed: Collection[str] = ()) -> Iterator[tuple[Place, Any]]:
    """Everything below a node that was not typed, itself first; no deeper than `check_bounds` allows."""
    if path and ".".join(path) in typed:
        return
    yield path, node
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _nodes(value, (*path, str(key)), typed)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _nodes(value, (*path, "[]"), typed)


def _shown(path: Place) -> str:
    return ".".join(path)[:80] or "it"


def names(trust: Any) -> tuple[str, ...]:
    """What the key ``trust`` of a verb holds.

    Raises:
        UserError: No list of dotted names.
    """
    listed = isinstance(trust, Sequence) and not isinstance(trust, str)
    found = list(trust) if listed else [] if trust is None else [trust]
    if wrong := [n for n in found if not isinstance(n, str) or not re.fullmatch(r"\w+(\.\w+)*", n)]:
        raise UserError(
            f"trust: '{wrong[0]}' is no name of a package; give a list, such as trust=[mypackage]"
        )
    return tuple(found)
