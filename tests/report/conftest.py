"""A run folder with everything in it, whose names are code."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml

from segkit.files import write_csv, write_json, write_text
from segkit.metric.cells import counts_of
from segkit.metric.protocol import Protocol
from segkit.report.evaluation import Evaluation, write_evaluation
from segkit.report.run_page import write_report
from segkit.report.view import draw_view
from segkit.types import LabelSpace, Sample

SCRIPT = "<script>window.hit=1</script>"
EVIL = (
    SCRIPT,
    "\"><img src=x onerror='window.hit=1'>",
    "a & b {{ 7 * 7 }}",
    "Straße 道路 \u202e\U0001f6b2",
    "x" * 300,
)
LABELS = LabelSpace(
    EVIL,
    ((200, 30, 40), (30, 90, 160), (0, 158, 115), (230, 159, 0), (86, 180, 233)),
    tuple((i,) for i in range(5)),
    parents=("one", "one", SCRIPT, SCRIPT, "three"),
)
BLOCKS = {
    "interval": {
        "level": 0.95,
        "unit": "image",
        "units": 7,
        "mean": {"miou": [0.21, 0.29]},
        "per_class": {EVIL[0]: {"iou": [0.1, 0.3]}},
    },
    "boundary": {
        "protocol": {"boundary_f1": f"harmonic mean {SCRIPT}", "distance": "2 pixels"},
        "mean": {"boundary_f1": 0.61, "hd95": 38.4, "brand_new": 12345.6},
        "per_class": {name: {"boundary_f1": 0.5, "hd95": 9.5 + i} for i, name in enumerate(EVIL)},
    },
    "calibration": {
        "protocol": {"ece": "15 bins"},
        "ece": 0.083,
        "temperature": 1.31,
        "per_class": {EVIL[1]: {"ece": 0.04}},
        "with_temperature": {"ece": 0.021},
    },
    "soft": {"protocol": {}, "mean": {"iou": 0.4}, "per_class": {}},
    "failure": {
        "protocol": {"missed": f"not found {SCRIPT}"},
        "errors": {"boundary": 10, "missed": 20, "invented": 30, "confused": 40, "total": 100},
        "errors_per_class": {SCRIPT: {"boundary": 1, "missed": 2, "invented": 3, "confused": 4, "total": 10}},
        "sizes": [{"name": "tiny", "from": 0, "to": 0.001}, {"name": "large", "from": 0.001, "to": None}],
        "size": {"tiny": {"objects": 4, "found": 1, "recall": 0.2, "iou": 0.1}},
        "size_per_class": {EVIL[2]: {"tiny": {"objects": 3, "found": 1, "recall": 0.2, "iou": 0.1}}},
        "suspicious": [
            {"index": 1, "target": EVIL[0], "prediction": EVIL[1], "box": [1, 2, 3, 4], "pixels": 12,
             "confidence": 0.99, "score": 3.5}
        ],
    },
    "of_tomorrow": {"protocol": {"novelty": "a number that no page knows"}, "novelty": 0.77},
}  # fmt: skip


def measured(folder):
    """What an evaluation of seven pictures writes."""
    random = np.random.default_rng(3)
    cells = np.concatenate(
        [np.column_stack([np.full(25, i), *np.mgrid[:5, :5].reshape(2, -1), random.integers(1, 900, 25)])
         for i in range(7)]
    )  # fmt: skip
    samples = [Sample(f"{EVIL[i % 5]}/{i}", Path(), group=f"g{i % 2}{SCRIPT}") for i in range(7)]
    about = {
        "checkpoint": f"checkpoints/{SCRIPT}.ckpt",
        "split": "test",
        "resolution": "native",
        "threshold": 0.5,
    }
    counts = counts_of(cells, np.arange(7), 5)
    write_evaluation(folder, Evaluation(counts, LABELS, samples, Protocol(), about, f"run {SCRIPT}"))


def trained(folder):
    """What a training of three epochs leaves beside its numbers."""
    rows = [
        {"epoch": e, "lr": 0.1, "train/loss": 2 - e / 2, "val/loss": 3 - e, "val/miou": (0.1, 0.3, 0.2)[e],
         "val/dice": 0.4, "val/accuracy": 0.5, f"val/iou/{EVIL[0]}": 0.25, "seconds": 12.5}
        for e in range(3)
    ]  # fmt: skip
    write_csv(folder / "metrics.csv", list(rows[0]), rows)
    card = {
        "command": f"python -m segkit.train name='{SCRIPT}'",
        "started": "2026-01-01T10:00:00+00:00",
        "data": {"samples": {"train": 9, "val": 4, "test": 7}, "fingerprint": "abc123"},
        "versions": {"torch": "2.9", "segkit": None},
        "git": {"commit": "f00ba4", "changed": True},
        "hardware": {"system": SCRIPT, "cores": 2, "torch_threads": 1, "gpus": [SCRIPT]},
        "resumed": [{"command": "again", "started": "2026-01-02T10:00:00+00:00", "seconds": 3600.0}],
        "seconds": 1800.0,
        "core_seconds": 7200.0,
        "steps": 1234,
        "peak_memory_bytes": 2**30,
    }
    write_json(folder / "run.json", card)
    config = {"name": f"run {SCRIPT}", "monitor": "val/miou", "monitor_mode": "max", "optimizer": {"lr": 0.1}}
    config["loss"] = {"_target_": "segkit.loss.ce_dice.ce_dice"}
    config["note"] = "</pre>" + SCRIPT
    write_text(folder / ".hydra" / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    write_text(folder / ".hydra" / "overrides.yaml", yaml.safe_dump(["optimizer.lr=0.1"]))
    lines = ["# sha256", "name,split,group", *(f"s{i},train,g1{SCRIPT}" for i in range(9))]
    write_text(folder / "split.csv", "\n".join([*lines, "v,val,g2", "t,test,g3"]) + "\n")


def _picture(name):
    target = np.repeat(np.arange(5), 12)[None].repeat(40, 0)
    prediction = np.roll(target, 6, 1)
    image = np.full((40, 60, 3), 120, np.uint8)
    return draw_view(image, target, prediction, LABELS, name, f"the caption {SCRIPT}")


@pytest.fixture(scope="session")
def picture():
    """``picture(name)``: a small `View`."""
    return _picture


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run with everything, whose names are code, and its page."""
    folder = tmp_path_factory.mktemp("run")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # matplotlib's own font is not everybody's
        warnings.filterwarnings("ignore", "constrained_layout not applied")  # a name as wide as a plot
        measured(folder)
    trained(folder)
    numbers = json.loads((folder / "metrics.json").read_text())
    write_json(folder / "metrics.json", {**numbers, **BLOCKS})
    write_report(folder, [_picture(name) for name in EVIL], [_picture("crop")])
    return folder


