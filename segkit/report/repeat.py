"""How far a run can be repeated bit for bit, said from what the run is made of."""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from segkit.error import plural
from segkit.types import UserError

# What the documentation of `torch.use_deterministic_algorithms` lists for CUDA, by the operators that
# a training step calls. For these the flag chooses another algorithm:
SETTLED = {
    "convolution_backward": "convolutions",
    "upsample_bilinear2d_backward": "gradients of bilinear resizing",  # torch composes it of others then
    "replication_pad2d_backward": "gradients of replication padding",
    "scatter_add": "scatter_add",
    "scatter_add_": "scatter_add",
    "scatter_reduce": "scatter_reduce",
    "index_add": "index_add",
    "index_add_": "index_add",
    "index_put": "indexed assignment",
    "index_put_": "indexed assignment",
    "_index_put_impl_": "indexed assignment",
    "index_copy": "indexed assignment",
    "cumsum": "cumulative sums",
    "embedding_dense_backward": "gradients of embeddings",
}
# These have no other; the flag makes them an error.
UNSETTLED = {
    "_adaptive_avg_pool2d_backward": "gradients of adaptive average pooling",
    "adaptive_max_pool2d_backward": "gradients of adaptive max pooling",
    "fractional_max_pool2d_backward": "gradients of fractional max pooling",
    "avg_pool3d_backward": "gradients of 3D average pooling",
    "max_unpool2d": "max unpooling",
    "upsample_linear1d_backward": "gradients of linear resizing",
    "upsample_bicubic2d_backward": "gradients of bicubic resizing",
    "_upsample_bicubic2d_aa_backward": "gradients of bicubic resizing",
    "_upsample_bilinear2d_aa_backward": "gradients of smoothed bilinear resizing",
    "reflection_pad2d_backward": "gradients of reflection padding",
    "grid_sampler_2d_backward": "gradients of grid sampling",
    "nll_loss2d_forward": "torch's own cross-entropy of pictures",
    "histc": "histograms",
    "median": "medians",
}
# On a processor with several threads, by the same list.
ON_CPU = {name: SETTLED[name] for name in ("index_put", "index_put_", "_index_put_impl_", "index_copy")}
RANDOM, UNKNOWN = "random numbers", "unknown"  # stand for operators that draw some, and that were not seen

log = logging.getLogger(__name__)


class Setting(NamedTuple):
    """What decides how far a run can be repeated, beside its operators.

    Attributes:
        device: Kind of device that the network trains on: ``cpu``, ``cuda`` ...
        threads: Torch threads of a process.
        processes: How many processes train together.
        deterministic: ``trainer.deterministic``: true, false (or ``None``) or ``warn``.
        benchmark: Whether cuDNN chooses convolutions by their speed.
        compiled: Whether the network is compiled.
    """

    device: str
    threads: int = 1
    processes: int = 1
    deterministic: bool | str | None = False
    benchmark: bool = False
    compiled: bool = False


