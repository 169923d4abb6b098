"""Train a model and measure it: ``python -m segkit.train model=unet trainer.accumulate_grad_batches=4``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segkit import lost
from segkit.arguments import begun, requeued
from segkit.cli import INCOMPLETE, launch, with_data_options
from segkit.error import UserError
from segkit.stop import Preempted, heed
from segkit.trust import names

log = logging.getLogger(__name__)


def train(cfg: Any) -> float | None:
    """Train as configured; return the monitored number of the best checkpoint (for sweeps)."""
    from hydra.core.hydra_config import HydraConfig

    from segkit.processes import Processes, follow
    from segkit.resume import claim, start_from

    follow()
    run = Path(HydraConfig.get().runtime.output_dir)
    cfg = _own_of_a_run_that_goes_on(cfg, run)

    import lightning

    from segkit import build
    from segkit.report.card import Clock, write_card
    from segkit.report.repeat import outlook

    clock = Clock.start()
    lost.begin()
    build.quiet()
    config = _checked(cfg, run)
    lightning.seed_everything(config["seed"], workers=True, verbose=False)
    data = _data(config)
    module = build.module(config, data)
    trainer = build.trainer(config, run)
    deterministic = outlook(config, trainer, module.net, module.loss)
    if trainer.is_global_zero:
        _say_what_comes(trainer, data)
    trainer.precision_plugin.convert_module(module)  # Lightning does it behind a resume, which then rounds
    checkpoint = start_from(config, run, module, trainer.loggers, data.draws_per_step(trainer))
    if trainer.is_global_zero and not config["trainer"]["fast_dev_run"]:
        claim(run, going_on=config["ckpt_path"] == "last", cfg=cfg)
        write_card(run, config, data.samples, _arguments(), deterministic)
        data.freeze_split(run / "split.csv")
    try:
        with Processes(trainer, run):
            best = _fit_and_measure(trainer, module, data, run, config, checkpoint)
    finally:
        _conclude(trainer, module, data, run, clock)
        missing = _say_what_is_missing()
    if missing:
        sys.exit(INCOMPLETE)
    return best


def _own_of_a_run_that_goes_on(cfg: Any, run: Path) -> Any:
    """The configuration that counts: with ``resume=`` the run's; a job queued again goes on with its run."""
    from hydra.core.hydra_config import HydraConfig

    from segkit.resume import config_of

    if cfg.resume is not None:
        return config_of(run, HydraConfig.get().overrides.task, names(cfg.trust))
    if requeued() and begun(run):
        cfg.ckpt_path = "last"
    return cfg


def _checked(cfg: Any, run: Path) -> dict[str, Any]:
    """The configuration as plain values that fit together, and fit the run that they go on with."""
    from segkit import build
    from segkit.resume import as_before

    config = build.plain(cfg)
    build.check(config)
    if config["ckpt_path"] == "last":
        as_before(config, run)
    _refuse_processes_in_a_sweep(config)
    return config


def _data(config: dict[str, Any]) -> Any:
    """The data, looked at and, where that is asked for, cached."""
    from segkit import build

    data = build.data(config)
    build.threads(config)
    for fault in data.check_training():
        log.warning("%s: %s", fault.kind, with_data_options(fault.line(), sys.argv[1:]))
    data.fill_cache("train", "val")
    return data


def _fit_and_measure(
    trainer: Any, module: Any, data: Any, run: Path, config: dict[str, Any], checkpoint: str | None
) -> float | None:
    """Train from a checkpoint or from the beginning; the monitored number of the best checkpoint."""
    _interruptible(trainer, lambda: trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True))
    best = _best(trainer)
    if not config["trainer"]["fast_dev_run"]:
        _measure(trainer, module, data, run, config)
    return best


def _say_what_is_missing() -> bool:
    """Name what could not be written; return whether the run is incomplete without it."""
    missing = lost.lost()
    for kind, why in missing.items():
        log.error("missing in the run folder, or not the newest: %s (%s)", kind, why)
    return bool(set(missing) & set(lost.NEEDED))


def _measure(trainer: Any, module: Any, data: Any, run: Path, config: dict[str, Any]) -> None:
    """What comes after training: temperature and test of the best checkpoint."""
    if _best(trainer) is None and trainer.is_global_zero:
        log.warning("no checkpoint was chosen as the best: validation did not take place, or gave no number")
    _calibrate(trainer, module, data, run)
    if config["test"]:
        _interruptible(trainer, lambda: _test(trainer, module, data, run, config["name"]))


