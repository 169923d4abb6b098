"""From a command line to a task: Hydra composes, mistakes become one line and exit code 2.

Nothing heavy is imported here: a typo, ``--help`` or ``--cfg job`` is answered before
torch and Lightning are loaded.
"""

from __future__ import annotations

import difflib
import errno
import functools
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from segkit.arguments import arranged, check_options, rank, refuse_overwriting, with_key, without_files
from segkit.error import DATA_OPTIONS, UserError, visible
from segkit.exhausted import explain_exhausted
from segkit.paths import CONF_DIR
from segkit.stop import SYSTEM_SIGNALS, Preempted, asked, heed, listening

USER_ERROR = 2  # exit code: the user can mend it
INTERRUPTED = 130  # exit code: Ctrl-C, as shells report it
INCOMPLETE = 1  # exit code: trained, but something that was asked for could not be written
PREEMPTED = 75  # exit code: stopped by the system with everything saved (EX_TEMPFAIL: try again)


def launch(verb: str, task: Callable[[Any], Any], bare: str | None = None, several: bool = False) -> None:
    """Run a verb: compose its configuration from ``sys.argv``, call ``task`` with it, exit.

    Args:
        verb: Name of the command and of its file in ``conf/``.
        task: Takes the composed ``DictConfig``; in a sweep it is called once per job.
        bare: Key that takes arguments which are typed without one, such as ``runs``.
        several: The key takes a list of them, else one.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come to us instead of being printed by Hydra
    # Torch's threads sleep while they wait: others need the cores (loader processes, other runs), and
    # threads that spin take three times the time then. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    started = False

    @functools.wraps(task)  # Hydra names the log after the task's module
    def guarded(cfg: Any) -> Any:
        nonlocal started
        started = True
        # Inside, so that Hydra does not add lines of its own to ours.
        with one_line(verb):
            heed()
            return task(cfg)

    with one_line(verb), listening():
        typed = ["strict=true" if a == "--strict" else a for a in sys.argv[1:]]
        sys.argv[1:] = arranged(with_key(typed, bare, several) if bare else typed)
        if verb == "train" and rank() > 0:
            sys.argv[1:] = without_files(sys.argv[1:])
        if {"--help", "-h"} & set(sys.argv[1:]):
            print(_help(verb))
            return
        refuse_overwriting(sys.argv[1:])
        check_options(sys.argv[1:])
        import hydra

        try:
            hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=verb)(guarded)()
        except Exception as error:
            if started or explain(error, verb, sys.argv[1:]) is not None:
                raise
            said = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f"no configuration can be made of these arguments ({said}); see --help"
            ) from error


@contextmanager
def one_line(verb: str) -> Iterator[None]:
    """Turn a mistake of the user's into one line of `verb` and exit code 2."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        _end_stopped(verb, isinstance(stopped, Preempted))
    except Exception as error:
        if (number := asked()) is not None:  # of which some library has made this error
            _end_stopped(verb, number in SYSTEM_SIGNALS)
        if (message := explain(error, verb, sys.argv[1:])) is None:
            raise
        message = visible(message)
        _log_to_run_folder(message)
        print(f"segkit {verb}: error: {message}", file=sys.stderr)
        sys.exit(USER_ERROR)


def _end_stopped(verb: str, by_system: bool) -> NoReturn:
    if rank() == 0:  # one process of a run says it
        print(f"segkit {verb}: stopped", file=sys.stderr)
    sys.exit(PREEMPTED if by_system else INTERRUPTED)


def _help(verb: str) -> str:
    """The text that Hydra would print too, after composing everything."""
    return str(_yaml(CONF_DIR / "hydra" / "help" / f"{verb}.yaml")["template"])


def explain(error: BaseException, verb: str, arguments: list[str]) -> str | None:
    """Return one line for a mistake of the user's, ``None`` for a mistake of ours."""
    from hydra.errors import HydraException, InstantiationException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return with_data_options(str(cause), arguments)
        cause = cause.__cause__
    if isinstance(error, InstantiationException):
        return None  # an error of the object's own, which is ours
    if isinstance(error, HydraException):
        return _explain_hydra(error, verb, arguments)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}= must be given; segkit {verb} --help tells what it is"
    if isinstance(error, OmegaConfBaseException):
        return " ".join(str(error).split())
    if type(error).__module__.startswith("submitit."):
        said = re.findall(r"segkit \w+: error: (.*)", str(error)) or str(error).strip().splitlines()[-1:]
        return f"a job of the sweep has failed (logs: .submitit in the sweep folder): {said[-1]}"
    if isinstance(error, OSError) and error.filename is not None and explain_exhausted(error) is None:
        where = f"{error.filename}: {error.strerror}"
        return f"cannot write or read {where}; choose another folder with hydra.run.dir=FOLDER"
    if isinstance(error, OSError | RuntimeError | MemoryError) and (line := explain_exhausted(error)):
        return with_data_options(f"{line}{_going_on(verb)}", arguments)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}: make room, or choose another folder with hydra.run.dir=FOLDER"
    return None


