"""Whether a configuration is whole: it may have been written by hand, or lie in a run of long ago."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segkit.error import UserError
from segkit.paths import CONF_DIR
from segkit.schema import describe, fits

GROUPS = ("model", "loss", "optimizer", "scheduler", "trainer", "augment", "data")
USED = {  # what is read beside by those who get all of a group
    "data": ("size", "fit"),
    "metric": ("protocol",),
    "trainer": (
        *("accelerator", "accumulate_grad_batches", "devices", "enable_progress_bar", "fast_dev_run"),
        *("gradient_clip_val", "max_epochs", "num_nodes", "precision"),
    ),
}
# What the keys that belong to no group hold. What is a number is looked at by itself.
OWN_KEYS: dict[str, Any] = {
    "seed": object,
    "threads": object,
    "threshold": object,
    "monitor_mode": object,
    "monitor": str,
    "name": str,
    "test": bool,
    "compile": bool,
    "channels_last": bool | None,
}


def check_form(config: Mapping[str, Any]) -> None:
    """Whether every group and key of a training configuration is there, and is of its kind.

    Raises:
        UserError: Something is missing, or cannot be what it should be.
    """
    missing = [
        k for k in (*GROUPS, "metric", "callback", "logger", *OWN_KEYS, "ckpt_path") if k not in config
    ]
    if missing:
        raise UserError(f"{missing[0]} is missing from the configuration; give {missing[0]}=")
    for key in (*GROUPS, "metric", "callback", "logger"):
        node = config[key]
        parts = node.values() if key in ("metric", "callback") and isinstance(node, dict) else [node]
        for part in parts:
            nothing = part is None and key in ("metric", "callback")
            if not nothing and not (isinstance(part, dict) and "_target_" in part):
                raise UserError(
                    f"{key}={str(node)[:60]}: no such thing can be made of that; choose {key}=NAME, one of "
                    f"{', '.join(sorted(f.stem for f in (CONF_DIR / key).glob('[!_]*.yaml')))}"
                )
    for group, keys in USED.items():
        if gone := [k for k in keys if k not in config[group]]:
            raise UserError(f"{group}.{gone[0]} is missing from the configuration; leave it there")
    for key, kind in OWN_KEYS.items():
        if not fits(config[key], kind):
            raise UserError(f"{key}={config[key]}: expected {describe(kind)}")
