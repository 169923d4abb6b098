"""Configuration -> objects.

Every function takes the composed configuration as plain containers.
"""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from segkit import __version__
from segkit.augment.crop import check_classes
from segkit.augment.fit import stretch, stretch_target
from segkit.callback.disk import DurableIO
from segkit.callback.nan import NanGuard
from segkit.callback.skipped import LeftOut
from segkit.cli import check_threshold
from segkit.data.datamodule import SegmentationData
from segkit.data.make import loader_keys, make_source
from segkit.form import GROUPS, check_form
from segkit.loss.weights import class_weights
from segkit.metric.protocol import Protocol
from segkit.metric.table import ImageTable
from segkit.model.wrapper import Segmenter
from segkit.module import SegmentationModule
from segkit.schema import check_values, check_whole, parameters
from segkit.types import LabelSpace, UserError

log = logging.getLogger(__name__)

Config = dict[str, Any]
LOADER_KEYS = tuple(
    k for k in parameters(SegmentationData) if k not in ("self", "source", "augment", "resize", "seed")
)


def plain(cfg: DictConfig) -> Config:
    """Resolve interpolations and leave Hydra's types behind."""
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[return-value]


def check(config: Config) -> None:
    """Compare every value with what its target takes, before anything is read or trained.

    Raises:
        UserError: Names the key, the value and what was expected.
    """
    check_form(config)
    _check_own_keys(config)
    for group in GROUPS:
        check_node(group, config[group], loader_keys() if group == "data" else ())
    loader = {k: v for k, v in config["data"].items() if k in LOADER_KEYS}
    check_values("data", loader, SegmentationData)
    check_metric(config["metric"])
    for name, node in config["callback"].items():
        if node is not None:
            check_node(f"callback.{name}", node)
    _check_skipping(config)


def _check_skipping(config: Config) -> None:
    """A micro-batch without any sample does not go through the network, for which others would wait."""
    if config["data"].get("on_error") != "skip":
        return
    for key, waits in (
        ("sync_batchnorm=true", config["trainer"]["sync_batchnorm"]),
        (f"strategy={config['trainer']['strategy']}", "fsdp" in str(config["trainer"]["strategy"])),
    ):
        if waits:
            raise UserError(f"data.on_error=skip does not work with trainer.{key}: set data.on_error=raise")


def check_metric(values: Config) -> None:
    """Compare the values of a metric group with what they are given to."""
    for name, node in values.items():
        if node is not None:
            check_node(f"metric.{name}", node)


def _check_own_keys(config: Config) -> None:
    """The keys that are no argument of a target."""
    check_values("training", config["training"], NanGuard)
    check_threshold(config["threshold"])
    for key, low in (("seed", 0), ("threads", 1)):
        value = config[key]
        if key == "threads" and value is None:
            continue
        check_whole(key, value, low)
    if config["monitor_mode"] not in ("min", "max"):
        raise UserError(f"monitor_mode={config['monitor_mode']}: choose min or max")


def _check_monitor(monitor: str, labels: LabelSpace) -> None:
    """A number that is never logged would only be missed after the first epoch."""
    known = ["train/loss", *(f"val/{n}" for n in ("loss", "miou", "dice", "accuracy"))]
    known += [f"val/iou/{name}" for name in labels.names]
    if monitor not in known:
        raise UserError(f"monitor={monitor}: there is no such number; choose from {', '.join(known)}")


def check_node(prefix: str, node: Config, also: tuple[str, ...] = ()) -> None:
    """Compare the values of a node with the signature of its ``_target_`` (see `check_values`)."""
    target = node.get("_target_") if isinstance(node, Mapping) else None
    if not isinstance(target, str):
        raise UserError(f"{prefix}={str(node)[:60]}: nothing can be made of that (it has no _target_)")
    try:
        found = get_object(target)
    except Exception as error:  # importing can raise anything
        raise UserError(f"{prefix}._target_={target}: there is no such thing ({first_line(error)})") from None
    if not callable(found):
        raise UserError(f"{prefix}._target_={target}: nothing that can be called")
    check_values(prefix, node, found, also)


def data(config: Config) -> SegmentationData:
    """Source, split, augmentation and loaders."""
    values = config["data"]
    source = make_source(values)
    loader = {k: v for k, v in values.items() if k in LOADER_KEYS}
    augment = _instantiate(config["augment"])
    check_classes(config["augment"].get("crop_classes"), source.labels.num_classes)
    return SegmentationData(source, augment, stretch_both, seed=config["seed"], **loader)