def _conclude(trainer: Any, module: Any, data: Any, run: Path, clock: Any) -> None:
    """Say what the run has cost and make its page, also of a run that the user has stopped."""
    from segkit.infer.views import make_page
    from segkit.report.card import finish_card

    if not trainer.is_global_zero or trainer.fast_dev_run or not (run / "run.json").is_file():
        return
    on_gpu = trainer.strategy.root_device.type == "cuda"
    gpus = trainer.num_devices * trainer.num_nodes if on_gpu else 0
    skipped = _left_out(trainer)
    with lost.spared("run.json"):
        finish_card(run, clock, trainer.global_step, gpus, len(skipped.rows) if skipped else 0)
    if skipped and skipped.rows:
        log.warning("%s", skipped.line())
    log.info("results: %s", run)
    if isinstance(sys.exception(), Preempted | SystemExit):
        return  # there may be no time left; `segkit report RUN` makes the page
    if (page := make_page(run, module.net, module.labels, data)) is not None:
        log.info("report: %s", page)


def _arguments() -> Sequence[str]:
    """The command line, or in a sweep that of this job alone: a launcher may run it anywhere."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    job: Any = HydraConfig.get()
    return list(job.overrides.task) if job.mode == RunMode.MULTIRUN else sys.argv[1:]


def _refuse_processes_in_a_sweep(config: dict[str, Any]) -> None:
    """Lightning starts further processes with this command line: each would run the whole sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    several = config["trainer"]["devices"] not in (1, "1") or config["trainer"]["num_nodes"] > 1
    if HydraConfig.get().mode == RunMode.MULTIRUN and several:
        raise UserError(
            "--multirun with several processes per job does not work: "
            "set trainer.devices=1, or run the jobs singly"
        )


def _say_what_comes(trainer: Any, data: Any) -> None:
    """How many samples and steps; a window longer than an epoch is legal but rarely meant."""
    sizes = ", ".join(f"{len(data.part(p))} {p}" for p in ("train", "val", "test"))
    batches = data.train_batches(trainer)
    steps = -(-batches // trainer.accumulate_grad_batches)
    log.info("samples: %s; an epoch has %d micro-batches and %d optimiser steps", sizes, batches, steps)
    if batches < trainer.accumulate_grad_batches:
        log.warning(
            "an epoch has %d micro-batches, fewer than trainer.accumulate_grad_batches=%d: it takes %d step",
            batches,
            trainer.accumulate_grad_batches,
            steps,
        )


def _interruptible(trainer: Any, work: Callable[[], Any]) -> None:
    """Lightning turns a stop into exit code 1; here it stays what it was, and one line says how to go on."""
    try:
        heed()
        work()
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise  # of submitit, which has queued the job again
        by = "the system" if isinstance(error.__context__, Preempted) else "the user"
        log.warning(
            "stopped by %s; go on with: python -m segkit.train resume=%s", by, trainer.default_root_dir
        )
        raise error.__context__ from None


def _left_out(trainer: Any) -> Any:
    """The samples that could not be read (``data.on_error=skip``), or ``None``."""
    from segkit.callback.skipped import LeftOut

    return next((c.skips for c in trainer.callbacks if isinstance(c, LeftOut)), None)


def _best(trainer: Any) -> float | None:
    """The monitored number of the best checkpoint."""
    score = getattr(trainer.checkpoint_callback, "best_model_score", None)
    return None if score is None else float(score)


def _calibrate(trainer: Any, module: Any, data: Any, run: Path) -> None:
    """Where calibration is measured, fit the best checkpoint's temperature on the validation part.

    It is kept in ``best.ckpt``. ``last.ckpt`` has none: it is what training goes on from, and other weights.
    """
    from segkit.checkpoint import keep_temperature, read_checkpoint
    from segkit.infer.calibrate import calibrate, say

    best = run / "checkpoints" / "best.ckpt"
    if "calibration" not in module.meters or not best.is_file():
        return
    module.load_state_dict(read_checkpoint(best)["state_dict"])
    net = module.net.to(trainer.strategy.root_device)
    fitted = calibrate(net, module.labels, data.eval_dataloader("val"), len(data.part("val")))
    if trainer.is_global_zero:
        say(fitted)
        with lost.spared("the temperature in best.ckpt"):
            keep_temperature(best, fitted.temperature if fitted else 1.0)
    trainer.strategy.barrier()  # the test reads it


def _test(trainer: Any, module: Any, data: Any, run: Path, name: str) -> None:
    """Measure the best checkpoint (the last weights where none was kept) and write its numbers."""
    from segkit.report.evaluation import Evaluation, numbers_of, write_evaluation
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
        "resolution": data.resolution,
        "threshold": module.threshold,
        "temperature": module.temperature,
    }
    evaluation = Evaluation(
        module.measured,
        module.labels,
        [data.part(split)[i] for i in module.measured.index],
        module.protocol,
        about,
        name,
        module.tables,
        dict(module.meters),
        skipped.names(split) if (skipped := _left_out(trainer)) else (),
    )
    numbers = None
    with lost.spared(lost.MEASURED):
        numbers = write_evaluation(run, evaluation)
    print(table(numbers or numbers_of(evaluation), about))


def main() -> None:
    """Entry point of ``python -m segkit.train`` and ``segkit train``."""
    launch("train", train)


if __name__ == "__main__":
    main()
