import csv

import numpy as np
import pytest
from PIL import Image

from segkit.report.curves import curves, read_columns
from segkit.types import UserError

HEAD = "epoch,step,lr,train/loss,val/loss,val/miou,val/dice,val/accuracy,seconds\n"


def table(path, *lines):
    path.write_text(HEAD + "".join(line + "\n" for line in lines))
    return path


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_three_plots_each_with_its_numbers(tmp_path):
    source = table(tmp_path / "metrics.csv", "0,5,0.1,2,3,0.1,0.2,0.5,1", "1,10,0.05,1,2,0.3,0.4,0.6,1")
    written = curves(source, tmp_path / "plots", "run", "ce_dice")
    assert [p.name for p in written] == ["loss.png", "overlap.png", "learning_rate.png"]
    assert rows(tmp_path / "plots" / "loss.csv") == [
        {"epoch": "0", "train/loss": "2", "val/loss": "3"},
        {"epoch": "1", "train/loss": "1", "val/loss": "2"},
    ]
    assert rows(tmp_path / "plots" / "learning_rate.csv")[1] == {"epoch": "1", "lr": "0.05"}
    for path in written:
        assert np.asarray(Image.open(path)).std() > 5, "an empty picture"


def test_one_epoch_and_missing_values_are_drawn(tmp_path):
    source = table(tmp_path / "metrics.csv", "0,5,,2,,,,,1")
    assert [p.name for p in curves(source, tmp_path, "run")] == ["loss.png"]
    assert rows(tmp_path / "loss.csv") == [{"epoch": "0", "train/loss": "2"}]


def test_a_gap_stays_empty_in_the_csv(tmp_path):
    source = table(tmp_path / "metrics.csv", "0,5,1,2,3,,,,1", "1,5,1,2,,nan,,,1", "2,5,1,2,4,,,,1")
    curves(source, tmp_path, "run")
    assert [r["val/loss"] for r in rows(tmp_path / "loss.csv")] == ["3", "", "4"]


def test_a_run_name_with_dollar_signs_is_text(tmp_path):
    source = table(tmp_path / "metrics.csv", "0,5,1,2,3,,,,1")
    assert curves(source, tmp_path, r"cost $1_{a}$ \frac", r"$_loss")


def test_wide_rates_get_a_logarithmic_axis(tmp_path, monkeypatch):
    scales = []
    monkeypatch.setattr(
        "segkit.report.curves.write_figure", lambda path, figure: scales.append(figure.axes[0].get_yscale())
    )
    curves(table(tmp_path / "a.csv", "0,1,1,,,,,,1", "1,1,0.001,,,,,,1"), tmp_path, "wide")
    curves(table(tmp_path / "a.csv", "0,1,1,,,,,,1", "1,1,0.5,,,,,,1"), tmp_path, "narrow")
    assert scales == ["log", "linear"]


def test_the_loss_is_named_on_its_plot(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("segkit.report.curves.write_figure", lambda path, figure: seen.append(figure.axes[0]))
    curves(table(tmp_path / "a.csv", "0,1,,2,3,,,,1"), tmp_path, "my run", "ce_dice")
    assert seen[0].get_ylabel() == "ce_dice loss"
    assert seen[0].get_xlabel() == "epoch"
    assert seen[0].get_title("left") == "my run"
    assert [t.get_text() for t in seen[0].get_legend().get_texts()] == ["train", "validation"]


@pytest.mark.parametrize("content", [None, "a,b\n1,2\n"])
def test_a_missing_or_other_table_is_one_clear_line(tmp_path, content):
    if content:
        (tmp_path / "metrics.csv").write_text(content)
    with pytest.raises(UserError, match=r"metrics\.csv"):
        read_columns(tmp_path / "metrics.csv")
