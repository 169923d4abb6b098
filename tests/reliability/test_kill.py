"""Killed at chosen moments: within a window, within a validation, while a checkpoint is written."""

from __future__ import annotations

import pytest

MODULE = "segkit.module:SegmentationModule"
MOMENTS = {
    "in the first micro-batch of a window": {"call": f"{MODULE}.training_step", "number": 18},
    "behind the first micro-batch of a window": {
        "call": f"{MODULE}.training_step",
        "number": 18,
        "after": True,
    },
    "before an optimiser step": {"call": f"{MODULE}.on_before_optimizer_step", "number": 11},
    "in a validation": {"call": f"{MODULE}.validation_step", "number": 4},
    "at the end of a validation": {"call": f"{MODULE}.on_validation_epoch_end", "number": 3},
    "before the row of an epoch": {"call": "segkit.callback.csv_log:write_csv", "number": 3},
    "behind the row of an epoch": {"call": "segkit.callback.csv_log:write_csv", "number": 3, "after": True},
    "in the bytes of a checkpoint": {"call": "segkit.callback.disk:write_bytes", "number": 9},
    "before a checkpoint is on the disk": {"call": "os:fsync", "number": 200},
    "before a checkpoint takes its place": {"call": "pathlib:Path.replace", "number": 30},
    "behind that": {"call": "pathlib:Path.replace", "number": 30, "after": True},
    "between the last and the one before": {
        "call": "segkit.callback.last:keep_previous",
        "number": 8,
        "after": True,
    },
}
FAST = ("in a validation",)


@pytest.mark.parametrize(
    "moment", [m if m in FAST else pytest.param(m, marks=pytest.mark.soak) for m in MOMENTS]
)
def test_a_run_killed_there_ends_as_one_that_was_never_killed(
    moment, start, plain, whole, differences, tmp_path
):
    options = [*plain, "callback.last.every_n_steps=2"]
    killed = start([*options, "hydra.run.dir=run"], tmp_path, ("die_at", MOMENTS[moment]))
    assert killed.wait() == -9, killed.text()
    resumed = start(["resume=run"], tmp_path)
    assert resumed.wait() == 0, resumed.text()
    assert differences(whole, tmp_path / "run") == []
    assert not list((tmp_path / "run").rglob("*.partial")), "no half of a file is left behind"
