"""One picture, pictures of one pixel, one class; very many classes and very large pictures."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest

DATA = ["data=folder", "data.root=data", "data.labels=labels.yaml"]
NET = ["model.depth=2", "model.base_width=4", "trainer.max_epochs=1", "threads=1", "data.num_workers=0"]
NET += ["data.batch_size=1", "logger=none"]
RUN = "hydra.run.dir=run"


def made(folder: Path, count: int, side: int, classes: int) -> list[str]:
    """A folder of square pictures with 16-bit masks of classes at random; the options of its data."""
    rng, kind = np.random.default_rng(0), np.uint8 if classes < 256 else np.uint16
    for name in ("images", "masks"):
        (folder / "data" / name).mkdir(parents=True)
    for i in range(count):
        picture = rng.integers(0, 256, (side, side, 3), np.uint8)
        cv2.imwrite(str(folder / f"data/images/{i}.png"), picture)
        cv2.imwrite(str(folder / f"data/masks/{i}.png"), rng.integers(0, classes, (side, side)).astype(kind))
    names = ", ".join(f"c{i}" for i in range(classes))
    (folder / "labels.yaml").write_text(f"names: [{names}]\n")
    return DATA


def peak() -> int:
    """Largest memory of this process until now, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@pytest.mark.parametrize(("verb", "options"), [("train", NET), ("train", [*NET, "data.test_fraction=0"])])
def test_a_single_picture_is_told_that_it_takes_two(verb, options, command, tmp_path):
    done = command(verb, *made(tmp_path, 1, 8, 2), *options, RUN, cwd=tmp_path)
    assert done.code == 2
    assert "training needs at least 2 samples, one to learn from and one to validate with" in done.err
    assert "Traceback" not in done.err


def test_pictures_of_one_pixel_are_trained_on_measured_and_predicted(command, tmp_path):
    data = made(tmp_path, 4, 1, 2)
    options = [*NET, "data.size=[1,1]", "data.test_fraction=0", "metric=basic", RUN]
    done = command("train", *data, *options, cwd=tmp_path)
    assert done.code == 0, done.err
    numbers = json.loads((tmp_path / "run/metrics.json").read_text())
    assert numbers["protocol"]["images"] == 1
    done = command("predict", "run=run", "input=data/images", "output=out", cwd=tmp_path)
    assert done.code == 0, done.err
    assert cv2.imread(str(tmp_path / "out/index/0.png"), cv2.IMREAD_UNCHANGED).shape[:2] == (1, 1)


@pytest.mark.parametrize("task", ["multiclass", "binary"])
def test_one_class_alone_is_told_to_name_what_is_not_it(task, command, tmp_path):
    data = made(tmp_path, 4, 8, 1)
    (tmp_path / "labels.yaml").write_text(f"names: [crack]\ntask: {task}\n")
    done = command("train", *data, *NET, RUN, cwd=tmp_path)
    assert done.code == 2
    assert "needs" in done.err
    assert "2 names" in done.err


@pytest.mark.soak
def test_a_thousand_classes_train_and_their_pages_can_be_opened(command, tmp_path):
    data = made(tmp_path, 6, 96, 1000)
    for verb, options in (
        ("train", [*data, *NET, "data.size=[96,96]", RUN]),
        ("evaluate", ["run=run", "hydra.run.dir=measured"]),
        ("predict", ["run=run", "input=data/images", "output=out"]),
        ("analyze", [*data, "hydra.run.dir=analysis", "data.size=[96,96]"]),
        ("split", [*data, "split.file=split.csv"]),
        ("compare", ["run", "measured", "hydra.run.dir=compared"]),
    ):
        done = command(verb, *options, cwd=tmp_path)
        assert done.code == 0, done.err
    index = cv2.imread(str(tmp_path / "out/index/0.png"), cv2.IMREAD_UNCHANGED)
    assert index.dtype == np.uint16
    pages = ("run/report.html", "measured/report.html", "analysis/analysis.html", "compared/compare.html")
    sizes = {page: (tmp_path / page).stat().st_size / 1e6 for page in pages}
    print(sizes, "MB; peak memory", peak(), "MiB")
    assert max(sizes.values()) < 30, sizes
    for plot in tmp_path.rglob("plots/*.png"):
        assert max(cv2.imread(str(plot)).shape) < 6000, plot


@pytest.mark.soak
@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_pictures_of_64_million_pixels_are_trained_on_measured_and_predicted(fit, command, tmp_path):
    """At the size of the network (stretch), or at their own in tiles (crop)."""
    y, x = np.mgrid[:8000, :8000].astype(np.uint16)
    data = made(tmp_path, 0, 1, 3)
    for i in range(3):
        mask = ((x // (400 + i) + y // 500) % 3).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"data/masks/{i}.png"), mask)
        cv2.imwrite(str(tmp_path / f"data/images/{i}.png"), np.repeat(mask[..., None] * 80, 3, 2))
    del y, x, mask
    before = peak()
    options = [*NET, "data.size=[256,256]", f"data.fit={fit}", "data.test_fraction=0", "metric=basic", RUN]
    done = command("train", *data, *options, cwd=tmp_path)
    assert done.code == 0, done.err
    done = command("evaluate", "run=run", "metric=basic", "hydra.run.dir=measured", cwd=tmp_path)
    assert done.code == 0, done.err
    done = command("predict", "run=run", "input=data/images/0.png", "output=out", cwd=tmp_path)
    assert done.code == 0, done.err
    assert cv2.imread(str(tmp_path / "out/index/0.png"), cv2.IMREAD_UNCHANGED).shape[:2] == (8000, 8000)
    print("peak memory", before, "->", peak(), "MiB")
    assert peak() - before < 6000
