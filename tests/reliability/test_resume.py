"""A run that is killed ends as if it had never been killed, to the last bit."""

from __future__ import annotations

import signal

import numpy as np
import pytest

RECIPES = {
    "plain": [],
    "plateau": ["scheduler=plateau", "scheduler.patience=0", "monitor=val/loss", "monitor_mode=min"],
    "ema": ["callback.ema.decay=0.9", "callback.last.every_n_steps=1"],
    "balanced": ["data.sampler=class_balanced", "callback.last.every_n_steps=2", "scheduler=poly"],
    "stopping": ["callback.early_stopping.patience=2", "optimizer.lr=1e-4", "trainer.max_epochs=12"],
    "workers": ["data.num_workers=2", "callback.last.every_n_steps=2"],
    "dropout": [
        "model=smp",
        "model.arch=fpn",
        "model.encoder_name=resnet18",
        "model.encoder_weights=null",
        "+model.params.decoder_dropout=0.5",
        "callback.last.every_n_steps=1",
        "trainer.max_epochs=3",
    ],
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_killed_run_ends_as_one_that_was_never_killed(recipe, start, small, differences, tmp_path):
    net = [] if "model=smp" in RECIPES[recipe] else ["model.depth=2", "model.base_width=4"]
    options = [*small, *net, *RECIPES[recipe]]
    begun = start([*options, "hydra.run.dir=whole"], tmp_path)
    assert begun.wait() == 0, begun.log.read_text()
    rng = np.random.default_rng(abs(hash(recipe)) % 2**32)
    run = tmp_path / "run"
    killed = start([*options, "hydra.run.dir=run"], tmp_path)
    for kill in range(3):
        rows = int(rng.integers(1, 4)) + kill
        killed.until(
            lambda rows=rows: (
                (run / "metrics.csv").is_file() and len((run / "metrics.csv").read_text().splitlines()) > rows
            )
        )
        killed.send(signal.SIGKILL)
        killed.wait()
        killed = start(["resume=run"], tmp_path)
    assert killed.wait() == 0, killed.log.read_text()
    assert differences(tmp_path / "whole", run) == []
