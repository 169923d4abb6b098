"""What is wrong with the data or the options: one line, exit code 2, nothing lost."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

UNET = ["model.depth=2", "model.base_width=4"]
TINY = ["data.size=[32,32]", "data.batch_size=2", "data.num_workers=0"]
TINY += ["trainer.max_epochs=1", "threads=1", "logger=none", "hydra.run.dir=run"]
DATA = ["data=folder", "data.root=data", "data.labels=labels.yaml"]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Ten pictures with index masks of two classes, and their label space."""
    rng = np.random.default_rng(0)
    (tmp_path / "labels.yaml").write_text("names: [ground, thing]\nignore: [255]\n")
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for i in range(10):
        cv2.imwrite(str(tmp_path / f"data/images/{i}.png"), rng.integers(0, 256, (24, 30, 3), np.uint8))
        cv2.imwrite(str(tmp_path / f"data/masks/{i}.png"), rng.integers(0, 2, (24, 30), np.uint8))
    return tmp_path


def _refused(command, folder, *options, data=DATA):
    """The one line that a mistake gives; ``hydra.run.dir=null`` stands for none on the command line."""
    before = sorted(p for p in folder.rglob("*") if p.is_file())
    net = [] if "model=smp" in options else UNET
    arguments = [*data, *TINY, *net, *options]
    if "hydra.run.dir=null" in arguments:
        arguments = [a for a in arguments if not a.startswith("hydra.run.dir=")]
    done = command("train", *arguments, cwd=folder)
    assert done.code == 2, done.out + done.err
    lines = [line for line in done.err.splitlines() if "error: " in line]
    assert len(lines) == 1
    assert done.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in done.err
    assert [p for p in before if not p.exists()] == []
    return lines[0]


def test_the_sound_folder_trains(command, folder):
    done = command("train", *DATA, *TINY, *UNET, cwd=folder)
    assert done.code == 0, done.err
    assert (folder / "run" / "metrics.json").is_file()


def _write_mask(folder, values, name="3.png"):
    cv2.imwrite(str(folder / "data/masks" / name), np.asarray(values, np.uint8))


def test_a_missing_folder(command, folder):
    line = _refused(command, folder, data=["data=folder", "data.root=dtaa", "data.labels=labels.yaml"])
    assert "dtaa" in line


def test_no_root(command, folder):
    assert "data.root is not set" in _refused(command, folder, data=["data=folder", "data.labels=binary"])


def test_no_pairs(command, folder):
    for mask in (folder / "data/masks").iterdir():
        mask.rename(mask.with_name(f"m_{mask.name}"))
    line = _refused(command, folder)
    assert "mask_prefix" in line


def test_an_image_without_a_mask_and_a_mask_without_an_image(command, folder):
    (folder / "data/masks/4.png").rename(folder / "masks4.png")
    assert "4" in _refused(command, folder)
    (folder / "masks4.png").rename(folder / "data/masks/4.png")
    (folder / "data/images/5.png").unlink()
    assert "5" in _refused(command, folder)


def test_sizes_that_differ(command, folder):
    _write_mask(folder, np.zeros((20, 30)))
    line = _refused(command, folder)
    assert "3.png" in line
    assert "20" in line


def test_a_truncated_picture(command, folder):
    path = folder / "data/images/3.png"
    path.write_bytes(path.read_bytes()[:500])
    assert "3.png" in _refused(command, folder)


def test_an_id_that_the_label_space_does_not_know(command, folder):
    mask = np.zeros((24, 30))
    mask[:2, :3] = 7
    _write_mask(folder, mask)
    line = _refused(command, folder)
    assert "3.png" in line
    assert "7 (6 pixels)" in line


def test_a_0_255_mask_names_its_cause(command, folder):
    for i in range(10):
        _write_mask(folder, 255 * np.eye(24, 30), f"{i}.png")
    assert "data.labels=binary" in _refused(command, folder)


