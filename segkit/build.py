"""Configuration -> objects, and checkpoint -> model.

Beside the verbs this is the only file that knows Hydra. Every function takes the composed
configuration as plain containers.
"""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from segkit import __version__
from segkit.augment.fit import stretch, stretch_target
from segkit.data.datamodule import SegmentationData
from segkit.data.labels import read_labels
from segkit.infer.predictor import Predictor
from segkit.loss.weights import class_weights
from segkit.model.wrapper import Segmenter
from segkit.module import SegmentationModule
from segkit.schema import check_values, fits, parameters
from segkit.types import LabelSpace, UserError

log = logging.getLogger(__name__)

Config = dict[str, Any]
# A checkpoint may come from a stranger: only these packages may be named in its `_target_`s.
TRUSTED = ("segkit.model", "segkit.data", "segkit.augment", "segkit.loss", "torchvision.models")
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
    _check_own_keys(config)
    for group in ("model", "loss", "optimizer", "scheduler", "trainer", "augment"):
        _check_node(group, config[group])
    _check_node("data", config["data"], LOADER_KEYS)
    loader = {k: v for k, v in config["data"].items() if k in LOADER_KEYS}
    check_values("data", loader, SegmentationData)
    for name, node in config["callback"].items():
        if node is not None:
            _check_node(f"callback.{name}", node)


def _check_own_keys(config: Config) -> None:
    """The keys that are no argument of a target."""
    for key, low in (("seed", 0), ("threads", 1)):
        value = config[key]
        if key == "threads" and value is None:
            continue
        if not fits(value, int) or value < low:
            raise UserError(f"{key}={value}: give a whole number, at least {low}")
    if config["monitor_mode"] not in ("min", "max"):
        raise UserError(f"monitor_mode={config['monitor_mode']}: choose min or max")


def _check_monitor(monitor: str, labels: LabelSpace) -> None:
    """A number that is never logged would only be missed after the first epoch."""
    known = ["train/loss", *(f"val/{n}" for n in ("loss", "miou", "dice", "accuracy"))]
    known += [f"val/iou/{name}" for name in labels.names]
    if monitor not in known:
        raise UserError(f"monitor={monitor}: there is no such number; choose from {', '.join(known)}")


def _check_node(prefix: str, node: Config, also: tuple[str, ...] = ()) -> None:
    check_values(prefix, node, get_object(node["_target_"]), also)


def data(config: Config) -> SegmentationData:
    """Source, split, augmentation and loaders."""
    values = config["data"]
    source = _source(values)
    loader = {k: v for k, v in values.items() if k in LOADER_KEYS}
    augment = _instantiate(config["augment"])
    return SegmentationData(source, augment, _stretch_both, seed=config["seed"], **loader)


def _source(values: Config) -> Any:
    node = {k: v for k, v in values.items() if k not in LOADER_KEYS}
    labels = read_labels(node.pop("labels"))  # an object, which Hydra would not leave alone
    return _instantiate({**node, "_partial_": True})(labels=labels)


