"""The ``data`` node of a configuration -> a source of samples, without torch."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

from segkit.data.labels import read_labels
from segkit.data.limit import allow_pixels
from segkit.paths import CONF_DIR
from segkit.schema import check_values, fits, parameters, required
from segkit.types import LabelSpace, Source, UserError

# A step upwards, an absolute path on Windows, a zero byte, or bytes that are no text in UTF-8.
BAD_NAME = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^\\|^[A-Za-z]:[/\\]|[\x00\ud800-\udfff]")
LISTED = ("root", "labels")  # keys of every data configuration that its target takes


def make_source(
    node: Mapping[str, Any], labels: str | Path | Mapping[str, Any] | LabelSpace | None = None
) -> Source:
    """Build what ``data=`` stands for: every verb that looks at data begins here.

    Args:
        node: The composed ``data`` node as plain containers, interpolations resolved. The
            keys of batches, loaders and splits (`loader_keys`) may be there and are passed by;
            ``max_pixels`` is set for this process and its workers (`allow_pixels`).
        labels: A label space (`read_labels`) to use instead of the node's.

    Raises:
        UserError: No data is chosen, a key or value does not fit the target, the label space
            cannot be read, or the files cannot be listed.
    """
    from hydra.utils import get_object, instantiate  # a fifth of a second that tests of parts do not need

    if not node.get("_target_"):
        raise UserError("no data is chosen: add data=folder, data=csv, data=streets or another of conf/data")
    allow_pixels(node.get("max_pixels"))
    own = {k: v for k, v in node.items() if k not in loader_keys()}
    try:
        target = get_object(own["_target_"])
    except Exception as error:  # importing can raise anything
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"data._target_={own['_target_']}: there is no such thing ({reason})") from None
    # What is needed and not there is not set: each source says what should stand there.
    own = {**dict.fromkeys(required(target)), **own}
    check_values("data", {k: v for k, v in own.items() if k != "labels" or v is not None}, target)
    given = own.pop("labels", None)
    space = _labels(given if labels is None else labels, target)
    # A label space is handed over afterwards: Hydra would not leave such an object alone.
    source: Source = instantiate({**own, "_partial_": True}, _convert_="all")(labels=space)
    _check_names(source)
    return source


def _check_names(source: Source) -> None:
    """Results are named after samples: no name may lead out of their folder.

    Raises:
        UserError: A name that is no relative path, or no text that a file can hold.
    """
    for sample in source.samples:
        name = sample.name
        if BAD_NAME.search(name) or not name or name.startswith("/"):
            where = f" ({sample.image})" if sample.image != Path() else ""
            raise UserError(f"a sample is called '{name[:80]}'{where}, which cannot name a result; rename it")


@functools.cache
def loader_keys() -> tuple[str, ...]:
    """Keys below ``data`` that every configuration has and no source takes."""
    common = yaml.safe_load((CONF_DIR / "data" / "_common.yaml").read_text(encoding="utf-8"))
    return tuple(key for key in common if key not in LISTED)


def _labels(spec: Any, target: Callable[..., Any]) -> LabelSpace | None:
    """Read the label space; nothing stays nothing where the target finds the classes itself."""
    return None if spec is None and fits(None, parameters(target)["labels"]) else read_labels(spec)
