"""Checkpoint -> what was trained: the network, its labels, its data.

A checkpoint is data: nothing in the file is executed, and it may name only what ``conf/`` offers, or
what the user trusts by name (`segkit.trust`).
"""

from __future__ import annotations

import io
import math
import os
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from segkit.build import LOADER_KEYS, Config, first_line, network, stretch_both
from segkit.data.datamodule import SegmentationData
from segkit.data.labels import check_space
from segkit.data.make import make_source
from segkit.files import write_bytes
from segkit.foreign import check_bounds
from segkit.infer.predictor import Predictor
from segkit.model.wrapper import Segmenter
from segkit.schema import check_values
from segkit.trust import refuse_untrusted
from segkit.types import LabelSpace, UserError

LARGEST = 2**28  # pixels of ``data.size``


class Loaded(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        path: The file.
        config: The configuration of the run.
        labels: What the logits mean.
        net: The network, in evaluation mode.
        temperature: What logits are divided by before they become probabilities: 1, or as fitted on
            the validation part.
        trust: What the user lets the configuration call beside what ``conf/`` offers.
    """

    path: Path
    config: Config
    labels: LabelSpace
    net: Segmenter
    temperature: float = 1.0
    trust: Sequence[str] = ()


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
        UserError: No checkpoint, a damaged one, or one that segkit did not write.
    """
    try:
        _check_archive(path)
        with warnings.catch_warnings(action="ignore"):  # torch's, of pickles that it has not written itself
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, none of which tells the user what to do
        raise UserError(f"{path}: not a checkpoint, or a damaged one ({first_line(error)})") from None
    if not isinstance(content, dict) or "segkit" not in content or "state_dict" not in content:
        raise UserError(f"{path}: a file of torch's, but not a checkpoint of segkit's")
    return content


def _check_archive(path: Path) -> None:
    """Raise `ValueError` for what torch does not look at, or has not written for years.

    It leaves out the check sums, so that a flipped bit is a wrong weight. It does not compress;
    somebody who does can put any amount of memory into a small file.
    """
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("no archive")
        with zipfile.ZipFile(file) as archive:
            packed = [i.filename for i in archive.infolist() if i.compress_type != zipfile.ZIP_STORED]
            if packed:
                raise ValueError(f"{packed[0][:40]} in it is compressed")
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"{damaged[:40]} in it is damaged")


def load(path: str | Path, trust: Sequence[str] = ()) -> Loaded:
    """Rebuild a trained network from a run folder or a checkpoint alone.

    Args:
        path: Of either.
        trust: Packages, modules or single names that its configuration may call as well.

    Raises:
        UserError: There is none, it is damaged, or it names what it may not call.
    """
    file = checkpoint_path(path)
    content = read_checkpoint(file)
    try:
        kept = content["segkit"]
        check_bounds(kept)
        config, labels = kept["config"], check_space(kept["labels"])
        _check_config(config)
        refuse_untrusted({k: config[k] for k in ("model", "data")}, file, trust)
        net = _rebuilt(config["model"], labels, content["state_dict"])
        temperature = _temperature(kept)
    except UserError as error:
        if str(file) in str(error):
            raise
        raise UserError(f"{file}: {error}") from None
    except Exception as error:  # values that somebody else has written can break anything
        raise UserError(f"{file}: a damaged checkpoint ({first_line(error)})") from None
    return Loaded(file, config, labels, net.eval(), temperature, trust)


def _rebuilt(model: Config, labels: LabelSpace, state: Mapping[str, Any]) -> Segmenter:
    """The network with its weights, which the checkpoint has: those of the encoder are not fetched."""
    net = network({**model, "encoder_weights": None} if "encoder_weights" in model else model, labels)
    net.load_state_dict({k.removeprefix("net."): v for k, v in state.items() if k.startswith("net.")})
    return net


def _check_config(config: Any) -> None:
    """Raise `ValueError` or `KeyError` where what is used of a configuration is not what it should be."""
    for key, kind in (("model", dict), ("data", dict), ("name", str), ("seed", int)):
        if not isinstance(config[key], kind):
            raise ValueError(f"its {key} is {str(config[key])[:60]}")
    size, fit = config["data"]["size"], config["data"]["fit"]
    if fit not in ("stretch", "crop"):
        raise ValueError(f"its data.fit is {str(fit)[:60]}")
    whole = isinstance(size, list | tuple) and len(size) == 2 and all(type(s) is int and s > 0 for s in size)
    if not whole or math.prod(size) > LARGEST:
        raise ValueError(f"its data.size is {str(size)[:60]}")


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
    write_bytes(file, whole.getvalue(), durable=True)  # it replaces the best


def predictor(
    path: str | Path, device: str = "cpu", threshold: float = 0.5, trust: Sequence[str] = ()
) -> Predictor:
    """The Python door: ``segkit.load(path).predict(image)``."""
    loaded = load(path, trust)
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
        frozen = loaded.path.parent.parent / "split.csv"
        values = {**loaded.config["data"], **({"split": str(frozen)} if frozen.is_file() else {}), **values}
        values["labels"] = loaded.labels
        if "download" in values:  # nothing is fetched, or written, because a checkpoint says so
            values["download"] = False
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


def outside(loaded: Loaded, data: Config, source: SegmentationData) -> str:
    """Why pictures of a run's own data are not to be shown: some lie where its data does not.

    Numbers tell nothing of other files; a page with pictures would. What the user names is shown.

    Args:
        loaded: The trained model.
        data: As in `evaluation_data`.
        source: What that gave.

    Returns:
        A line for the user; empty where all files lie below ``data.root`` (or beside the table
        that lists them), or the data is not the run's own.
    """
    kept = {k: v for k, v in data.items() if v is not None}
    if "_target_" in kept:
        return ""
    values = {**loaded.config["data"], **kept}
    root = values.get("root") or Path(str(values.get("file") or ".")).parent
    folder = os.path.join(os.path.abspath(Path(str(root)).expanduser()), "")  # noqa: PTH100, PTH118 - no "//"
    masks = getattr(source.source, "mask_files", lambda sample: ())
    for sample in (s for s in source.source.samples if s.image != Path()):  # others are drawn
        for file in (sample.image, *masks(sample)):
            if not os.path.abspath(file).startswith(folder):  # noqa: PTH100 - without "..", links left alone
                return f"{file} lies outside data.root={root}; if it is yours to show, type data.root=/"
    return ""


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
