"""A disk without room: what could be written is there, what could not is said."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

LATER = 99  # an epoch that no run reaches


def full(names: list[str], first: int, last: int) -> tuple:
    return ("full_disk", {"names": names, "first": first, "last": last})


def step_of(run: Path, name: str = "last") -> int:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["global_step"]


def best_score(run: Path, name: str) -> float:
    """What a checkpoint knows of the best: that of the file, not that of one that had no room."""
    content = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    states = [v for k, v in content["callbacks"].items() if k.startswith("Best")]
    return float(states[0]["best_model_score"])


def test_when_there_is_room_again_nothing_is_missing(start, plain, whole, differences, tmp_path):
    """Checkpoints, numbers and curves that had no room in epochs 1 to 3."""
    names = ["last.ckpt", "best.ckpt", "metrics.csv", "events.out"]
    begun = start([*plain, "hydra.run.dir=run"], tmp_path, full(names, 1, 3))
    assert begun.wait() == 0, begun.text()
    assert "Traceback" not in begun.text()
    for name in ("last.ckpt", "best.ckpt", "metrics.csv", "TensorBoard"):
        said = [x for x in begun.text().splitlines() if x.startswith(f"{name}: ")]
        assert said[0] == f"{name}: not written (no space left on device); the run goes on"
        assert said[1:] in ([f"{name}: written again"], []), "once per kind"
    found = [d for d in differences(whole, tmp_path / "run") if not d.startswith(("best", "last.callbacks"))]
    assert found == [], "but for the best epoch, which may have been one of those that had no room"
    assert best_score(tmp_path / "run", "best") == best_score(tmp_path / "run", "last")


def test_a_last_checkpoint_without_room_is_exit_code_1_and_the_one_before_survives(
    start, plain, whole, differences, tmp_path
):
    begun = start([*plain, "hydra.run.dir=run"], tmp_path, full(["last.ckpt", "best.ckpt"], 2, LATER))
    assert begun.wait() == 1, begun.text()
    run = tmp_path / "run"
    assert "Traceback" not in begun.text()
    assert "missing in the run folder, or not the newest: last.ckpt (no space left on device)" in begun.text()
    assert step_of(run) == 6, "two epochs of three steps"
    assert not list((run / "checkpoints").glob(".*partial"))
    resumed = start(["resume=run"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert differences(whole, run) == []


@pytest.mark.soak
def test_pictures_plots_and_pages_without_room_are_said_and_the_run_succeeds(start, plain, tmp_path):
    options = [*plain, "callback.pictures.count=2", "callback.plots={_target_:segkit.callback.plots.Plots}"]
    names = ["predictions/", "plots/", "report.html", "run.json"]
    begun = start([*options, "hydra.run.dir=run"], tmp_path, full(names, 1, LATER))
    assert begun.wait() == 0, begun.text()
    assert "Traceback" not in begun.text()
    for kind in ("predictions/", "plots/", "report.html", "run.json"):
        line = f"missing in the run folder, or not the newest: {kind} (no space left on device)"
        assert begun.text().count(line) == 1
    assert step_of(tmp_path / "run") == 18


@pytest.mark.soak
def test_numbers_of_the_test_without_room_are_printed_and_exit_code_1(start, plain, tmp_path):
    options = [*plain, "test=true", "data.test_samples=2", "trainer.max_epochs=1"]
    begun = start([*options, "hydra.run.dir=run"], tmp_path, full(["metrics.json", "counts.npz"], 0, LATER))
    assert begun.wait() == 1, begun.text()
    assert "Traceback" not in begun.text()
    assert "mIoU" in begun.text()
    assert "missing in the run folder, or not the newest: metrics.json" in begun.text()


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.soak
def test_a_real_disk_that_fills_up_and_is_cleared(start, plain, whole, differences, small_disk, tmp_path):
    fault = ("fill_disk", {"folder": str(small_disk), "first": 1, "last": 3})
    options = [*plain, "callback.pictures.count=2"]
    begun = start([*options, f"hydra.run.dir={small_disk}/run"], tmp_path, fault)
    assert begun.wait() == 0, begun.text()
    assert "Traceback" not in begun.text()
    kinds = [x.split(":")[0] for x in begun.text().splitlines() if ": not written (no space left" in x]
    assert {"metrics.csv", "TensorBoard"} <= set(kinds)
    assert all(begun.text().count(f"{kind}: written again") == 1 for kind in kinds)
    found = differences(whole, small_disk / "run")
    assert [d for d in found if not d.startswith(("best", "last.callbacks"))] == []


@pytest.mark.soak
def test_a_real_disk_that_stays_full_ends_in_exit_code_1_with_a_good_checkpoint(
    start, plain, small_disk, tmp_path
):
    fault = ("fill_disk", {"folder": str(small_disk), "first": 2, "last": LATER})
    begun = start([*plain, f"hydra.run.dir={small_disk}/run"], tmp_path, fault)
    assert begun.wait() == 1, begun.text()
    assert "Traceback" not in begun.text()
    assert "Exception ignored" not in begun.text()
    assert "missing in the run folder, or not the newest: metrics.csv (no space left" in begun.text()
    assert step_of(small_disk / "run") >= 5, "there may be room for one more in the place of an old one"
    (small_disk / "filler").unlink()
    resumed = start([f"resume={small_disk}/run", "trainer.max_epochs=7"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert step_of(small_disk / "run") == 21


@pytest.mark.soak
def test_no_room_at_all_is_one_line_before_anything_starts(start, plain, small_disk, tmp_path):
    with (small_disk / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)) == 4096:
            if os.statvfs(small_disk).f_bavail == 0:
                break
    begun = start([*plain, f"hydra.run.dir={small_disk}/run"], tmp_path)
    assert begun.wait() == 2, begun.text()
    assert "Traceback" not in begun.text()
    assert begun.text().splitlines()[-1].startswith("segkit train: error: ")
    assert "samples:" not in begun.text()
