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
            near = difflib.get_close_matches(key.rpartition(".")[2], [str(k) for k in parent], n=1)
            raise UserError(f"the run has no key '{key}'" + (f"; did you mean '{near[0]}'" if near else ""))
    cfg.merge_with_dotlist([*others, "ckpt_path=last"])
    typed = {"trust", *(o.partition("=")[0] for o in others)}
    cfg.trust = list(trust)  # the user's word of today, not the folder's
    written: Any = OmegaConf.to_container(cfg)
    refuse_resolvers(written, file, typed)
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    refuse_untrusted(resolved, file, trust, typed)
    refuse_escapes(resolved, file, typed)
    data = resolved.get("data")
    if "data.download" not in typed and isinstance(data, dict) and "download" in data:
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


def as_before(config: dict[str, Any], run: Path) -> None:
    """Keep to what a run that goes on was begun with, where the configuration leaves it open.

    That is the split that it froze, and the number of torch threads on its card: this machine may have other
    cores, and other threads round sums differently.

    Args:
        config: The composed configuration; changed.
        run: The run folder.
    """
    from segkit.report.node import read_json

    if (run / "split.csv").is_file():
        config["data"]["split"] = str(run / "split.csv")
    card = read_json(run / "run.json") if config["threads"] is None else None
    threads = card.table("hardware").whole("torch_threads") if card else None
    if threads is not None and 1 <= threads <= 1024:  # a card is a file that anybody may have written
        config["threads"] = threads


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

    from segkit.files import sync, write_text
    from segkit.lost import spared

    with spared("what the run folder holds beside checkpoints"):
        sync(run)  # what `resume=` needs is on the disk before there is anything to resume
    if going_on:
        (run / "checkpoints").mkdir(exist_ok=True)
        for rest in run.rglob(".*.partial"):  # of a life that was killed while it wrote
            rest.unlink(missing_ok=True)
        write_text(run / ".hydra" / "config.yaml", OmegaConf.to_yaml(cfg), durable=True)
        return
    try:
        (run / "checkpoints").mkdir(parents=True)
    except FileExistsError:
        raise UserError(
            f"{run} already holds a run; choose another folder with hydra.run.dir=FOLDER"
        ) from None


def start_from(
    config: dict[str, Any], run: Path, module: Any, loggers: Sequence[Any] = (), draws: int | None = None
) -> str | None:
    """The checkpoint to begin with, looked at before Lightning reads it.

    Args:
        config: The composed configuration; ``ckpt_path`` is a file, a run folder or ``last``.
        run: This run's folder.
        module: The LightningModule that will take the weights.
        loggers: A run that goes on takes back what they hold of the steps that it repeats.
        draws: Pictures that an optimiser step sees, over all processes.

    Raises:
        UserError: No checkpoint, one of other classes or another network, or one within an epoch
            whose steps see another number of pictures.
    """
    from segkit.callback.board import Board
    from segkit.checkpoint import checkpoint_path

    wanted = config["ckpt_path"]
    if wanted is None:
        return None
    if wanted == "last":
        found = _newest_whole(run)
        for logger in loggers:
            if isinstance(logger, Board):
                logger.purge_from(found[1]["global_step"] if found else 0)
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
    if wanted == "last":
        _check_steps(content, path, draws)
    done, end = content["epoch"] + 1, config["trainer"]["max_epochs"]
    if wanted == "last" and end is not None and 0 <= end <= done:
        log.warning("already trained for %d of %d epochs; set trainer.max_epochs to go on", done, end)
    return str(path)


def _check_steps(content: dict[str, Any], path: Path, draws: int | None) -> None:
    """Other processes or batches are the same training as long as a step sees the same pictures."""
    before = content.get("SegmentationData", {}).get("position", {}).get("draws", draws)
    if before == draws:
        return
    said = (
        f"{path}: its steps saw {before} pictures each, now it would be {draws} (trainer.devices x "
        "trainer.accumulate_grad_batches x data.batch_size)"
    )
    progress = content["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    if not progress["is_last_batch"] and progress["current"]["processed"]:
        raise UserError(f"{said}; within an epoch that cannot change: set them so that it stays {before}")
    log.warning("%s: from here on it is another training", said)


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
        UserError: There are checkpoints, and all are damaged; or a folder is where the last is written.
    """
    damages: list[str] = []
    for name in ("last", "previous"):
        path = run / "checkpoints" / f"{name}.ckpt"
        if path.is_dir():
            raise UserError(f"{path}: a folder, where a checkpoint is written; move it away")
        if not path.is_file():
            continue
        try:
            found = path, _read_whole(path)
        except UserError as error:
            damages.append(str(error))
            continue
        if damages:
            log.warning("%s; going on from the one before, %s", damages[0], path)
        return found
    if damages:
        raise UserError(f"{'; '.join(damages)}; there is nothing to go on from: begin in another folder")
    return None