def _stretch_both(image: Any, target: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    return stretch(image, size), stretch_target(target, size)


def network(model: Config, labels: LabelSpace) -> Segmenter:
    """The network inside its wrapper: bytes in, logits out."""
    return Segmenter(_instantiate(model)(num_logits=labels.num_logits))


def loss(values: Config, data: SegmentationData) -> Any:
    """The loss with its class weights, which may need the training masks."""
    values = dict(values)
    scheme = values.pop("class_weights", None)
    weights = None
    if scheme is not None:
        given = np.zeros((0, data.source.labels.num_classes))  # a list needs no counting
        counts = data.pixel_counts() if isinstance(scheme, str) else given
        weights = torch.tensor(class_weights(scheme, counts))
        shown = ", ".join(f"{n} {w:.3g}" for n, w in zip(data.source.labels.names, weights, strict=True))
        log.info("class weights (%s): %s", scheme, shown)
    return _instantiate(values)(labels=data.source.labels, class_weights=weights)


def module(config: Config, data: SegmentationData) -> SegmentationModule:
    """The LightningModule, and the loader told how the loss weighs targets."""
    labels = data.source.labels
    _check_monitor(config["monitor"], labels)
    criterion = loss(config["loss"], data)
    for name in criterion.inexact:
        log.warning("%s does not decompose: with accumulation it is the mean of the micro-batches", name)
    data.weigh = copy.deepcopy(criterion).weigh  # a copy that stays on the CPU, where targets are weighed
    on_gpu = config["trainer"]["accelerator"] in ("gpu", "cuda", "auto") and torch.cuda.is_available()
    channels_last = on_gpu if config["channels_last"] is None else config["channels_last"]
    net = network(config["model"], labels)
    if config["compile"]:
        net.compile()
    return SegmentationModule(
        net,
        criterion,
        labels,
        optimizer=_instantiate(_clippable(config["optimizer"], config["trainer"])),
        scheduler=_instantiate(config["scheduler"]),
        passport={"version": __version__, "config": config, "labels": labels.to_dict()},
        channels_last=channels_last,
    )


def _clippable(optimizer: Config, trainer: Config) -> Config:
    """Lightning cannot clip the gradients of a fused optimiser under mixed precision."""
    clips = trainer["gradient_clip_val"] is not None and str(trainer["precision"]).endswith("mixed")
    return {**optimizer, "fused": False} if clips and optimizer["fused"] is None else optimizer


def callbacks(config: Config, run: Path) -> list[Callback]:
    """Every callback that is not switched off with ``callback.NAME=null``."""
    made = []
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
    return _instantiate(config["logger"])(save_dir=str(run))


def trainer(config: Config, run: Path) -> lightning.Trainer:
    """Lightning's Trainer with callbacks and logger. Our own samplers give each sample once.

    Raises:
        UserError: Lightning refuses a value, or there is no such accelerator here.
    """
    try:
        return _instantiate({**config["trainer"], "_partial_": True})(
            callbacks=callbacks(config, run),
            logger=logger(config, run),
            default_root_dir=str(run),
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, InstantiationException, ValueError, RuntimeError) as error:
        if isinstance(error.__cause__ or error, UserError):
            raise
        raise UserError(
            f"{_first_line(error.__cause__ or error)}; choose other trainer.* or callback.* values"
        ) from None


def _instantiate(node: Mapping[str, Any]) -> Any:
    return instantiate(dict(node), _convert_="all")


# ---- checkpoints ------------------------------------------------------------------------


class Loaded(NamedTuple):
    """What a checkpoint holds."""

    path: Path
    config: Config
    labels: LabelSpace
    net: Segmenter


def checkpoint_path(path: str | Path, name: str = "best") -> Path:
    """Find the checkpoint that a run folder or a file name means.

    Raises:
        UserError: There is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    candidates = [path / "checkpoints" / f"{n}.ckpt" for n in dict.fromkeys((name, "last"))]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    missing = "a folder without checkpoints/best.ckpt or last.ckpt"
    what = missing if path.exists() else "no such file or folder"
    raise UserError(f"{path}: {what}; give a run folder or a .ckpt file")


def read_checkpoint(path: Path) -> Config:
    """Read a checkpoint as data: nothing in the file is executed.

    Raises:
        UserError: No checkpoint, a truncated one, or one that segkit did not write.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, none of which tells the user what to do
        raise UserError(f"{path}: not a checkpoint, or a truncated one ({_first_line(error)})") from None
    if not isinstance(content, dict) or "segkit" not in content or "state_dict" not in content:
        raise UserError(f"{path}: a file of torch's, but not a checkpoint of segkit's")
    return content


def load(path: str | Path) -> Loaded:
    """Rebuild a trained network from a run folder or a checkpoint alone."""
    file = checkpoint_path(path)
    content = read_checkpoint(file)
    kept = content["segkit"]
    try:
        labels = LabelSpace.from_dict(kept["labels"])
        model = dict(kept["config"]["model"])
        _refuse_untrusted(model, file)
        if "encoder_weights" in model:
            model["encoder_weights"] = None  # the checkpoint has them
        net = network(model, labels)
        weights = {
            k.removeprefix("net."): v for k, v in content["state_dict"].items() if k.startswith("net.")
        }
        net.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{file}: a damaged checkpoint ({_first_line(error)})") from None
    return Loaded(file, kept["config"], labels, net.eval())


def predictor(path: str | Path, device: str = "cpu", threshold: float = 0.5) -> Predictor:
    """The Python door: ``segkit.load(path).predict(image)``."""
    loaded = load(path)
    values = loaded.config["data"]
    size = tuple(values["size"]) if values["fit"] == "stretch" else None
    return Predictor(loaded.net.to(device), loaded.labels, size, threshold)


def evaluation_data(loaded: Loaded, data: Config) -> SegmentationData:
    """The data that a run was made with, or other data of the same classes.

    Args:
        loaded: The trained model.
        data: The ``data`` node of ``evaluate``: with a ``_target_`` it is other data, else
            its keys that are not null replace the run's.

    Raises:
        UserError: The classes are not those that the model knows.
    """
    values = {k: v for k, v in data.items() if v is not None}
    own = "_target_" not in values
    if own:
        _refuse_untrusted(loaded.config["data"], loaded.path)
        frozen = loaded.path.parent.parent / "split.csv"
        values = {**loaded.config["data"], **({"split": str(frozen)} if frozen.is_file() else {}), **values}
        values["labels"] = loaded.labels
    else:  # what the network was trained for is the model's business
        values |= {k: loaded.config["data"][k] for k in ("size", "fit")}
    if "batch_size" in data:
        values["eval_batch_size"] = None
    values["cache"] = False
    loader = {k: v for k, v in values.items() if k in LOADER_KEYS}
    check_values("data", loader, SegmentationData)
    source = _source(values)
    if source.labels.names != loaded.labels.names:
        raise UserError(
            f"{loaded.path} knows the classes {', '.join(loaded.labels.names)}, but data.labels has "
            f"{', '.join(source.labels.names)}; give data.labels that map to the model's classes"
        )
    if not own:  # nothing of other data was trained on: without an official split all of it is a test
        source.samples = [s._replace(split=s.split or "test") for s in source.samples]
    return SegmentationData(source, _no_augment, _stretch_both, seed=loaded.config["seed"], **loader)


def _no_augment(image: Any, target: Any, **_: Any) -> tuple[Any, Any]:
    return image, target


def device(name: str) -> torch.device:
    """The device that a ``device`` key means; ``auto`` is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={name}: {_first_line(error)}; choose cpu, or auto") from None


def _refuse_untrusted(node: Any, file: Path) -> None:
    """Raise `UserError` if any ``_target_`` below ``node`` is not of a trusted package."""
    if isinstance(node, Mapping):
        target = node.get("_target_")
        if target is not None:
            found = get_object(target) if str(target).startswith(TRUSTED) else None
            if found is None or not str(getattr(found, "__module__", "")).startswith(TRUSTED):
                raise UserError(f"{file}: names '{target}', which a checkpoint may not call")
        for value in node.values():
            _refuse_untrusted(value, file)
    elif isinstance(node, list | tuple):
        for value in node:
            _refuse_untrusted(value, file)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


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
        r"Checkpoint directory .* exists and is not empty",  # a run that goes on
        r"`ModelCheckpoint\(monitor=.* could not find the monitored key",  # before the first validation
    ):
        warnings.filterwarnings("ignore", message)


def threads(config: Config, num_workers: int) -> None:
    """Torch threads and loader processes together should not exceed the cores."""
    wanted = config["threads"]
    torch.set_num_threads(max(1, (os.cpu_count() or 1) - num_workers) if wanted is None else wanted)