def stretch_both(image: Any, target: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """Image and target at another size, for evaluation."""
    return stretch(image, size), stretch_target(target, size)


def network(model: Config, labels: LabelSpace) -> Segmenter:
    """The network inside its wrapper: bytes in, logits out."""
    return Segmenter(_instantiate(model, num_logits=labels.num_logits))


def protocol(values: Config, labels: LabelSpace) -> Protocol:
    """How numbers are defined, from the metric group."""
    made: Protocol = _instantiate(values["protocol"])
    made.check(labels)
    return made


def meters(values: Config, labels: LabelSpace) -> dict[str, ImageTable]:
    """What looks at predictions beside the counting of overlaps, from the metric group."""
    made, ignored = {}, protocol(values, labels).ignored(labels)
    for name, node in values.items():
        if name != "protocol" and node is not None:
            made[name] = _instantiate(node, labels=labels)
            made[name].ignored = ignored
    return made


def weights_of_classes(values: Config, data: SegmentationData) -> list[float] | None:
    """What the loss multiplies each class by, which may need the training masks."""
    scheme = values.get("class_weights")
    if scheme is None:
        return None
    given = np.zeros((0, data.source.labels.num_classes))  # a list needs no counting
    counts = data.pixel_counts() if isinstance(scheme, str) else given
    weights = class_weights(scheme, counts)
    shown = ", ".join(f"{n} {w:.3g}" for n, w in zip(data.source.labels.names, weights, strict=True))
    log.info("class weights (%s): %s", scheme, shown)
    return weights


def loss(values: Config, labels: LabelSpace, weights: Sequence[float] | None) -> Any:
    """The loss with its class weights."""
    values = {k: v for k, v in values.items() if k != "class_weights"}
    given = None if weights is None else torch.tensor(weights)
    return _instantiate(values, labels=labels, class_weights=given)


def module(config: Config, data: SegmentationData) -> SegmentationModule:
    """The LightningModule, and the loader told how the loss weighs targets."""
    labels = data.source.labels
    _check_monitor(config["monitor"], labels)
    weights = weights_of_classes(config["loss"], data)
    criterion = loss(config["loss"], labels, weights)
    data.weigh = copy.deepcopy(criterion).weigh  # a copy that stays on the CPU, where targets are weighed
    on_gpu = config["trainer"]["accelerator"] in ("gpu", "cuda", "auto") and torch.cuda.is_available()
    channels_last = on_gpu if config["channels_last"] is None else config["channels_last"]
    net = network(config["model"], labels)
    if config["trainer"]["accumulate_grad_batches"] > 1:
        _say_what_is_not_exact(criterion.inexact, net)
    if config["compile"]:
        net.compile()
    return SegmentationModule(
        net,
        criterion,
        labels,
        optimizer=_instantiate(_clippable(config["optimizer"], config["trainer"])),
        scheduler=_instantiate(config["scheduler"]),
        passport={
            "version": __version__,
            "config": _anywhere(config),
            "labels": labels.to_dict(),
            "class_weights": weights,
        },
        channels_last=channels_last,
        protocol=protocol(config["metric"], labels),
        meters=meters(config["metric"], labels),
        threshold=config["threshold"],
    )


def _say_what_is_not_exact(terms: Sequence[str], net: torch.nn.Module) -> None:
    """Accumulation equals the large batch in everything but this."""
    for name in terms:
        log.warning("accumulation: the %s term is the mean over micro-batches, not that of the window", name)
    if any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in net.modules()):
        log.warning(
            "accumulation: batch norm sees micro-batches, not the window "
            "(a U-Net with model.norm=group is exact)"
        )


def _anywhere(config: Config) -> Config:
    """The configuration with an absolute data folder: a checkpoint is used from other directories."""
    root = config["data"].get("root")
    return (
        config if root is None else {**config, "data": {**config["data"], "root": str(Path(root).absolute())}}
    )


def _clippable(optimizer: Config, trainer: Config) -> Config:
    """Lightning cannot clip the gradients of a fused optimiser under mixed precision."""
    clips = trainer["gradient_clip_val"] is not None and str(trainer["precision"]).endswith("mixed")
    return {**optimizer, "fused": False} if clips and optimizer.get("fused", 0) is None else optimizer