def test_a_mask_of_colours(command, folder):
    _write_mask(folder, np.random.default_rng(0).integers(0, 255, (24, 30, 3)))
    line = _refused(command, folder)
    assert "3.png" in line
    assert "colours" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model=smp", "model.arch=unett"], "unett"),
        (["model=smp", "model.encoder_name=resnet19"], "resnet19"),
        (["loss=bce"], "use loss=ce"),
        (["optimizer.lr=-1"], "optimizer.lr=-1: must be greater than 0"),
        (["data.size=[0,512]"], "data.size=[0, 512]"),
        (["trainer.max_epochs=abc"], "trainer.max_epochs=abc: expected a whole number"),
        (["data.size=256"], "data.size=256: expected a list of whole numbers, such as [256,512]"),
        (
            ["augment.crop_classes=[0,99]"],
            "augment.crop_classes=[0, 99]: the classes are 0 to 1; leave out 99",
        ),
        (
            ["augment.crop_classes=[bus]"],
            "expected a list of whole numbers, such as [256,512] or null, got ['bus']",
        ),
        (["data.batch_size=2.5"], "data.batch_size=2.5: expected a whole number"),
        (["loss.class_weights=[1,2,3]"], "loss.class_weights"),
        (["loss.class_weights=invers"], "inverse"),
        (["model.depth=-1"], "model.depth=-1"),
        (["augment.transforms.HorizontalFlip.q=0.5"], "augment.transforms.HorizontalFlip.q"),
        (["monitor=val/mIoU"], "monitor=val/mIoU: there is no such number"),
        (["data.val_fraction=1.5"], "data.val_fraction=1.5"),
        (["data.labels=nowhere.yaml"], "nowhere.yaml"),
        (["ckpt_path=nowhere.ckpt"], "nowhere.ckpt"),
        (["scheduler.warmup_steps=1000"], "scheduler.warmup_steps=1000"),
        (["trainer.devices=0"], "devices"),
        (["trainer.precision=33"], "precision"),
        (["trainer=gpu"], "gpu"),
        (["trainer=fsdp"], "trainer.strategy=fsdp: torch shards a model over GPUs only"),
        (["trainer=ddp", "trainer.strategy=ddp_spawn"], "processes are started as commands"),
        (["seed=-1"], "seed=-1: give a whole number, at least 0"),
        (["threads=0"], "threads=0: give a whole number, at least 1"),
        (["monitor_mode=best"], "monitor_mode=best: choose min or max"),
        (["callback.lr_monitor.logging_interval=foo"], "logging_interval"),
        (["ckpt_path=last", "hydra.run.dir=null"], "ckpt_path=last needs hydra.run.dir=RUN"),
        (
            ["--multirun", "seed=1,2", "trainer=ddp", "hydra.sweep.dir=sweep"],
            "--multirun with several processes",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_options_that_cannot_be(options, message, command, folder):
    assert message in _refused(command, folder, *options)


def test_an_output_folder_that_cannot_be_written(command, folder):
    (folder / "file").write_text("")
    done = command("train", *DATA, *TINY, "hydra.run.dir=file/run", cwd=folder)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "file/run" in done.err


def test_a_checkpoint_of_other_classes(command, folder, finished):
    line = _refused(command, folder, f"ckpt_path={finished}")
    assert "was trained on classes void, flat" in line


def test_a_checkpoint_of_another_network(command, folder, tmp_path_factory):
    assert command("train", *DATA, *TINY, *UNET, "test=false", cwd=folder).code == 0
    (folder / "run").rename(folder / "first")
    line = _refused(command, folder, "ckpt_path=first", "model.base_width=8")
    assert "holds another network" in line


def test_data_that_changed_since_the_split_was_frozen(command, folder):
    assert command("train", *DATA, *TINY, *UNET, "test=false", cwd=folder).code == 0
    for name in ("images", "masks"):
        (folder / "data" / name / "9.png").rename(folder / f"{name}9.png")
    for verb, options in (("evaluate", ["run=run"]), ("train", ["resume=run", "trainer.max_epochs=2"])):
        done = command(verb, *options, cwd=folder)
        assert (done.code, "lists samples that the data does not have: 1 (first: 9)" in done.err) == (2, True)


def test_other_data_is_measured_whole(command, folder):
    assert command("train", *DATA, *TINY, *UNET, "test=false", cwd=folder).code == 0
    (folder / "elsewhere").mkdir()
    options = ["run=../run", "data=folder", "data.root=../data", "data.labels=../labels.yaml"]
    done = command("evaluate", *options, "hydra.run.dir=out", cwd=folder / "elsewhere")
    assert done.code == 0, done.err
    assert "test part, 10 images" in done.out
    done = command("evaluate", "run=../run", "split=val", "hydra.run.dir=own", cwd=folder / "elsewhere")
    assert done.code == 0, done.err  # the run knows where its data lies


def test_what_was_changed_on_resume_stays_changed(command, folder):
    assert command("train", *DATA, *TINY, *UNET, "test=false", cwd=folder).code == 0
    assert command("train", "resume=run", "trainer.max_epochs=3", cwd=folder).code == 0
    done = command("train", "resume=run", cwd=folder)
    assert done.code == 0, done.err
    assert "already trained for 3 of 3 epochs" in done.err


def test_two_runs_do_not_share_a_folder(command, folder, monkeypatch):
    monkeypatch.setattr("segkit.cli.refuse_overwriting", lambda arguments: None)  # as if at the same moment
    assert command("train", *DATA, *TINY, *UNET, "test=false", cwd=folder).code == 0
    assert "already holds a run" in _refused(command, folder)


def test_a_resumed_run_takes_its_own_keys_and_no_others(command, folder):
    assert command("train", *DATA, *TINY, *UNET, "test=false", cwd=folder).code == 0
    (folder / "data").rename(folder / "moved")
    done = command("train", "resume=run", "trainer.max_epochs=2", "data.root=moved", cwd=folder)
    assert done.code == 0, done.err
    for option, message in (("data.rot=x", "did you mean 'root'"), ("data=csv", "keeps its data")):
        done = command("train", "resume=run", option, cwd=folder)
        assert (done.code, message in done.err) == (2, True), done.err


def test_a_picture_that_breaks_in_a_worker_is_still_one_line(command, folder):
    mask = np.zeros((24, 30))
    mask[0, 0] = 9
    _write_mask(folder, mask)
    line = _refused(command, folder, "data.check_masks=1", "data.num_workers=1")
    assert "3.png" in line
