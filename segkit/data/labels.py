"""YAML -> `LabelSpace`: what the numbers in mask files mean."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml  # type: ignore[import-untyped,unused-ignore]

from segkit.data.ids import check_ids, class_colors, class_ids, parse_ids, unpack
from segkit.error import LOOK
from segkit.foreign import read_text, yaml_value
from segkit.paths import CONF_DIR
from segkit.types import LabelSpace, Masks, Task, UserError

KEYS = ("task", "masks", "names", "colors", "ids", "ignore", "rest")
CLASS_KEYS = ("name", "ids", "color", "parent")
UNKNOWN = LabelSpace(("?", "?2"), ((0, 0, 0), (255, 255, 255)), ((), ()), ignore=(), rest="ignore")
MAX_CLASSES = 65535  # 65535 itself is the ignore index of 16-bit targets


class LabelsMissing(UserError):
    """No label space was given: training needs one, a first look can do without (`UNKNOWN`)."""


def read_labels(spec: str | Path | Mapping[str, Any] | LabelSpace | None) -> LabelSpace:
    """Build a label space.

    Args:
        spec: Name of a file in ``conf/labels``, path of a YAML file, or what such a file
            holds: ``names`` (texts, or mappings of ``name``, ``ids``, ``color``, ``parent``),
            and optionally ``task``, ``masks``, ``colors`` and ``ids`` (lists parallel to
            ``names``), ``ignore`` (default: 255, nothing with ``masks: color``) and ``rest``.
            With ``masks: color`` ids are colours, and a class without ``ids`` means its
            ``color``. A finished label space is returned as it is.

    Raises:
        UserError: The file does not exist, or a value is wrong or contradicts another one.
    """
    if isinstance(spec, LabelSpace):
        return spec
    if isinstance(spec, Mapping):
        return _parse(spec, "data.labels")
    path = _locate(spec)
    return _parse(_load(path), str(path))


def check_space(values: Mapping[str, Any]) -> LabelSpace:
    """Rebuild a label space from what `LabelSpace.to_dict` gave, whoever wrote it down since.

    Raises:
        UserError: No label space could have given that.
    """
    try:
        space = LabelSpace.from_dict(values)
        rebuilt = read_labels(
            {
                "task": space.task,
                "masks": space.masks,
                "names": list(_entries(space)),
                "ignore": [_yaml_id(space, i) for i in space.ignore],
                "rest": space.rest,
            }
        )
    except UserError:
        raise
    except Exception as error:  # values of any type can stand there
        raise UserError(f"its label space is damaged ({type(error).__name__})") from error
    return rebuilt


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
        raise LabelsMissing(
            f"data.labels is not set: give one of {', '.join(shipped)}, or a YAML file with `names` and "
            f"`ids`; `{LOOK}` looks at the masks and writes one"
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
        content = yaml_value(read_text(path))
    except (OSError, ValueError) as error:
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
    task, masks = _word(spec, "task", get_args(Task)), _word(spec, "masks", get_args(Masks))
    if task == "multilabel" and masks == "color":
        raise UserError("a pixel has one colour: masks: color goes with task: multiclass or task: binary")
    classes = _classes(spec.get("names"))
    names = tuple(c["name"] for c in classes)
    _check_names(names, task)
    ids = class_ids(spec, classes, masks)
    void = [255] if masks == "index" and not any(255 in group for group in ids) else []
    space = LabelSpace(
        names=names,
        colors=class_colors(spec, classes, ids, masks),
        ids=ids,
        ignore=parse_ids(spec.get("ignore", void), "ignore", masks),
        rest=_rest(spec.get("rest", "error"), names, task),
        task=task,
        parents=_parents(classes),
        masks=masks,
    )
    check_ids(space)
    return space


def labels_yaml(space: LabelSpace) -> str:
    """Write a label space as the YAML that `read_labels` turns back into the same one.

    Returns:
        Text that ends with a line end; comment lines may be put before it.
    """
    lines = [f"task: {space.task}", f"masks: {space.masks}", "names: # class: what means it in mask files"]
    lines += [f"  - {_flow(entry)}" for entry in _entries(space)]
    lines += [
        f"ignore: {_flow([_yaml_id(space, i) for i in space.ignore])}",
        f"rest: {_flow([space.rest])[1:-1]} # what a value that is listed nowhere means",
    ]
    return "\n".join(lines) + "\n"


def _entries(space: LabelSpace) -> Iterable[dict[str, Any]]:
    for index, name in enumerate(space.names):
        ids = [_yaml_id(space, i) for i in space.ids[index]]
        color = list(space.colors[index])
        entry = {"name": name, "ids": ids[0] if len(ids) == 1 else ids, "color": color}
        if space.masks == "color" and ids == [color]:
            del entry["ids"]  # the colour alone says it
        if space.parents:
            entry["parent"] = space.parents[index]
        yield entry


def _yaml_id(space: LabelSpace, file_id: int) -> int | list[int]:
    return file_id if space.masks == "index" else list(unpack(file_id))


def _flow(value: Any) -> str:
    """One line of YAML, quoted where it has to be."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.strip()


def _word(spec: Mapping[str, Any], key: str, known: Sequence[str]) -> Any:
    value = spec.get(key, known[0])
    if value not in known:
        raise UserError(f"{key}={value} is unknown; choose {', '.join(known)}")
    return value


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
