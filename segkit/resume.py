"""Going on with a run: its configuration, its split, its last checkpoint."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segkit.error import UserError
from segkit.foreign import read_text, yaml_value
from segkit.trust import refuse_escapes, refuse_resolvers, refuse_untrusted

log = logging.getLogger(__name__)


def config_of(run: Path, overrides: Sequence[str], trust: Sequence[str] = ()) -> Any:
    """The configuration of the run in ``run``, changed by what else stands on the command line.

    The folder may be a stranger's: what was not typed may call only what ``conf/`` offers.

    Args:
        run: A run folder.
        overrides: ``KEY=VALUE`` or ``++KEY=VALUE``; ``resume=`` is left out.
        trust: What its configuration may call as well (`segkit.trust`).

    Raises:
        UserError: A key that the run does not have, or what its configuration may not say.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf, read_write

    file = run / ".hydra" / "config.yaml"
    stored = _mapping(file)
    cfg: Any = OmegaConf.create({"trust": [], **stored})
    # Names such as ${hydra:runtime.choices.data} mean the choices of that run, not of this command.
    current: Any = HydraConfig.get()
    with read_write(current):
        current.runtime.choices = _choices(run / ".hydra" / "hydra.yaml")
    others = [o.lstrip("+") for o in overrides if not o.startswith("resume=")]
    for key in (o.partition("=")[0] for o in others):
        if OmegaConf.select(cfg, key, default=...) is ...:
            parent = OmegaConf.select(cfg, key.rpartition(".")[0] or "", default=None) or cfg
            near = difflib.get_close_matches(key.rpartition(".")[2], list(parent), n=1)
            raise UserError(f"the run has no key '{key}'" + (f"; did you mean '{near[0]}'" if near else ""))
    cfg.merge_with_dotlist([*others, "ckpt_path=last"])
    typed = {"trust", *(o.partition("=")[0] for o in others)}
    cfg.trust = list(trust)  # the user's word of today, not the folder's
    written: Any = OmegaConf.to_container(cfg)
    refuse_resolvers(written, file, typed)
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    refuse_untrusted(resolved, file, trust, typed)
    refuse_escapes(resolved, file, typed)
    if "data.download" not in typed and "download" in (resolved.get("data") or {}):
        cfg.data.download = False  # nothing is fetched because a folder says so
    return cfg


def _mapping(file: Path) -> dict[str, Any]:
    try:
        found = yaml_value(read_text(file))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot go on with {file.parent.parent}: {file}: {reason}") from None
    if not isinstance(found, dict):
        raise UserError(f"cannot go on with {file.parent.parent}: {file} holds no configuration")
    return found


def _choices(file: Path) -> dict[str, str | None]:
    """What was chosen of each group, such as ``model: unet``."""
    node: Any = _mapping(file)
    for key in ("hydra", "runtime", "choices"):
        node = node.get(key) if isinstance(node, dict) else None
    choices = node if isinstance(node, dict) else {}
    return {str(k): v for k, v in choices.items() if v is None or (isinstance(v, str) and "${" not in v)}


def claim(run: Path, going_on: bool, cfg: Any) -> None:
    """Take a run folder, so that two runs that start in the same second do not share one.

    Args:
        run: The run folder.
        going_on: The folder is this run's already; its record takes the configuration that is
            used now, so that the next ``resume=`` begins with it.
        cfg: The composed ``DictConfig``.

    Raises:
        UserError: Another run was here first.
    """
    from omegaconf import OmegaConf

    from segkit.files import write_text

    if going_on:
        (run / "checkpoints").mkdir(exist_ok=True)
        write_text(run / ".hydra" / "config.yaml", OmegaConf.to_yaml(cfg))
        return
    try:
        (run / "checkpoints").mkdir(parents=True)
    except FileExistsError:
        raise UserError(
            f"{run} already holds a run; choose another folder with hydra.run.dir=FOLDER"
        ) from None


def start_from(config: dict[str, Any], run: Path, module: Any, loggers: Sequence[Any] = ()) -> str | None:
    """The checkpoint to begin with, looked at before Lightning reads it.

    Args:
        config: The composed configuration; ``ckpt_path`` is a file, a run folder or ``last``.
        run: This run's folder.
        module: The LightningModule that will take the weights.
        loggers: A run that goes on takes back what they hold of the steps that it repeats.

    Raises:
        UserError: No checkpoint, or one of other classes or another network.
    """
    from segkit.checkpoint import checkpoint_path

    wanted = config["ckpt_path"]
    if wanted is None:
        return None
    if wanted == "last":
        found = _newest_whole(run)
        for logger in loggers:
            if hasattr(logger, "_kwargs"):  # TensorBoard: readers drop what was written from here on
                logger._kwargs["purge_step"] = found[1]["global_step"] if found else 0
        if found is None:
            log.warning("%s has no checkpoint yet: starting from the beginning", run)
            return None
        path, content = found
    else:
        path = checkpoint_path(wanted, "last")
        content = _read_whole(path)
    names, here = content["segkit"]["labels"]["names"], list(module.labels.names)
    if here != names:
        raise UserError(
            f"{path} was trained on classes {', '.join(names)}, but data.labels has {', '.join(here)}"
        )
    shapes = {k: tuple(v.shape) for k, v in content["state_dict"].items()}
    if shapes != {k: tuple(v.shape) for k, v in module.state_dict().items()}:
        raise UserError(f"{path} holds another network; give the model.* values that it was trained with")
    done, end = content["epoch"] + 1, config["trainer"]["max_epochs"]
    if wanted == "last" and end is not None and 0 <= end <= done:
        log.warning("already trained for %d of %d epochs; set trainer.max_epochs to go on", done, end)
    return str(path)


def _read_whole(path: Path) -> dict[str, Any]:
    """Read a checkpoint of which all parts that training goes on from are there.

    Raises:
        UserError: It is damaged.
    """
    from segkit.checkpoint import read_checkpoint

    content = read_checkpoint(path)
    if fault := _content_fault(content):
        raise UserError(f"{path}: a damaged checkpoint (its {fault} is not what training writes)")
    return content


def _content_fault(content: dict[str, Any]) -> str:
    """The first part of a checkpoint that cannot be gone on from; nothing where all is as it should be."""
    labels = content["segkit"].get("labels") if isinstance(content["segkit"], dict) else None
    names = labels.get("names") if isinstance(labels, dict) else None
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        return "list of classes"
    weights = content["state_dict"]
    if not isinstance(weights, dict) or not all(hasattr(v, "shape") for v in weights.values()):
        return "table of weights"
    kinds = {"epoch": int, "global_step": int, "loops": dict, "callbacks": dict, "optimizer_states": list}
    return next((k for k, kind in kinds.items() if not isinstance(content.get(k), kind)), "")


def _newest_whole(run: Path) -> tuple[Path, dict[str, Any]] | None:
    """The last checkpoint of a run, or the one before where a disk has damaged the last.

    Raises:
        UserError: There are checkpoints, and all are damaged.
    """
    damage: UserError | None = None
    for name in ("last", "previous"):
        path = run / "checkpoints" / f"{name}.ckpt"
        if not path.is_file():
            continue
        try:
            found = path, _read_whole(path)
        except UserError as error:
            damage = damage or error
            continue
        if damage is not None:
            log.warning("%s; going on from the one before, %s", damage, path)
        return found
    if damage is not None:
        raise damage
    return None