class _Watch(TorchDispatchMode):
    """Notes every operator that is called, in the backward pass too."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(func.overloadpacket.__name__)
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.seen.add(RANDOM)
        return func(*args, **(kwargs or {}))


def outlook(config: Mapping[str, Any], trainer: Any, net: Any, loss: Any) -> str:
    """How far the run that is about to begin can be repeated (see `how_far`).

    Args:
        config: The composed configuration.
        trainer: A ``lightning.Trainer``, which has set torch's flags.
        net: The network, still on the CPU.
        loss: The loss.

    Raises:
        UserError: See `check_repeatable`.
    """
    setting = Setting(
        trainer.strategy.root_device.type,
        torch.get_num_threads(),
        trainer.world_size,
        config["trainer"]["deterministic"],
        torch.backends.cudnn.benchmark,
        config["compile"],
    )
    alone = setting.device == "cpu" and setting.threads == 1  # adds in one order, whatever it adds
    seen = frozenset() if alone else operators(net, loss, config["data"]["size"])
    check_repeatable(setting, seen)
    return how_far(setting, seen)


def operators(net: Any, loss: Any, size: Sequence[int]) -> frozenset[str]:
    """Names of torch's operators in a training step, seen on a small black picture on the CPU.

    Network, loss and random numbers stay as they are. `UNKNOWN` stands for those of a network
    that cannot be trained on such a picture.

    Args:
        net: A `segkit.model.wrapper.Segmenter` on the CPU.
        loss: A `segkit.loss.loss.Loss`.
        size: Height and width that the network trains at.
    """
    net, loss = copy.deepcopy((net, loss))
    height, width = (min(side, 64 + side % 64) for side in size)  # padded to strides where the true one is
    labels = loss.labels
    planes = (labels.num_classes,) if labels.task == "multilabel" else ()
    image = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    target = torch.zeros(2, *planes, height, width, dtype=torch.uint8)
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), _Watch() as watch:
        try:
            loss(net.train().forward(image), target)[0].backward()  # not net(): that would compile it
        except (
            Exception
        ) as error:  # of the user's own network: the training itself will tell, if it fails too
            log.debug("the operators of the network are not known: %s", error)
            watch.seen.add(UNKNOWN)
    return frozenset(watch.seen)


def check_repeatable(setting: Setting, seen: Collection[str]) -> None:
    """Refuse what torch would stop at in the first step.

    Raises:
        UserError: ``trainer.deterministic=true`` on a GPU, with an operator that cannot be.
    """
    if setting.device != "cuda" or setting.deterministic is not True:
        return
    if found := _named(UNSETTLED, seen):
        raise UserError(
            f"trainer.deterministic=true: this network needs {found}, which torch cannot repeat bit for bit "
            "on a GPU; choose another model, or trainer.deterministic=warn to have all the rest repeatable"
        )


def how_far(setting: Setting, seen: Collection[str]) -> str:
    """How far the seed alone fixes the outcome of a run, in words.

    Args:
        setting: Of this run.
        seen: What `operators` found.
    """
    if setting.device not in ("cpu", "cuda"):
        return f"not known: torch does not say how far {setting.device} repeats its sums"
    if UNKNOWN in seen:
        return "not known: the network could not be looked at"
    where = "GPU" if setting.device == "cuda" else "processor"
    together = [plural(setting.threads, "torch thread")] if setting.device == "cpu" else []
    together += [f"{setting.processes} processes"] if setting.processes > 1 else []
    together += ["torch.compile"] if setting.compiled else []
    those = f"on the same kind of {where}, with these versions" + "".join(f", {t}" for t in together)
    reasons = _on_gpu(setting, seen) if setting.device == "cuda" else _on_cpu(setting, seen)
    if not reasons:
        return f"same bits {those}; for any data.num_workers and data.cache, and after a resume"
    return f"same batches for any data.num_workers and data.cache, not the same weights: {'; '.join(reasons)}"


def _on_cpu(setting: Setting, seen: Collection[str]) -> list[str]:
    found = _named(ON_CPU, seen)
    if not found or setting.threads == 1 or setting.deterministic:
        return []
    return [f"several threads add in any order in {found} (threads=1 or trainer.deterministic=true does not)"]


def _on_gpu(setting: Setting, seen: Collection[str]) -> list[str]:
    reasons: list[str] = []
    if not setting.deterministic and (found := _named({**SETTLED, **UNSETTLED}, seen)):
        never = _named(UNSETTLED, seen)
        but = f", all but {never}" if never else ""
        reasons = [f"a GPU adds in any order in {found} (trainer.deterministic=true mends it{but})"]
    elif setting.deterministic == "warn" and (found := _named(UNSETTLED, seen)):
        reasons = [f"a GPU adds in any order in {found}, in spite of trainer.deterministic=warn"]
    if setting.benchmark:
        reasons.append("trainer.benchmark=true chooses convolutions by their speed")
    if RANDOM in seen:
        reasons.append("dropout draws other numbers on the GPU after a resume")
    return reasons


def _named(listed: dict[str, str], seen: Collection[str]) -> str:
    """Operators that are listed, in words, each once."""
    words = list(dict.fromkeys(listed[name] for name in sorted(seen) if name in listed))
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
