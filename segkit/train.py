"""Train a model and measure it: ``python -m segkit.train model=unet trainer.accumulate_grad_batches=4``."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

from segkit.cli import launch
from segkit.types import UserError

log = logging.getLogger(__name__)


def train(cfg: Any) -> float | None:
    """Train as configured; return the monitored number of the best checkpoint (for sweeps)."""
    from hydra.core.hydra_config import HydraConfig

    run = Path(HydraConfig.get().runtime.output_dir)
    if cfg.resume is not None:
        cfg = _config_of(run, HydraConfig.get().overrides.task)

    import lightning

    from segkit import build
    from segkit.report.card import write_card

    started = datetime.now().astimezone().isoformat(timespec="seconds")
    build.quiet()
    config = build.plain(cfg)
    build.check(config)
    lightning.seed_everything(config["seed"], workers=True, verbose=False)
    data = build.data(config)
    build.threads(config, data.num_workers)
    data.check_training()
    module = build.module(config, data)
    trainer = build.trainer(config, build.callbacks(config, run), build.logger(config, run), run)
    _say_what_comes(trainer, data)
    data.fill_cache("train", "val")
    if trainer.is_global_zero:
        data.freeze_split(run / "split.csv")
        write_card(run, config, data.samples, started)
    _fit(trainer, module, data, _start_from(config, run))
    best = _best(trainer)
    if config["test"] and not config["trainer"]["fast_dev_run"]:
        _test(trainer, module, data, run, config["name"])
    log.info("results: %s", run)
    return best


def _config_of(run: Path, overrides: list[str]) -> Any:
    """The run folder's own configuration, with what else stands on the command line."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf, read_write

    cfg = OmegaConf.load(run / ".hydra" / "config.yaml")
    # Names such as ${hydra:runtime.choices.data} mean the choices of that run, not of this command.
    current: Any = HydraConfig.get()
    with read_write(current):
        current.runtime.choices = OmegaConf.load(run / ".hydra" / "hydra.yaml").hydra.runtime.choices
    OmegaConf.set_struct(cfg, True)
    others = [o for o in overrides if not o.startswith("resume=")]
    cfg.merge_with_dotlist([*others, "ckpt_path=last"])
    return cfg


def _say_what_comes(trainer: Any, data: Any) -> None:
    """How many samples and steps; a window longer than an epoch is legal but rarely meant."""
    sizes = ", ".join(f"{len(data.part(p))} {p}" for p in ("train", "val", "test"))
    batches = -(-len(data.part("train")) // (data.batch_size * trainer.world_size))
    steps = -(-batches // trainer.accumulate_grad_batches)
    log.info("samples: %s; an epoch has %d micro-batches and %d optimiser steps", sizes, batches, steps)
    if batches < trainer.accumulate_grad_batches:
        log.warning(
            "an epoch has %d micro-batches, fewer than trainer.accumulate_grad_batches=%d: it takes %d step",
            batches,
            trainer.accumulate_grad_batches,
            steps,
        )


def _start_from(config: dict[str, Any], run: Path) -> str | None:
    """The checkpoint to go on from, looked at before Lightning reads it."""
    from segkit.build import checkpoint_path, read_checkpoint

    wanted = config["ckpt_path"]
    if wanted is None:
        return None
    if wanted == "last" and not (run / "checkpoints" / "last.ckpt").is_file():
        log.warning("%s has no checkpoint yet: starting from the beginning", run)
        return None
    path = checkpoint_path(run if wanted == "last" else wanted, "last")
    names = read_checkpoint(path)["segkit"]["labels"]["names"]
    if (here := _label_names(config)) != names:
        raise UserError(
            f"{path} was trained on classes {', '.join(names)}, but data.labels has {', '.join(here)}"
        )
    return str(path)


def _label_names(config: dict[str, Any]) -> list[str]:
    from segkit.data.labels import read_labels

    return list(read_labels(config["data"]["labels"]).names)


def _fit(trainer: Any, module: Any, data: Any, checkpoint: str | None) -> None:
    from lightning.pytorch.trainer.states import TrainerStatus

    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:
        # Lightning turns Ctrl-C into exit code 1, after the callbacks have saved last.ckpt.
        if trainer.state.status == TrainerStatus.INTERRUPTED:
            run = trainer.default_root_dir
            log.warning("stopped by the user; go on with: python -m segkit.train resume=%s", run)
            raise KeyboardInterrupt from None
        raise


def _best(trainer: Any) -> float | None:
    """The monitored number of the best checkpoint."""
    score = getattr(trainer.checkpoint_callback, "best_model_score", None)
    return None if score is None else float(score)


def _test(trainer: Any, module: Any, data: Any, run: Path, name: str) -> None:
    """Measure the best checkpoint (the last weights where none was kept) and write its numbers."""
    from segkit.report.evaluation import write_evaluation
    from segkit.report.table import table

    best = run / "checkpoints" / "best.ckpt"
    trainer.test(
        module,
        datamodule=data,
        ckpt_path=str(best) if best.is_file() else None,
        weights_only=True,
        verbose=False,
    )
    if not trainer.is_global_zero:
        return
    split = "test" if data.part("test") else "val"
    about = {
        "checkpoint": "checkpoints/best.ckpt" if best.is_file() else "last weights",
        "split": split,
        "resolution": "native" if data.native else "network",
    }
    names = [s.name for s in data.part(split)]
    write_evaluation(run, module.measured, module.numbers, module.labels, names, about, name)
    print(table(module.numbers, about))


def main() -> None:
    """Entry point of ``python -m segkit.train`` and ``segkit train``."""
    launch("train", train)


if __name__ == "__main__":
    main()
