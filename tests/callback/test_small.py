import itertools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.callbacks import ModelCheckpoint

from segkit.callback.pictures import Pictures, spread
from segkit.callback.progress import duration
from segkit.callback.state import is_best
from segkit.types import UserError


@given(st.integers(0, 30), st.integers(0, 200))
def test_pictures_are_spread_evenly(count, total):
    chosen = sorted(spread(count, total))
    assert len(chosen) == min(count, total)
    assert all(0 <= i < total for i in chosen)
    gaps = {b - a for a, b in itertools.pairwise(chosen)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match=r"callback\.pictures\.count=-1"):
        Pictures(count=-1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (12.4, "12 s"), (240, "4 min"), (5340, "89 min"), (11100, "3 h 05 min")]
)
def test_times_are_said_as_a_person_would(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("mode", "before", "now", "best"),
    [("max", 0.5, 0.6, True), ("max", 0.5, 0.5, False), ("min", 0.5, 0.6, False), ("min", None, 9.0, True)],
)
def test_the_best_epoch_is_the_one_whose_checkpoint_is_kept(mode, before, now, best):
    kept = ModelCheckpoint(monitor="x", mode=mode)
    kept.best_model_score = None if before is None else torch.tensor(before)
    trainer = SimpleNamespace(checkpoint_callback=kept, callback_metrics={"x": torch.tensor(now)})
    assert is_best(trainer) is best


def test_without_a_watched_number_the_last_epoch_counts():
    assert is_best(SimpleNamespace(checkpoint_callback=None, callback_metrics={}))
