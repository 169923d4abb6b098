"""Pictures that turn unreadable in the middle of a run, and loader processes that die."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

PARTS = {"train": 9, "val": 3, "test": 3}
BROKEN = "train_4"
OPTIONS = [
    *("data=csv", "data.file=data/table.csv", "data.labels={names:[a,b,c],ignore:[255]}"),
    *("data.size=[16,24]", "data.batch_size=2", "data.num_workers=0", "trainer.accumulate_grad_batches=2"),
    *("model.depth=2", "model.base_width=4", "model.norm=group", "trainer.max_epochs=4", "threads=1"),
    *("callback.pictures.count=0", "callback.plots=null", "logger=none", "metric=basic", "test=false"),
]
SKIP = "data.on_error=skip"
LOGGED = ["callback.last.every_n_steps=1", "logger=tensorboard"]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A table of fifteen pictures with masks of three classes and some ignored pixels."""
    rng, rows = np.random.default_rng(0), []
    (tmp_path / "data").mkdir()
    for part, count in PARTS.items():
        for i in range(count):
            name = f"{part}_{i}"
            mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), (16, 24), p=[0.5, 0.2, 0.2, 0.1])
            cv2.imwrite(str(tmp_path / f"data/{name}.png"), rng.integers(0, 256, (16, 24, 3), np.uint8))
            cv2.imwrite(str(tmp_path / f"data/{name}_mask.png"), mask)
            rows.append(f"{name}.png,{name}_mask.png,{part}\n")
    (tmp_path / "data/table.csv").write_text("image,mask,split\n" + "".join(rows))
    return tmp_path


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def epochs(run: Path) -> int:
    table = run / "metrics.csv"
    return len(table.read_text().splitlines()) - 1 if table.is_file() else 0


def broken_in_the_middle(start, folder, fault, *options):
    """A run that would never end; the fault comes behind its second epoch."""
    run = start([*OPTIONS, "hydra.run.dir=run", "trainer.max_epochs=-1", "trainer.max_steps=100000",
                 "scheduler=none", "callback.early_stopping=null", *options], folder)  # fmt: skip
    run.until(lambda: epochs(folder / "run") >= 2)
    fault(folder / "data" / f"{BROKEN}.png")
    return run


def listed(run: Path) -> list[dict[str, str]]:
    with (run / "skipped.csv").open() as file:
        return list(csv.DictReader(file))


def the_line(run) -> str:
    """The only line about what went wrong."""
    assert "Traceback" not in run.text()
    lines = [line for line in run.text().splitlines() if "error: " in line]
    assert len(lines) == 1, run.text()
    return lines[0]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Path.unlink, "does not exist"),
        (truncate, "it is truncated; replace or remove the file"),
        pytest.param(
            lambda p: cv2.imwrite(str(p), np.zeros((9, 9, 3), np.uint8)),
            "a mask of its own size",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            lambda p: cv2.imwrite(str(p.with_stem(f"{BROKEN}_mask")), np.full((16, 24), 7, np.uint8)),
            "7",
            marks=pytest.mark.soak,
        ),
    ],
    ids=["deleted", "truncated", "size", "ids"],
)
def test_a_file_that_breaks_in_a_run_ends_it_with_one_line(fault, words, start, folder):
    workers = "data.num_workers=2" if fault is truncate else "data.num_workers=0"
    run = broken_in_the_middle(start, folder, fault, workers)
    assert run.wait() == 2, run.text()
    line = the_line(run)
    assert BROKEN in line
    assert words in line
    assert "data.on_error=skip leaves it out" in line
    last = torch.load(folder / "run/checkpoints/last.ckpt", weights_only=True)
    assert last["epoch"] >= 1


