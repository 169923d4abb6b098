"""What was typed: brought into the form that Hydra takes, and looked at before it composes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from segkit.error import UserError
from segkit.paths import CONF_DIR

# Hydra's options that take the next argument as their value.
WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--config-name", "-cn", "--config-path", "-cp"),
    *("--config-dir", "-cd", "--info", "-i", "--experimental-rerun"),
}


def _value(arguments: list[str], key: str) -> str | None:
    """The last value that the command line gives to a key."""
    found = [a.partition("=")[2] for a in arguments if a.partition("=")[0] == key]
    return found[-1].strip("'\"") if found else None


def with_key(arguments: Sequence[str], key: str, several: bool) -> list[str]:
    """Give arguments that are typed without a key the key that they are meant for.

    ``RUN_A RUN_B`` becomes ``runs=['RUN_A','RUN_B']`` (``several``), ``RUN`` becomes ``run='RUN'``.
    Quoted for Hydra, so that a path may hold spaces, commas, ``=``, quotes and dollar signs.

    Raises:
        UserError: More than one where one is taken, or the key is given as well.
    """
    before = ["", *arguments]
    places = [i for i, a in enumerate(arguments) if before[i] not in WITH_VALUE and _is_bare(a)]
    if not places:
        return list(arguments)
    values = [arguments[i] for i in places]
    if any(a.startswith(f"{key}=") for a in arguments):
        raise UserError(f"{values[0]}: type it as part of {key}=, or leave {key}= out")
    if len(values) > 1 and not several:
        raise UserError(f"{' '.join(values)}: takes one, got {len(values)}; quote a path that has spaces")
    typed = ",".join(map(quoted, values))
    rest = [a for i, a in enumerate(arguments) if i not in places]
    return [*rest, f"{key}=[{typed}]" if several else f"{key}={typed}"]


def _is_bare(argument: str) -> bool:
    """Neither an option nor KEY=VALUE: keys hold no slash, but for Hydra's own groups."""
    if argument.startswith("-") or (argument.startswith("~") and not argument.startswith("~/")):
        return False
    head, equals, _ = argument.partition("=")
    group = head.lstrip("+~").startswith("hydra/")
    foreign = re.fullmatch(r"[+~]*[\w.@:-]+", head) is None and not group
    return not equals or foreign or os.path.exists(argument)  # noqa: PTH110  # Path raises for long texts


def quoted(value: str) -> str:
    """A string of Hydra's grammar that stands for ``value`` literally."""
    value = re.sub(r"(\\*)'", lambda m: f"{m[1]}{m[1]}\\'", value)  # quotes, and backslashes before them
    value = re.sub(r"(\\+)$", r"\1\1", value)
    return "'" + value.replace("${", "\\${") + "'"


def arranged(arguments: list[str]) -> list[str]:
    """``--multirun`` may stand anywhere; who goes on with a run leaves its record alone.

    Hydra would write the record anew, file by file: killed in between, the run could not be resumed.
    """
    arguments = sorted(arguments, key=lambda a: a not in ("--multirun", "-m"))
    run, folder = _value(arguments, "resume"), _value(arguments, "hydra.run.dir")
    if "hydra.output_subdir=null" in arguments:
        return arguments
    if run in (None, "null", ""):
        again = folder and _goes_on(arguments) and begun(Path(folder)) and _recorded(Path(folder))
        return [*arguments, "hydra.output_subdir=null"] if again else arguments
    # The other keys are those of RUN, which Hydra does not know: "++" lets them pass for now.
    free = [a if a.startswith(("resume=", "hydra", "-", "+")) else f"++{a}" for a in arguments]
    return [*free, f"hydra.run.dir='{run}'", "hydra.output_subdir=null"]


def rank() -> int:
    """Number of this process among those that train together, as whoever started them has set it."""
    names = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")  # torchrun, segkit, srun
    return max(int(os.environ.get(name) or 0) for name in names)


def without_files(arguments: Sequence[str]) -> list[str]:
    """The command line of a further process of a run: Hydra writes nothing into the run folder."""
    given = ("hydra.output_subdir=", "hydra/job_logging=")
    kept = [a for a in arguments if not a.startswith(given)]
    return [*kept, "hydra.output_subdir=null", "hydra/job_logging=screen"]


def check_options(arguments: list[str]) -> None:
    """Refuse options that Hydra does not have: its own answer takes a dozen lines."""
    from hydra._internal.utils import get_args_parser

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; see --help")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    if parser.parse_args(arguments).experimental_rerun:
        raise UserError("--experimental-rerun would run whatever its file holds; type the options anew")


def refuse_overwriting(arguments: list[str]) -> None:
    """Two runs in one folder would mix their files."""
    resume, folder = _value(arguments, "resume"), _value(arguments, "hydra.run.dir")
    if resume not in (None, "null", ""):
        if not (Path(resume) / ".hydra" / "config.yaml").is_file():
            raise UserError(f"resume={resume}: no run folder there (it has no .hydra/config.yaml)")
        if not (begun(Path(resume)) or _recorded(Path(resume))):
            raise UserError(
                f"resume={resume}: that run was stopped before its configuration was written; "
                f"give its own command again, with hydra.run.dir={resume} ckpt_path=last"
            )
    last = _value(arguments, "ckpt_path") == "last"
    going_on_in = resume if resume not in (None, "null", "") else folder if _goes_on(arguments) else None
    if going_on_in:
        from segkit.files import RUN_FOLDERS, refuse_links

        refuse_links(Path(going_on_in), (*RUN_FOLDERS, "checkpoints"))  # before the first line of its log
    keys = [a.lstrip("+").partition("=")[0] for a in arguments]
    groups = [k for k in keys if not k.startswith("hydra/") and (CONF_DIR / k).is_dir()]
    if resume and groups:
        raise UserError(f"{groups[0]}=: a resumed run keeps its {groups[0]}; start a new run for another")
    if last and not folder and not {"--multirun", "-m"} & set(arguments):
        raise UserError("ckpt_path=last needs hydra.run.dir=RUN; or type resume=RUN alone")
    if "LOCAL_RANK" in os.environ and not (folder or resume):
        raise UserError("processes that train together need hydra.run.dir=FOLDER, or each would make its own")
    going_on = resume or last or requeued() or "LOCAL_RANK" in os.environ or rank() > 0
    if folder and not going_on and begun(Path(folder)):
        raise UserError(
            f"{folder} already holds a run; go on with it by adding ckpt_path=last, "
            "or choose another hydra.run.dir"
        )


def _goes_on(arguments: list[str]) -> bool:
    """Whether a command without ``resume=`` goes on with the run in its folder."""
    return _value(arguments, "ckpt_path") == "last" or requeued()


def begun(run: Path) -> bool:
    """Whether training has begun: its record was written and synced before."""
    return (run / "checkpoints").is_dir()


def _recorded(run: Path) -> bool:
    """Whether Hydra has written all it knows of a run: this file comes last."""
    return (run / ".hydra" / "overrides.yaml").is_file()


def requeued() -> bool:
    """Whether SLURM has started this job before: the same command then goes on with its run."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")
