"""`segkit evaluate`: the numbers agree with others', and with themselves."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score
from torchmetrics import JaccardIndex

import segkit
from segkit.data.labels import read_labels
from segkit.data.streets import Streets


def _numbers(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def evaluated(finished, command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    done = command("evaluate", f"run={finished}", "hydra.run.dir=all", "split=val", cwd=folder)
    assert done.code == 0, done.err
    return done, folder / "all"


def test_a_table_with_its_protocol_is_printed_and_written(evaluated):
    done, folder = evaluated
    assert "vehicle" in done.out
    assert "protocol: val part, 3 images, native resolution" in done.out
    for name in ("metrics.json", "counts.npz", "plots/class_iou.png", "plots/confusion.png"):
        assert (folder / name).is_file()


def test_the_numbers_equal_scikit_learns_and_torchmetrics_on_the_same_pixels(finished, evaluated):
    model = segkit.load(finished)
    source = Streets(read_labels("streets"), 6, 3, 2, height=32, width=64)
    pairs = [source.read(s) for s in source.samples if s.split == "val"]
    predictions = np.stack([model.predict(image) for image, _ in pairs])
    targets = np.stack([target for _, target in pairs])
    valid = targets != 255
    per_class = jaccard_score(
        targets[valid], predictions[valid], labels=range(8), average=None, zero_division=0
    )
    numbers = _numbers(evaluated[1])
    shown = [c for c, row in enumerate(numbers["per_class"].values()) if row["iou"] is not None]
    for c, row in enumerate(numbers["per_class"].values()):
        if c in shown:
            assert row["iou"] == pytest.approx(per_class[c], abs=1e-12)
    metric = JaccardIndex(task="multiclass", num_classes=8, ignore_index=255, average="none")
    theirs = metric(torch.from_numpy(predictions).long(), torch.from_numpy(targets).long())
    assert numbers["mean"]["miou"] == pytest.approx(theirs[shown].mean().item(), abs=1e-6)


@pytest.mark.filterwarnings("ignore:This DataLoader will create . worker processes")  # on one core
@pytest.mark.parametrize("options", [["data.batch_size=1"], ["data.batch_size=3"], ["data.num_workers=2"]])
def test_the_numbers_are_the_same_for_any_batch_size_and_number_of_workers(
    options, finished, evaluated, command, tmp_path
):
    done = command("evaluate", f"run={finished}", "split=val", *options, "hydra.run.dir=again", cwd=tmp_path)
    assert done.code == 0, done.err
    assert _numbers(tmp_path / "again") == _numbers(evaluated[1])
    first, again = (np.load(p / "counts.npz") for p in (evaluated[1], tmp_path / "again"))
    assert (first["counts"] == again["counts"]).all()


def test_where_it_fails_adds_up_and_is_drawn(evaluated):
    folder = evaluated[1]
    numbers, counts = _numbers(folder), np.load(folder / "counts.npz")
    assert numbers["failure"]["errors"]["total"] == counts["counts"][..., 2].sum() > 0
    assert counts["failure/errors"].sum() == numbers["failure"]["errors"]["total"]
    for name in ("errors", "object_size", "image_miou"):
        assert (folder / "plots" / f"{name}.png").is_file()
        assert (folder / "plots" / f"{name}.csv").is_file()


def test_a_checkpoint_alone_can_be_evaluated_on_other_data_of_the_same_classes(finished, command, tmp_path):
    shutil.copy(finished / "checkpoints" / "best.ckpt", tmp_path / "model.ckpt")
    options = ["data=streets", "data.seed=7", "data.train_samples=1", "data.val_samples=1", "split=all"]
    options += ["data.test_samples=2", "data.height=40", "data.width=56", "hydra.run.dir=out"]
    done = command("evaluate", "run=model.ckpt", *options, cwd=tmp_path)
    assert done.code == 0, done.err
    assert _numbers(tmp_path / "out")["images"] == 4


def test_network_resolution_is_another_protocol_and_says_so(finished, evaluated, command, tmp_path):
    options = ["split=val", "data.eval_resolution=network", "hydra.run.dir=out"]
    assert command("evaluate", f"run={finished}", *options, cwd=tmp_path).code == 0
    assert _numbers(tmp_path / "out")["resolution"] == "network"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["run=nowhere"], "nowhere: no such file or folder; give a run folder or a .ckpt file"),
        (["run=FINISHED", "split=tset"], "split=tset: choose train, val, test or all"),
        (["run=FINISHED", "device=gpu9"], "device=gpu9"),
        (["run=FINISHED", "data=streets", "data.labels=camvid11"], "knows the classes void, flat"),
        (["run=FINISHED", "threshold=2"], "threshold=2: must lie between 0 and 1, both excluded"),
        (["run=FINISHED", "data.batch_size=abc"], "data.batch_size=abc: expected a whole number"),
        ([], "run= must be given"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(options, message, finished, command, tmp_path):
    options = [o.replace("FINISHED", str(finished)) for o in options]
    done = command("evaluate", *options, cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert message in done.err


def test_a_file_that_is_no_checkpoint_a_truncated_one_and_a_strangers_are_refused(
    finished, command, tmp_path
):
    whole = (finished / "checkpoints" / "best.ckpt").read_bytes()
    (tmp_path / "text.ckpt").write_text("hello")
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    for name, message in (
        ("text", "not a checkpoint"),
        ("half", "a damaged one"),
        ("other", "not a checkpoint"),
    ):
        done = command("evaluate", f"run={name}.ckpt", cwd=tmp_path)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert f"{name}.ckpt" in done.err
        assert message in done.err


def test_a_checkpoint_may_not_call_what_it_likes(finished, command, tmp_path):
    content = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    for target in ("os.system", "segkit.model.unet.torch.hub.load", "builtins.eval"):
        content["segkit"]["config"]["model"] = {"_target_": target, "command": f"touch {tmp_path / 'owned'}"}
        torch.save(content, tmp_path / "bad.ckpt")
        done = command("evaluate", "run=bad.ckpt", cwd=tmp_path)
        assert done.code == 2
        assert "may not call" in done.err
        assert not (tmp_path / "owned").exists()
