"""What runs leave: tables, cards, counts, checkpoints, caches."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import random
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from fuzzing.engine import damage, zip_with
from fuzzing.reader import Make, Read, Reader
from fuzzing.tree import csv_with, json_with, wrong, yaml_with
from segkit import build, checkpoint
from segkit.callback.csv_log import CsvLog
from segkit.data.folder import folder
from segkit.data.scan import scan
from segkit.model.weights import read_tensors
from segkit.paths import CONF_DIR
from segkit.report.card import Clock, finish_card, write_card
from segkit.report.compare import compare_runs, numbers_of
from segkit.report.curves import curves
from segkit.report.html import render
from segkit.report.record import read_record
from segkit.report.run_page import _values
from segkit.report.stored import read_stored
from segkit.resume import config_of, start_from

KEPT = ("metrics.json", "metrics.csv", "run.json", "split.csv", "counts.npz", ".hydra/config.yaml")
KEPT += (".hydra/overrides.yaml", ".hydra/hydra.yaml")
SELDOM = 200  # what takes a second is done for one file in so many


def _copied(run: Path, home: Path, names: Sequence[str] = KEPT) -> Path:
    target = home / "run"
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run / name, target / name)
    return target


def _page(run: Path) -> None:
    """What `segkit.report` shows of a folder, but for plots."""
    values = _values(read_record(run))
    values |= {"fails": True, "views": [], "crops": []}
    page = render("report.html.j2", values, ("page.js", "viewer.js"))
    assert page.rstrip().endswith("</html>")


def _reported(run: Path, name: str) -> Callable[[Path], Read]:
    def prepare(home: Path) -> Read:
        here = _copied(run, home)

        def read(data: bytes) -> None:
            (here / name).write_bytes(data)
            _page(here)

        return read

    return prepare


def _history(run: Path) -> Callable[[Path], Read]:
    """The page, the curves, and a run that goes on."""

    def prepare(home: Path) -> Read:
        here = _copied(run, home)

        def read(data: bytes) -> None:
            (here / "metrics.csv").write_bytes(data)
            _page(here)
            trainer: Any = SimpleNamespace(default_root_dir=here, is_global_zero=True, current_epoch=1)
            CsvLog().on_train_start(trainer, None)  # type: ignore[arg-type]
            if zlib.crc32(data) % SELDOM == 0:
                curves(here / "metrics.csv", here / "plots", "a run", "loss")

        return read

    return prepare


def _card(run: Path) -> Callable[[Path], Read]:
    """A run that goes on."""

    def prepare(home: Path) -> Read:
        here = _copied(run, home)

        def read(data: bytes) -> None:
            (here / "run.json").write_bytes(data)
            write_card(here, {"seed": 0}, [], [], "")
            finish_card(here, Clock.start(), 1, 0)

        return read

    return prepare


def _compared(run: Path, name: str) -> Callable[[Path], Read]:
    def prepare(home: Path) -> Read:
        here = _copied(run, home)
        whole = read_stored(run)

        def read(data: bytes) -> None:
            (here / name).write_bytes(data)
            found = read_stored(here)
            if zlib.crc32(data) % SELDOM == 0:
                numbers_of(compare_runs([whole, found]), 3)

        return read

    return prepare


def _resumed(run: Path, name: str) -> Callable[[Path], Read]:
    """The configuration of a run that goes on, up to where data would be read."""

    def prepare(home: Path) -> Read:
        here = _copied(run, home)
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            composed = compose("train", return_hydra_config=True)

        def read(data: bytes) -> None:
            (here / name).write_bytes(data)
            HydraConfig.instance().set_config(composed)
            config = build.plain(config_of(here, ["++seed=3"]))
            build.check(config)

        return read

    return prepare


def _checkpoint(run: Path) -> Callable[[Path], Read]:
    """What `evaluate`, `predict` and `resume=` take from a checkpoint."""

    def prepare(home: Path) -> Read:
        path = home / "checkpoints" / "last.ckpt"
        path.parent.mkdir()
        whole = checkpoint.load(run / "checkpoints" / "last.ckpt")
        state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        module: Any = SimpleNamespace(labels=whole.labels, state_dict=lambda: state)
        config = {"ckpt_path": str(path), "trainer": {"max_epochs": 9}}

        def read(data: bytes) -> None:
            path.write_bytes(data)
            loaded = checkpoint.load(path)
            checkpoint.evaluation_data(loaded, {})
            start_from(config, home, module)

        return read

    return prepare


def _tree_of(path: Path) -> Make:
    """A checkpoint whose containers are wrong: types swapped, keys missing."""
    content = torch.load(path, weights_only=True)

    def make(rng: random.Random, _: Sequence[bytes]) -> bytes:
        part = rng.choice(("segkit", "segkit", "state_dict", ""))
        try:
            tree = content if not part else content[part]
            if rng.random() < 0.8 and part == "segkit":
                changed: Any = wrong(rng, [tree])
            else:
                changed = dict(tree)
                key = rng.choice(list(changed))
                changed[key] = rng.choice(
                    (None, 1, "x", [], {}, torch.zeros(3), torch.zeros(0), float("nan"))
                )
            changed = {**content, part: changed} if part else changed
            whole = io.BytesIO()
            torch.save(changed, whole)
            return whole.getvalue()
        except (RecursionError, OverflowError, ValueError, UnicodeEncodeError):
            return b""

    return make


def _tensors(home: Path) -> Read:
    path = home / "encoder.pt"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        found = read_tensors(path)
        assert all(isinstance(t, torch.Tensor) for t in found.values())

    return read


def _weights() -> bytes:
    content = io.BytesIO()
    torch.save({"state_dict": {"a.weight": torch.ones(3, 2), "a.bias": torch.zeros(3)}}, content)
    return content.getvalue()


def _safetensors(home: Path) -> Read:
    path = home / "encoder.safetensors"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_tensors(path)

    return read


def _safe_weights() -> bytes:
    from safetensors.torch import save

    return save({"a.weight": torch.ones(3, 2), "a.bias": torch.zeros(3)})


def _few(home: Path) -> Any:
    """Four samples, the times of whose files lie long ago."""
    from PIL import Image

    for i in range(4):
        for kind, value in (("images", 40 * i), ("masks", i % 2)):
            file = home / "data" / kind / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (6 + i, 4), value).save(file)
            os.utime(file, (1, 1))
    return folder(home / "data", {"names": ["x", "y"]})


def _cache(home: Path) -> Read:
    """A damaged cache is made anew; what it would have said wrongly is never said."""
    source, cache = _few(home), home / "cache"
    names = sorted(source.samples)
    expected = scan(source, names, workers=1)
    # As if the files were older than a moment: only then is a cache used at all.
    import segkit.data.cache as module

    module.TICK = -(10**18)
    scan(source, names, workers=1, cache=cache)
    (file,) = cache.glob("scan-*.npz")

    def read(data: bytes) -> None:
        file.write_bytes(data or file.read_bytes())
        found = scan(source, names, workers=1, cache=cache)
        for field in dataclasses.fields(found):
            np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))

    return read


def _cache_seed() -> list[bytes]:
    import tempfile

    import segkit.data.cache as module

    before, module.TICK = module.TICK, -(10**18)
    with tempfile.TemporaryDirectory() as place:
        source = _few(Path(place))
        scan(source, sorted(source.samples), workers=1, cache=Path(place) / "cache")
        (file,) = (Path(place) / "cache").glob("scan-*.npz")
        seed = file.read_bytes()
    module.TICK = before
    return [seed]


def _npz_with(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Arrays of other types, shapes and values under the right names."""
    with np.load(io.BytesIO(rng.choice(seeds)), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = rng.choice(list(arrays))
    values = np.atleast_1d(arrays[name])
    changes: tuple[Callable[[], Any], ...] = (
        lambda: values[:-1],
        lambda: values[..., None],
        lambda: values.ravel(),
        lambda: np.zeros(0),
        lambda: np.array("x"),
        lambda: values.astype(str),
        lambda: np.full(values.shape, rng.choice((-1, 2**31, 2**62, np.nan, np.inf))),
        lambda: -values,
        lambda: np.concatenate([values, values]),
        lambda: values.astype(rng.choice(("f4", "u1", "?", "c8", "M8[s]"))),
    )
    try:
        with np.errstate(all="ignore"):
            arrays[name] = rng.choice(changes)()
    except (TypeError, ValueError, np.exceptions.DTypePromotionError):
        arrays.pop(name)
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def run_readers(run: Path) -> list[Reader]:
    """Readers of the files of a run.

    Args:
        run: A finished run.
    """

    def seeds(name: str) -> list[bytes]:
        return [(run / name).read_bytes()]

    def json_maker(name: str) -> Make:
        return json_with([json.loads((run / name).read_text())])

    def yaml_maker(name: str) -> Make:
        return yaml_with([yaml.safe_load((run / name).read_text())])

    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    parts = [line.split(",") for line in (run / "split.csv").read_text().splitlines()]
    card, numbers, counts = "run.json", "metrics.json", "counts.npz"
    config, overrides, hydra = KEPT[-3:]
    last = run / "checkpoints" / "last.ckpt"
    return [
        Reader("report metrics.json", seeds(numbers), _reported(run, numbers), (damage, json_maker(numbers))),
        Reader("report counts.npz", seeds(counts), _reported(run, counts), (damage, zip_with, _npz_with)),
        Reader(
            "report split.csv", seeds("split.csv"), _reported(run, "split.csv"), (damage, csv_with([parts]))
        ),
        Reader("metrics.csv", seeds("metrics.csv"), _history(run), (damage, csv_with([rows]))),
        Reader("report run.json", seeds(card), _reported(run, card), (damage, json_maker(card))),
        Reader("resume run.json", seeds(card), _card(run), (damage, json_maker(card))),
        Reader(
            "compare metrics.json", seeds(numbers), _compared(run, numbers), (damage, json_maker(numbers))
        ),
        Reader("compare counts.npz", seeds(counts), _compared(run, counts), (damage, zip_with, _npz_with)),
        Reader("report config.yaml", seeds(config), _reported(run, config), (damage, yaml_maker(config))),
        Reader("config.yaml", seeds(config), _resumed(run, config), (damage, yaml_maker(config))),
        Reader(
            "overrides.yaml", seeds(overrides), _reported(run, overrides), (damage, yaml_maker(overrides))
        ),
        Reader("hydra.yaml", seeds(hydra), _resumed(run, hydra), (damage, yaml_maker(hydra))),
        Reader("checkpoint", [last.read_bytes()], _checkpoint(run), (damage, zip_with, _tree_of(last))),
        Reader("encoder weights", [_weights()], _tensors, (damage, zip_with)),
        Reader("encoder safetensors", [_safe_weights()], _safetensors),
        Reader("analysis cache", _cache_seed(), _cache, (damage, zip_with, _npz_with)),
    ]
