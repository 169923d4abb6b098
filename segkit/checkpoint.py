"""Checkpoint -> what was trained: the network, its labels, its data.

A checkpoint is data: nothing in the file is executed, and it may name trusted classes only.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.utils import get_object

from segkit.build import LOADER_KEYS, Config, first_line, network, stretch_both
from segkit.data.datamodule import SegmentationData
from segkit.data.make import make_source
from segkit.files import write_bytes
from segkit.infer.predictor import Predictor
from segkit.model.wrapper import Segmenter
from segkit.schema import check_values
from segkit.types import LabelSpace, UserError

# A checkpoint may come from a stranger: only these packages may be named in its `_target_`s.
TRUSTED = ("segkit.model", "segkit.data", "segkit.augment", "segkit.loss", "torchvision.models")


class Loaded(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        path: The file.
        config: The configuration of the run.
        labels: What the logits mean.
        net: The network, in evaluation mode.
        temperature: What logits are divided by before they become probabilities: 1, or as fitted on
            the validation part.
    """

    path: Path
    config: Config
    labels: LabelSpace
    net: Segmenter
    temperature: float = 1.0


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
        raise UserError(f"{path}: not a checkpoint, or a truncated one ({first_line(error)})") from None
    if not isinstance(content, dict) or "segkit" not in content or "state_dict" not in content:
        raise UserError(f"{path}: a file of torch's, but not a checkpoint of segkit's")
    return content


def load(path: str | Path) -> Loaded:
    """Rebuild a trained network from a run folder or a checkpoint alone.

    Raises:
        UserError: There is none, it is damaged, or it names what it may not call.
    """
    file = checkpoint_path(path)
    content = read_checkpoint(file)
    kept = content["segkit"]
    try:
        labels = LabelSpace.from_dict(kept["labels"])
        model = dict(kept["config"]["model"])
        refuse_untrusted(model, file)
        if "encoder_weights" in model:
            model["encoder_weights"] = None  # the checkpoint has them
        net = network(model, labels)
        weights = {
            k.removeprefix("net."): v for k, v in content["state_dict"].items() if k.startswith("net.")
        }
        net.load_state_dict(weights)
        temperature = _temperature(kept)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{file}: a damaged checkpoint ({first_line(error)})") from None
    return Loaded(file, kept["config"], labels, net.eval(), temperature)


def _temperature(kept: Config) -> float:
    value = kept.get("temperature", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"its temperature is {value}")
    return float(value)


def keep_temperature(file: Path, temperature: float) -> None:
    """Write a temperature into a checkpoint; the rest of it stays as it is.

    Raises:
        UserError: No checkpoint, or it cannot be written.
    """
    content = read_checkpoint(file)
    content["segkit"]["temperature"] = temperature
    whole = io.BytesIO()
    torch.save(content, whole)
    write_bytes(file.resolve(), whole.getvalue())


def predictor(path: str | Path, device: str = "cpu", threshold: float = 0.5) -> Predictor:
    """The Python door: ``segkit.load(path).predict(image)``."""
    loaded = load(path)
    values = loaded.config["data"]
    size = tuple(values["size"]) if values["fit"] == "stretch" else None
    return Predictor(loaded.net.to(device), loaded.labels, size, threshold, loaded.temperature)


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
        refuse_untrusted(loaded.config["data"], loaded.path)
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
    source = make_source(values)
    if source.labels.names != loaded.labels.names:
        raise UserError(
            f"{loaded.path} knows the classes {', '.join(loaded.labels.names)}, but data.labels has "
            f"{', '.join(source.labels.names)}; give data.labels that map to the model's classes"
        )
    if not own:  # nothing of other data was trained on: without an official split all of it is a test
        source.samples = [s._replace(split=s.split or "test") for s in source.samples]
    try:
        return SegmentationData(source, _no_augment, stretch_both, seed=loaded.config["seed"], **loader)
    except UserError as error:
        if not own:
            raise
        raise UserError(f"{error} (to measure other data: data=folder data.root=FOLDER)") from None


def _no_augment(image: Any, target: Any, **_: Any) -> tuple[Any, Any]:
    return image, target


def device(name: str) -> torch.device:
    """The device that a ``device`` key means; ``auto`` is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={name}: {first_line(error)}; choose cpu, or auto") from None


def refuse_untrusted(node: Any, file: Path) -> None:
    """Raise `UserError` if any ``_target_`` below ``node`` is not of a trusted package."""
    if isinstance(node, Mapping):
        target = node.get("_target_")
        if target is not None:
            found = get_object(target) if str(target).startswith(TRUSTED) else None
            if found is None or not str(getattr(found, "__module__", "")).startswith(TRUSTED):
                raise UserError(f"{file}: names '{target}', which a checkpoint may not call")
        for value in node.values():
            refuse_untrusted(value, file)
    elif isinstance(node, list | tuple):
        for value in node:
            refuse_untrusted(value, file)