def _going_on(verb: str) -> str:
    """How to go on with a run that was ended by no fault of its own."""
    from hydra.core.hydra_config import HydraConfig

    if verb != "train" or not HydraConfig.initialized():
        return ""
    run = Path(HydraConfig.get().runtime.output_dir)
    known = (run / "checkpoints" / "last.ckpt").is_file()
    return f"; go on with: python -m segkit.train resume={shlex.quote(str(run))}" if known else ""


def check_threshold(value: Any) -> None:
    """Refuse a probability that is none, before anything heavy is loaded."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise UserError(f"threshold={value}: must lie between 0 and 1, both excluded")


def with_data_options(message: str, arguments: Sequence[str]) -> str:
    """Complete a command that a message proposes: it can be typed as it stands."""
    given = [a for a in arguments if a.partition("=")[0] == "data" or a.startswith("data.")]
    return message.replace(DATA_OPTIONS, shlex.join(given)) if given else message


def _explain_hydra(error: Exception, verb: str, arguments: list[str]) -> str:
    text = str(error)
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match[1], verb, arguments)
    if match := re.search(r"Could not find '([^']+)'", text):
        return _unknown_choice(match[1])
    if match := re.search(r"You must specify '([^']+)'", text):
        return f"{match[1]}= must be given; there are {', '.join(_choices(match[1]))}"
    if override := getattr(error, "override", None):
        text = f"cannot read '{override}': {text.splitlines()[0]}; quote values with special characters"
    return " ".join(f"{text} {error.__cause__ or ''}".split())


def _unknown_key(key: str, verb: str, arguments: list[str]) -> str:
    known = sorted(set(_known_keys(verb, arguments)) - {key})
    message = f"there is no key '{key}'"
    return f"{message}{_nearest(key, known)}; see all with --cfg job"


def _unknown_choice(name: str) -> str:
    group, _, choice = name.rpartition("/")
    choices = _choices(group)
    hint = _nearest(choice, choices)
    return f"{group}={choice}: there is no such choice{hint}; there are {', '.join(choices)}"


def _choices(group: str) -> list[str]:
    return sorted(p.stem for p in (CONF_DIR / group).glob("*.yaml") if not p.name.startswith("_"))


def _nearest(word: str, known: list[str]) -> str:
    # First the right name in the wrong place, such as lr for optimizer.lr.
    found = [k for k in known if k.rpartition(".")[2] == word.rpartition(".")[2] and k != word]
    found = found or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean '{found[0]}'" if found else ""


def _known_keys(verb: str, arguments: list[str]) -> Iterator[str]:
    """Every dotted key of a verb with the choices on the command line.

    The files are read as they are: composing once more would double the time of the answer.
    """
    chosen = {k: v.rpartition(",")[2] for k, _, v in (a.partition("=") for a in arguments) if v}
    top = _yaml(CONF_DIR / f"{verb}.yaml")
    yield from _walk(top)
    for entry in top["defaults"]:
        for group, choice in entry.items() if isinstance(entry, dict) else ():
            file = CONF_DIR / group / f"{chosen.get(group, choice)}.yaml"
            yield group
            if not group.startswith("override ") and file.is_file():
                yield from _walk(_yaml(file), f"{group}.")
                common = file.with_name("_common.yaml")
                yield from _walk(_yaml(common), f"{group}.") if common.is_file() else ()


def _yaml(path: Path) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped,unused-ignore]

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(), loader) or {}


def _walk(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, child in node.items():
        yield f"{prefix}{key}"
        if isinstance(child, dict):
            yield from _walk(child, f"{prefix}{key}.")


def _log_to_run_folder(message: str) -> None:
    """Keep the reason in the run's log as well, where there is one."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.emit(logging.LogRecord("segkit", logging.ERROR, "", 0, message, None, None))
