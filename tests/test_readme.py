"""Every command and label space that the documents show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

import segkit
from segkit.build import check, plain
from segkit.data.labels import read_labels
from segkit.data.read import read_mask
from segkit.paths import CONF_DIR

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = "outputs/train/folder_unet/2026-01-31_12-00-00"


def _blocks(language: str) -> list[str]:
    text = "\n".join(p.read_text() for p in DOCUMENTS)
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


LINES = sorted({li for b in _blocks("bash") for li in b.replace("\\\n", " ").splitlines() if "segkit." in li})


@pytest.mark.parametrize("line", LINES)
def test_every_command_line_composes_and_fits(line):
    words = shlex.split(line, comments=True)
    verb = next(w for w in words if w.startswith("segkit.")).removeprefix("segkit.")
    options = [w for w in words if "=" in w and not w.startswith("resume=")]
    if "--multirun" in words:
        options = [o.partition(",")[0] for o in options]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg = compose(verb, options, return_hydra_config=True)
    if verb == "train":
        HydraConfig.instance().set_config(cfg)
        check(plain(OmegaConf.masked_copy(cfg, [k for k in cfg if k != "hydra"])))


@pytest.mark.parametrize("text", _blocks("yaml"))
def test_every_label_space_is_one(text):
    assert read_labels(yaml.safe_load(text)).num_classes > 1


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A folder as the README describes it: pictures of discs, and 0/255 masks."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for name in ("my_data/images", "my_data/masks", "new_pictures"):
        (folder / name).mkdir(parents=True)
    for i in range(24):
        mask = np.zeros((40, 56), np.uint8)
        x, y = int(rng.integers(8, 48)), int(rng.integers(8, 32))
        cv2.circle(mask, (x, y), int(rng.integers(5, 9)), 255, -1)
        image = np.where(mask[..., None] > 0, (40, 90, 200), (60, 60, 60)) + rng.normal(0, 12, (40, 56, 3))
        image = image.clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"my_data/masks/{i:02}.png"), mask)
        cv2.imwrite(str(folder / f"my_data/images/{i:02}.jpg"), image)
        if i < 3:
            cv2.imwrite(str(folder / f"new_pictures/{i}.png"), image)
    return folder


TINY = "data.size=[40,56] data.batch_size=4 model.depth=2 model.base_width=8 trainer.max_epochs=12 threads=1"


@pytest.fixture(scope="module")
def printed(own, command) -> dict[str, str]:
    """What each verb printed when the README's lines for own images were typed."""
    block = next(b for b in _blocks("bash") if "data.labels=binary" in b)
    outputs = {}
    for words in (shlex.split(line) for line in block.splitlines() if "segkit." in line):
        verb, options = words[2].removeprefix("segkit."), words[3:]
        if verb == "train":
            options += [*TINY.split(" "), f"hydra.run.dir={SHOWN}", "optimizer.lr=1e-2"]
        if verb == "predict":
            options.append("output=labelled")
        done = command(verb, *options, cwd=own)
        assert done.code == 0, done.err
        outputs[verb] = done.out
    return outputs


def test_a_folder_with_binary_masks_trains_and_finds_its_objects(printed):
    assert list(printed) == ["analyze", "train", "evaluate", "predict"]
    assert "no fault" in printed["analyze"]
    assert "\ntrain with: python -m segkit.train data=folder data.root=my_data" in printed["analyze"]
    assert float(re.search(r"foreground +([\d.]+)", printed["evaluate"])[1]) > 0.5


def test_new_pictures_are_labelled_at_their_own_size(printed, own):
    for picture in (own / "new_pictures").iterdir():
        mask = read_mask(own / "labelled/index" / picture.name)
        assert mask.shape == (40, 56)
        assert set(np.unique(mask)) == {0, 1}


def test_the_line_for_python_gives_the_same_labels(printed, own):
    image = cv2.imread(str(own / "new_pictures/0.png"))[..., ::-1]
    assert (segkit.load(own / SHOWN).predict(image) == read_mask(own / "labelled/index/0.png")).all()
