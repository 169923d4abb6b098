"""Every YAML under conf/: its keys are parameters of its target, and it composes."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import OmegaConf

from segkit.build import LOADER_KEYS, check, plain
from segkit.paths import CONF_DIR
from segkit.schema import parameters

GROUPS = (
    "augment",
    "callback",
    "data",
    "logger",
    "loss",
    "metric",
    "model",
    "optimizer",
    "scheduler",
    "trainer",
)
FILES = sorted(p for g in GROUPS for p in (CONF_DIR / g).glob("*.yaml"))
CHOICES = [p for p in FILES if not p.name.startswith("_")]


def _config(*overrides: str):
    """The plain configuration that a command line composes."""
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg = compose("train", list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return plain(OmegaConf.masked_copy(cfg, [k for k in cfg if k != "hydra"]))


@pytest.mark.parametrize("path", CHOICES, ids=lambda p: f"{p.parent.name}={p.stem}")
def test_every_choice_composes_and_fits_its_target(path: Path):
    group = path.parent.name
    check(_config(f"{group}={path.stem}"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_key_has_a_comment(path: Path):
    """On its own line, or above it, for the keys that follow one comment together."""
    explained = False
    for line in path.read_text().splitlines():
        bare = line.strip()
        if bare.startswith("#") or not bare:
            explained = bool(bare)
        elif not bare.startswith(("-", "_target_", "_partial_", "defaults:")) and not bare.endswith(":"):
            assert explained or "#" in bare, f"{path.name}: no comment on: {bare}"


@pytest.mark.parametrize("path", sorted((CONF_DIR / "experiment").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_composes_and_says_why_it_exists(path: Path):
    assert path.read_text().lstrip().startswith(("# @package _global_\n# ",))
    check(_config(f"experiment={path.stem}"))


def test_the_loader_keys_stand_in_every_data_config():
    common = OmegaConf.load(CONF_DIR / "data" / "_common.yaml")
    assert set(common) == {*LOADER_KEYS, "root", "labels", "max_pixels"}


def test_every_trainer_key_is_lightnings():
    node = OmegaConf.load(CONF_DIR / "trainer" / "_common.yaml")
    assert set(node) - {"_target_"} <= set(parameters(get_object("lightning.Trainer")))