@pytest.mark.parametrize(("batch_size", "windows"), [(1, 2), pytest.param(4, 1, marks=pytest.mark.soak)])
def test_a_skipped_picture_weighs_nothing(batch_size, windows, start, folder):
    """As a run in which all of its pixels are ignored: the same weights, by another way."""
    options = [
        *(*OPTIONS, f"data.batch_size={batch_size}", f"trainer.accumulate_grad_batches={windows}"),
        *("trainer.precision=64-true", "test=false", "augment=none"),
    ]
    mask = folder / "data" / f"{BROKEN}_mask.png"
    kept = mask.read_bytes()
    cv2.imwrite(str(mask), np.full((16, 24), 255, np.uint8))
    ignored = start([*options, "hydra.run.dir=ignored"], folder)
    assert ignored.wait() == 0, ignored.text()
    mask.write_bytes(kept)
    truncate(folder / "data" / f"{BROKEN}.png")
    skipped = start([*options, "hydra.run.dir=skipped", SKIP], folder)
    assert skipped.wait() == 0, skipped.text()
    one, other = (
        torch.load(folder / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("ignored", "skipped")
    )
    assert max((one[k] - other[k]).abs().max().item() for k in one) < 1e-10
    (row,) = listed(folder / "skipped")
    assert (row["part"], row["name"], row["times"]) == ("train", BROKEN, "4")
    assert "truncated" in row["reason"]
    assert json.loads((folder / "skipped/run.json").read_text())["skipped"] == 1
    assert "1 picture could not be read and left out (1 train): see skipped.csv" in skipped.text()


def test_what_is_skipped_is_the_same_for_any_workers_and_after_a_kill(start, folder, differences):
    """A batch norm sees only pictures that are there; a resumed run counts nothing twice."""
    truncate(folder / "data" / f"{BROKEN}.png")
    truncate(folder / "data" / "val_1_mask.png")
    options = [*OPTIONS, SKIP, "model.norm=batch", *LOGGED]
    for name, workers in (("whole", 0), ("two", 2)):
        run = start([*options, f"hydra.run.dir={name}", f"data.num_workers={workers}"], folder)
        assert run.wait() == 0, run.text()
    killed = start([*options, "hydra.run.dir=run"], folder)
    killed.until(lambda: epochs(folder / "run") >= 2)
    killed.send(signal.SIGKILL)
    killed.wait()
    (folder / "data" / "test_2.png").unlink()  # a run that goes on can do without it too
    resumed = start(["resume=run"], folder)
    assert resumed.wait() == 0, resumed.text()
    assert differences(folder / "whole", folder / "two") == []
    assert differences(folder / "whole", folder / "run") == []
    rows = [listed(folder / name) for name in ("whole", "two", "run")]
    assert rows[0] == rows[1] == rows[2]
    found = [(r["part"], r["name"], r["times"]) for r in rows[2]]
    assert found == [("train", BROKEN, "4"), ("val", "val_1", "4")]


def test_a_run_stops_where_more_is_missing_than_allowed(start, folder):
    def several(path):
        for i in range(3):
            truncate(path.with_name(f"train_{i}.png"))

    run = broken_in_the_middle(start, folder, several, SKIP, "data.max_skipped=2")
    assert run.wait() == 2, run.text()
    assert "3 pictures could not be read, more than data.max_skipped=2" in the_line(run)
    assert len(listed(folder / "run")) == 3


def test_a_part_of_which_nothing_is_left_is_no_measurement(start, folder):
    def whole_part(path):
        for i in range(PARTS["val"]):
            path.with_name(f"val_{i}.png").unlink()

    run = broken_in_the_middle(start, folder, whole_part, SKIP)
    assert run.wait() == 2, run.text()
    assert "no picture of the val part can be read" in the_line(run)


def test_numbers_say_what_was_not_measured(command, start, folder):
    run = start([*OPTIONS, "hydra.run.dir=run", SKIP, "trainer.max_epochs=1"], folder)
    assert run.wait() == 0, run.text()
    (folder / "data/test_1.png").unlink()
    found = []
    for batch_size, workers in ((1, 0), (3, 0), (2, 1)):
        out, loader = (
            f"measured{batch_size}",
            [f"data.batch_size={batch_size}", f"data.num_workers={workers}"],
        )
        done = command("evaluate", "run=run", f"hydra.run.dir={out}", *loader, cwd=folder)
        assert done.code == 0, done.err
        assert "NOT MEASURED: 1 image that could not be read (skipped.csv)" in done.out
        numbers = json.loads((folder / out / "metrics.json").read_text())
        assert (numbers["images"], numbers["skipped"], numbers["skipped_images"]) == (2, 1, ["test_1"])
        assert "1 image NOT measured" in (folder / out / "report.html").read_text()
        assert listed(folder / out)[0]["name"] == "test_1"
        found.append(np.load(folder / out / "counts.npz")["counts"])
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    done = command("evaluate", "run=run", "data.on_error=raise", "hydra.run.dir=refused", cwd=folder)
    assert done.code == 2
    assert "test_1" in done.err
    assert "Traceback" not in done.err


def loaders_of(run) -> list[int]:
    """Loader processes of a run: forks, which have its command line."""

    def command_line(number):
        return Path(f"/proc/{number}/cmdline").read_bytes()

    number = run.process.pid
    try:
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        return [int(c) for c in children if command_line(c) == command_line(number)]
    except OSError:
        return []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "short of memory"),
        pytest.param(signal.SIGSEGV, "crashed", marks=pytest.mark.soak),
    ],
)
def test_a_loader_process_that_dies_ends_the_run_with_one_line_and_nothing_is_lost(
    number, words, start, folder, differences
):
    options = [*OPTIONS, *LOGGED, "data.num_workers=1", "trainer.max_epochs=10"]
    whole = start([*options, "hydra.run.dir=whole", "data.num_workers=0"], folder)
    assert whole.wait() == 0, whole.text()
    run = start([*options, "hydra.run.dir=run"], folder)
    run.until(lambda: epochs(folder / "run") >= 1)
    os.kill(loaders_of(run)[0], number)
    assert run.wait(60) == 2, run.text()
    line = the_line(run)
    assert words in line
    assert "data.num_workers=0" in line
    assert "a loader process of the " in line
    assert f"go on with: python -m segkit.train resume={folder / 'run'}" in line
    resumed = start(["resume=run"], folder)
    assert resumed.wait() == 0, resumed.text()
    assert differences(folder / "whole", folder / "run") == []