def callbacks(config: Config, run: Path) -> list[Callback]:
    """Every callback that is not switched off with ``callback.NAME=null``.

    First, where samples may be left out, the one that counts them: what comes later saves its list.
    """
    values = config["data"]
    made: list[Callback] = [LeftOut(values["max_skipped"])] if values.get("on_error") == "skip" else []
    for name, node in config["callback"].items():
        if node is None or (name == "progress" and not config["trainer"]["enable_progress_bar"]):
            continue
        node = dict(node)
        if "dirpath" in node:
            node["dirpath"] = str(run / "checkpoints")
        made.append(_instantiate(node))
    return made


def logger(config: Config, run: Path) -> Logger | bool:
    """TensorBoard, or nothing."""
    if config["logger"]["_target_"] is None:
        return False
    try:
        return _instantiate(config["logger"], save_dir=str(run))
    except UserError as error:
        if not isinstance(error.__cause__, ImportError):
            raise
        log.warning(  # a broken environment: its numbers are in metrics.csv too
            "no TensorBoard (%s): metrics.csv and plots/ have the curves; python -m pip install tensorboard",
            first_line(error.__cause__),
        )
        return False


def trainer(config: Config, run: Path) -> lightning.Trainer:
    """Lightning's Trainer with callbacks and logger. Our own samplers give each sample once.

    Raises:
        UserError: Lightning refuses a value, or there is no such accelerator here.
    """
    _check_strategy(str(config["trainer"]["strategy"]))
    values = {**config["trainer"], "_partial_": True}
    if values["deterministic"] and values["benchmark"]:
        log.warning("trainer.deterministic=%s: trainer.benchmark is off", values["deterministic"])
        values["benchmark"] = False  # a choice by the clock is another each time
    try:
        made = instantiate(values, _convert_="all")
        trainer: lightning.Trainer = made(
            callbacks=callbacks(config, run),
            logger=logger(config, run),
            default_root_dir=str(run),
            plugins=[DurableIO()],
            use_distributed_sampler=False,
        )
        return trainer
    except UserError:
        raise
    except Exception as error:  # Lightning checks little, and raises whatever comes of it
        raise UserError(
            f"{first_line(error.__cause__ or error)}; choose other trainer.* or callback.* values"
        ) from None


def _check_strategy(strategy: str) -> None:
    """Say what is not possible, and what is not promised."""
    if strategy.endswith(("_spawn", "_fork", "_notebook")):
        raise UserError(f"trainer.strategy={strategy}: processes are started as commands; use trainer=ddp")
    if not strategy.startswith("fsdp"):
        return
    if not torch.cuda.is_available():
        raise UserError(
            f"trainer.strategy={strategy}: torch shards a model over GPUs only, and there is none here; "
            "trainer=ddp trains with several processes on a CPU"
        )
    log.warning("trainer.strategy=%s: no test covers it; nothing is promised of its bits", strategy)


def _instantiate(node: Mapping[str, Any], **more: Any) -> Any:
    """Make what a node describes; with ``more``, call what a partial one gives.

    Raises:
        UserError: What is made refuses its values, in whatever way.
    """
    try:
        made = instantiate(dict(node), _convert_="all")
        return made(**more) if more else made
    except Exception as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        if isinstance(cause, UserError):
            raise cause from None
        log.debug("while making %s", node.get("_target_"), exc_info=True)
        raise UserError(
            f"{node.get('_target_')} refuses its values: {type(cause).__name__}: {first_line(cause)}; "
            "choose others"
        ) from cause


def quiet() -> None:
    """Leave out what libraries say at every start and the user can do nothing about."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        library = logging.getLogger(name)
        library.setLevel(logging.WARNING)
        library.handlers.clear()  # the root logger prints it once already
    for message in (
        r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # between lightning and torch
        r"The '.*_dataloader' does not have many workers",  # chosen on purpose, see data.num_workers
        r"The number of training batches .* is smaller than the logging interval",
        r"It is recommended to use `self.log\(.*sync_dist=True",  # the numbers are those of all processes
        r"You requested to overfit but enabled",  # our sampler repeats the same batches
        r"Checkpoint directory .* exists and is not empty",  # a run that goes on
        r"`ModelCheckpoint\(monitor=.* could not find the monitored key",  # before the first validation
    ):
        warnings.filterwarnings("ignore", message)


def threads(config: Config) -> None:
    """How many threads torch computes with.

    Whatever the number of loader processes: sums are rounded differently when they are divided
    among other threads, and a run shall not change with ``data.num_workers``.
    """
    torch.set_num_threads(config["threads"] or os.cpu_count() or 1)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, for a message of one line."""
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