@pytest.fixture
def copy(run, tmp_path):
    """The run without its page, to be broken."""
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    return tmp_path / "run"


def made_up(images: int, k: int, seed: int = 0, good: float = 0.8, targets: int = 0):
    """Counts of n images of 1,000 pixels, a share ``good`` of which is right; the same targets."""
    sizes = np.random.default_rng(targets).multinomial(1000, np.full(k, 1 / k), images)
    rng, cells = np.random.default_rng(seed + 100), []
    for image in range(images):
        for target in range(k):
            share = np.full(k, (1 - good) / (k - 1))
            share[target] = good
            found = rng.multinomial(sizes[image, target], rng.dirichlet(60 * share))
            cells += [[image, target, p, n] for p, n in enumerate(found) if n]
    return counts_of(np.array(cells, np.int64), np.arange(images), k)


@pytest.fixture(scope="session")
def write_run():
    """``write_run(folder, counts, labels, ...)``: what a training run with these counts leaves."""

    def write(
        folder: Path,
        counts,
        labels: LabelSpace,
        seed: int = 0,
        lr: float = 0.1,
        names=None,
        groups=None,
        protocol=None,
        recipe: bool = True,
        **about,
    ) -> Path:
        n = len(counts.index)
        names = names or [f"city/{i:03}" for i in range(n)]
        groups = groups or [""] * n
        samples = [Sample(name, Path(), group=g) for name, g in zip(names, groups, strict=True)]
        about = {
            "checkpoint": "checkpoints/best.ckpt",
            "split": "test",
            "resolution": "native",
            "threshold": 0.5,
            **about,
        }
        write_evaluation(
            folder, Evaluation(counts, labels, samples, protocol or Protocol(), about, folder.name)
        )
        if recipe:
            config = {
                "model": {"_target_": "m", "depth": 3},
                "data": {"num_workers": seed},
                "optimizer": {"lr": lr},
                "seed": seed,
                "name": folder.name,
            }
            (folder / ".hydra").mkdir()
            (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
            card = {"command": f"python -m segkit.train seed={seed}", "versions": {"segkit": None}}
            (folder / "run.json").write_text(json.dumps(card))
        return folder

    return write


@pytest.fixture(scope="session")
def counted():
    """`made_up`, for tests."""
    return made_up


@pytest.fixture(scope="session")
def five() -> LabelSpace:
    names = ("road", "car", "sky", "tree", "sign")
    colors = ((128, 64, 128), (0, 0, 142), (70, 130, 180), (107, 142, 35), (220, 220, 0))
    parents = ("flat", "thing", "rest", "rest", "thing")
    return LabelSpace(names, colors, tuple((i,) for i in range(5)), parents=parents)