def shell(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as from a shell; none may take five minutes."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


TRAIN = (sys.executable, "-m", "segkit.train")


@pytest.mark.soak
@pytest.mark.parametrize("broken", [(4,), (0, 1, 2, 3, 5, 6, 7, 8)])
def test_processes_that_miss_different_pictures_wait_for_nobody_and_learn_what_one_learns(broken, folder):
    """With most pictures gone, one process often has none where the other has some."""
    for i in broken:
        truncate(folder / "data" / f"train_{i}.png")
    truncate(folder / "data" / "val_1.png")
    options = [*OPTIONS, SKIP, "trainer.precision=64-true", "data.batch_size=1", "trainer.max_epochs=2"]
    one = shell(*TRAIN, *options, "hydra.run.dir=one", "trainer.accumulate_grad_batches=4", folder=folder)
    two = [*options, "hydra.run.dir=two", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    both = shell(*TRAIN, *two, folder=folder)
    assert (one.returncode, both.returncode) == (0, 0), one.stderr + both.stderr
    weights, others = (
        torch.load(folder / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("one", "two")
    )
    assert max((weights[k] - others[k]).abs().max().item() for k in weights) < 1e-10
    assert sorted(map(str, listed(folder / "one"))) == sorted(map(str, listed(folder / "two")))


@pytest.mark.soak
def test_processes_stop_together_where_too_much_is_missing(folder):
    for i in range(3):
        truncate(folder / "data" / f"train_{i}.png")
    two = ["hydra.run.dir=two", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    done = shell(*TRAIN, *OPTIONS, SKIP, "data.max_skipped=2", "data.check_masks=0", *two, folder=folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("room", ["200k", "40k"])
def test_shared_memory_that_is_full_costs_one_line(room, folder):
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-m", "true"], capture_output=True).returncode:
        pytest.skip("a small /dev/shm needs the right to mount")
    mount = f"mount -t tmpfs -o size={room} tmpfs /dev/shm && exec "
    options = [*OPTIONS, "hydra.run.dir=run", "data.num_workers=2", "data.size=[128,128]"]
    command = " ".join(f"'{part}'" for part in (*TRAIN, *options))
    done = shell(unshare, "-m", "sh", "-c", mount + command, folder=folder)
    assert done.returncode == 2, done.stderr
    assert "/dev/shm" in done.stderr
    assert "data.num_workers=0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("files", [80, 60])
def test_too_many_open_files_cost_one_line(files, folder):
    options = [*OPTIONS, "hydra.run.dir=run", "data.num_workers=2", "data.batch_size=1"]
    command = " ".join(f"'{part}'" for part in (*TRAIN, *options))
    done = shell("sh", "-c", f"ulimit -n {files} && exec {command}", folder=folder)
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or "ulimit -n" in done.stderr
