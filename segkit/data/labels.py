"""YAML -> `LabelSpace`: what the numbers in mask files mean."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml  # type: ignore[import-untyped,unused-ignore]

from segkit.data.palette import safe_colors
from segkit.paths import CONF_DIR
from segkit.types import LabelSpace, Task, UserError

KEYS = ("task", "names", "colors", "ids", "ignore", "rest")
CLASS_KEYS = ("name", "ids", "color", "parent")
MAX_CLASSES = 65535  # 65535 itself is the ignore index of 16-bit targets
MAX_ID = 2**24 - 1


def read_labels(spec: str | Path | Mapping[str, Any] | LabelSpace | None) -> LabelSpace:
    """Build a label space.

    Args:
        spec: Name of a file in ``conf/labels``, path of a YAML file, or what such a file
            holds: ``names`` (texts, or mappings of ``name``, ``ids``, ``color``, ``parent``),
            and optionally ``task``, ``colors`` and ``ids`` (lists parallel to ``names``),
            ``ignore`` (default: 255) and ``rest``. A finished label space is returned as it is.

    Raises:
        UserError: The file does not exist, or a value is wrong or contradicts another one.
    """
    if isinstance(spec, LabelSpace):
        return spec
    if isinstance(spec, Mapping):
        return _parse(spec, "data.labels")
    path = _locate(spec)
    return _parse(_load(path), str(path))


def shipped_labels() -> list[str]:
    """Names of the label spaces in ``conf/labels``."""
    return sorted(p.stem for p in (CONF_DIR / "labels").glob("*.yaml"))


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word most like ``word``, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _locate(spec: str | Path | None) -> Path:
    shipped = shipped_labels()
    if spec is None or not str(spec):
        raise UserError(
            f"data.labels is not set: give one of {', '.join(shipped)}, or a YAML file with `names` and `ids`"
        )
    if str(spec) in shipped:
        return CONF_DIR / "labels" / f"{spec}.yaml"
    path = Path(spec).expanduser()
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise UserError(
            f"data.labels={spec}: no such label space{nearest(str(spec), shipped)} "
            f"Choose one of {', '.join(shipped)}, or give the path of a YAML file"
        )
    if not path.is_file():
        raise UserError(f"data.labels={spec}: the file does not exist (looked in {path.resolve().parent})")
    return path


def _load(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"label space {path}: not readable as YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(content, Mapping):
        raise UserError(f"label space {path}: expected keys such as `names` and `ids`")
    return content


def _parse(spec: Mapping[str, Any], where: str) -> LabelSpace:
    try:
        return _build(spec)
    except UserError as error:
        raise UserError(f"label space {where}: {error}") from None


def _build(spec: Mapping[str, Any]) -> LabelSpace:
    _check_keys(spec, KEYS, "key")
    task = spec.get("task", "multiclass")
    if task not in get_args(Task):
        raise UserError(f"task={task} is unknown; choose {', '.join(get_args(Task))}")
    classes = _classes(spec.get("names"))
    names = tuple(c["name"] for c in classes)
    _check_names(names, task)
    ids = tuple(
        _ids(v, f"ids of class '{n}'") for n, v in zip(names, _column(spec, classes, "ids"), strict=True)
    )
    used = {i for group in ids for i in group}
    ignore = _ids(spec.get("ignore", [] if 255 in used else [255]), "ignore")
    _check_ids(names, ids, ignore, task)
    return LabelSpace(
        names=names,
        colors=_colors(names, _column(spec, classes, "colors")),
        ids=ids,
        ignore=ignore,
        rest=_rest(spec.get("rest", "error"), names, task),
        task=task,
        parents=_parents(classes),
    )


def _check_keys(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for key in given:
        if key not in known:
            raise UserError(f"unknown {what} `{key}`{nearest(str(key), known)} Known: {', '.join(known)}")


def _classes(names: Any) -> list[Mapping[str, Any]]:
    """Bring both spellings of a class into one: a mapping with at least ``name``."""
    if not isinstance(names, Sequence) or isinstance(names, str) or not names:
        raise UserError("`names` must list the classes, such as names: [road, car]")
    classes = [item if isinstance(item, Mapping) else {"name": item} for item in names]
    for position, item in enumerate(classes):
        _check_keys(item, CLASS_KEYS, f"key of class {position}")
        name = item.get("name")
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            # YAML reads `no`, `on` and `1` as something else than text.
            raise UserError(f"name of class {position} must be a text, not {name!r}: put it in quotes")
    return classes


def _check_names(names: Sequence[str], task: str) -> None:
    twice = [n for n, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"`names` holds '{twice[0]}' twice; merge the ids into one class")
    reserved = [n for n in names if n in ("error", "ignore", "none")]
    if reserved:
        raise UserError(f"a class cannot be called '{reserved[0]}': the word has a meaning in `rest`")
    if task == "binary" and len(names) != 2:
        raise UserError(
            f"task: binary needs exactly 2 names, [background, foreground], not {len(names)}; "
            "more classes are task: multiclass"
        )
    if task == "multiclass" and len(names) < 2:
        raise UserError(
            f"task: multiclass needs at least 2 names, not {len(names)}; for one thing against the rest "
            "set task: binary and name both, such as names: [background, crack]"
        )
    if len(names) > MAX_CLASSES:
        raise UserError(f"{len(names)} classes are more than the {MAX_CLASSES} that a 16-bit target holds")


def _column(spec: Mapping[str, Any], classes: Sequence[Mapping[str, Any]], key: str) -> Sequence[Any]:
    """Values of ``ids`` or ``colors`` per class, from the parallel list or from the classes."""
    single = key.removesuffix("s") if key == "colors" else key
    inside = [c.get(single) for c in classes]
    given = [c["name"] for c, value in zip(classes, inside, strict=True) if value is not None]
    if spec.get(key) is not None:
        column = spec[key]
        if not isinstance(column, Sequence) or isinstance(column, str) or len(column) != len(classes):
            size = len(column) if isinstance(column, Sequence) else "no list"
            raise UserError(f"`{key}` must have one entry per name: {len(classes)} names, {key}: {size}")
        if given:
            raise UserError(f"`{key}` is given twice: as a list and inside class '{given[0]}'; keep one")
        return column
    if key == "ids" and not given:
        return range(len(classes))
    if key == "ids" and len(given) < len(classes):
        missing = next(c["name"] for c in classes if c.get("ids") is None)
        raise UserError(
            f"class '{missing}' has no ids while '{given[0]}' has; give ids to every class or to none"
        )
    return inside


def _ids(value: Any, what: str) -> tuple[int, ...]:
    listed = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    for i in listed:
        if not isinstance(i, int) or isinstance(i, bool) or not 0 <= i <= MAX_ID:
            raise UserError(f"{what}: {i!r} is no mask value; give whole numbers from 0 to {MAX_ID}")
    return tuple(listed)


def _check_ids(names: Sequence[str], ids: Sequence[Sequence[int]], ignore: Sequence[int], task: str) -> None:
    owner: dict[int, str] = {}
    for name, group in zip(names, ids, strict=True):
        if len(set(group)) < len(group):
            raise UserError(f"ids of class '{name}' hold a number twice: {list(group)}")
        for i in group:
            if i in ignore:
                raise UserError(f"id {i} is both class '{name}' and in `ignore`; remove it from one of them")
            if i in owner and task != "multilabel":
                raise UserError(
                    f"id {i} is both '{owner[i]}' and '{name}'; a pixel has one class unless task: multilabel"
                )
            owner[i] = name


def _colors(names: Sequence[str], given: Sequence[Any]) -> tuple[tuple[int, int, int], ...]:
    for name, color in zip(names, given, strict=True):
        if color is not None and not _is_color(color):
            raise UserError(
                f"color of class '{name}' must be [red, green, blue], each 0 to 255, not {color!r}"
            )
    return tuple(
        default if color is None else (color[0], color[1], color[2])
        for color, default in zip(given, safe_colors(len(names)), strict=True)
    )


def _is_color(value: Any) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        return False
    return all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 255 for v in value)


def _rest(value: Any, names: Sequence[str], task: str) -> str:
    words = ["error", "ignore", *(["none"] if task == "multilabel" else []), *names]
    if value not in words:
        raise UserError(
            f"rest={value}{nearest(str(value), words)} Choose error, ignore or the name of a class"
        )
    return str(value)


def _parents(classes: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    parents = [c.get("parent") for c in classes]
    if not any(parents):
        return ()
    for item, parent in zip(classes, parents, strict=True):
        if not isinstance(parent, str) or not parent:
            raise UserError(
                f"class '{item['name']}' has no parent while others have; give one to all or to none"
            )
    return tuple(str(p) for p in parents)
