"""Command lines: each verb with keys, values and options that are wrong, up to where the work begins."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import random
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from fuzzing.reader import Make, Read, Reader
from segkit.paths import CONF_DIR
from segkit.types import UserError

SMALL = ["data.train_samples=2", "data.val_samples=1", "data.test_samples=1", "data.size=[32,64]"]
SMALL += ["data.num_workers=0", "model.base_width=4", "model.depth=2", "threads=1"]
# Verb -> what is typed, and where its work begins.
VERBS: dict[str, tuple[list[str], str]] = {
    "train": (SMALL, "lightning.Trainer.fit"),
    "evaluate": (["run=run"], "segkit.evaluate._measured"),
    "predict": (["run=run", "input=pictures"], "segkit.infer.writer.predict_files"),
    "report": (["run"], "segkit.report.run_page.write_report"),
    "compare": (["run", "run"], "segkit.report.compare.compare_runs"),
    "split": (SMALL[:3], "segkit.split._divide"),
    "convert": (["data=streets", *SMALL[:3], "output=converted"], "segkit.data.convert.convert"),
    "analyze": (SMALL[:3], "segkit.data.scan.scan"),
}
WEIGHTS = [4, 1, 1, 1, 1, 1, 1, 1]
VALUES = (
    *("", "null", "true", "nan", "inf", "-inf", "-1", "0", "1e999", "9" * 30, "0.5", "1.5", "1_000", "0x1F"),
    *(
        "[]",
        "{}",
        "[1,2",
        "{a:1}",
        "{a: {b: [1]}}",
        "[[1],[2]]",
        "[1,a]",
        "'",
        '"',
        "'a'b",
        "a b",
        "a,b",
        "1,2",
    ),
    *(
        "ü",
        "\u202e",
        "\U0001f6b2",
        "a" * 3000,
        "${seed}",
        "${nothing}",
        "${now:%Y}",
        "${",
        "\\${x}",
        "${oc.env:NO}",
    ),
    *("???", "*", "~", "=", "a=b", "%s", "<b>", "../x", "nowhere.yaml", "last", "choice(1,2)", "range(1,3)"),
    *(
        "str(1)",
        "shuffle(1,2)",
        "interval(0,1)",
        "glob(*)",
        "-",
        "--help",
        ":",
        "@",
        "\n",
        "\t",
        "[null]",
        "[nan]",
    ),
)
FLAGS = (
    *(
        "--help",
        "-h",
        "--hydra-help",
        "--version",
        "--cfg",
        "--cfg=job",
        "--cfg=x",
        "-c",
        "--resolve",
        "--package",
    ),
    *(
        "--info",
        "--info=x",
        "--info=defaults",
        "--multirun",
        "-m",
        "--config-name=x",
        "--config-name",
        "--config-dir=x",
    ),
    *(
        "--config-path=x",
        "--shell-completion",
        "--experimental-rerun",
        "--strict",
        "--run",
        "-r",
        "--",
        "-x",
        "---",
    ),
)
BARE = (
    "",
    "=",
    "a=",
    "=b",
    "+",
    "++",
    "~",
    "+=1",
    "~=",
    "train",
    "run",
    "a b=c",
    "model",
    "@",
    "model@x=unet",
    "#",
)
FIXED = ("hydra.run.dir", "hydra.sweep", "hydra.job.chdir", "run=", "output", "hydra.searchpath")


def _stop(*_: Any, **__: Any) -> Any:
    raise UserError("far enough")


def _keys() -> dict[str, list[str]]:
    """Dotted keys of each verb, groups among them."""
    found = {}
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        for verb, (typed, _) in VERBS.items():
            cfg = compose(verb, [t for t in typed if t.startswith("data=")])
            found[verb] = [*_walk(cfg), *(f.name for f in CONF_DIR.iterdir() if f.is_dir())]
    return found


def _walk(node: DictConfig, prefix: str = "") -> list[str]:
    found = []
    for key in node:
        child = OmegaConf.to_container(node, resolve=False)[key]  # type: ignore[index, call-overload]
        found.append(f"{prefix}{key}")
        if isinstance(child, dict) and isinstance(node._get_node(key), DictConfig):
            found += _walk(node._get_node(key), f"{prefix}{key}.")  # type: ignore[arg-type]
    return found


def _line_with(keys: dict[str, list[str]]) -> Make:
    def make(rng: random.Random, _: Sequence[bytes]) -> bytes:
        verb = rng.choices(list(VERBS), WEIGHTS)[0]
        line = list(VERBS[verb][0])
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            line.insert(rng.randrange(len(line) + 1), _argument(rng, keys[verb], line))
        if rng.random() < 0.1:
            line.pop(rng.randrange(len(line)))
        return json.dumps([verb, *line]).encode()

    return make


def _argument(rng: random.Random, keys: list[str], line: list[str]) -> str:
    what, key, value = rng.random(), rng.choice(keys), rng.choice(VALUES)
    if what < 0.1:
        return rng.choice(FLAGS)
    if what < 0.15:
        return rng.choice(BARE)
    if what < 0.2 and line:
        return rng.choice(line)
    if what < 0.3:
        at = rng.randrange(len(key) + 1)
        key = f"{key[:at]}{rng.choice(('x', '.', '@', '/', ' ', 'ü', ''))}{key[at + 1 :]}"
    elif what < 0.35 and (CONF_DIR / key).is_dir():
        value = rng.choice(["nothing", *(f.stem for f in sorted((CONF_DIR / key).glob("*.yaml")))])
    sign = rng.choice(("", "", "", "", "+", "++", "~"))
    if sign == "~" and rng.random() < 0.5:
        return f"~{key}"
    return f"{sign}{key}={value}"


def _harmless(line: list[str]) -> bool:
    """Nothing that writes elsewhere, waits for a processor that is not there, or is another program."""
    return not any(
        a.lstrip("+~").startswith(FIXED) and a not in ("run=run", "output=converted") for a in line
    )


def _verbs(run: Path) -> Callable[[Path], Read]:
    def prepare(home: Path) -> Read:
        shutil.copytree(run, home / "run")
        (home / "pictures").mkdir()
        for _, place in VERBS.values():
            module, _, name = place.rpartition(".")
            owner = importlib.import_module(module) if module != "lightning.Trainer" else None
            if owner is None:
                import lightning

                owner = lightning.Trainer  # type: ignore[assignment]
            setattr(owner, name, _stop)

        def read(data: bytes) -> None:
            verb, *line = json.loads(data)
            if _harmless(line):
                _run(verb, line, home)

        return read

    return prepare


def _run(verb: str, line: list[str], home: Path) -> None:
    out, err, code, before = io.StringIO(), io.StringIO(), 0, sys.argv
    sys.argv = ["segkit", *line]
    try:
        with contextlib.chdir(home), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            module = "segkit.report.__main__" if verb == "report" else f"segkit.{verb}"
            importlib.import_module(module).main()
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else int(bool(stopped.code))
    finally:
        sys.argv = before
        shutil.rmtree(home / "outputs", ignore_errors=True)
        shutil.rmtree(home / "multirun", ignore_errors=True)
    said = err.getvalue()
    lines = [text for text in said.splitlines() if re.match(r"segkit \w+: error: ", text)]
    assert "Traceback" not in said, f"{verb} {line}\n{said}"
    assert code in (0, 2), f"{verb} {line}: exit code {code}\n{said}"
    if code == 2:
        assert len(lines) == 1, f"{verb} {line}\n{said}"
        assert said.splitlines()[-1] == lines[0], f"{verb} {line}\n{said}"


def command_reader(run: Path) -> Reader:
    """Command lines; ``run`` is a finished run."""
    seeds = [json.dumps([verb, *typed]).encode() for verb, (typed, _) in VERBS.items()]
    return Reader("command line", seeds, _verbs(run), (_line_with(_keys()),), seldom=10, slow=True)
