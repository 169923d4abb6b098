"""The reliability diagram shows what was counted."""

import csv

import numpy as np
from PIL import Image

from segkit.report.reliability import reliability


def block(pixels, **more):
    bins = [
        {
            "low": b / 4,
            "high": (b + 1) / 4,
            "pixels": n,
            "confidence": (b + 0.5) / 4 if n else None,
            "accuracy": 0.5 if n else None,
        }
        for b, n in enumerate(pixels)
    ]
    return {"reliability": bins, "ece": 0.25 if sum(pixels) else None, "temperature": 1.0, **more}


def rows(path):
    with path.with_suffix(".csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_beside_the_picture_holds_every_bin(tmp_path):
    path = reliability(block([0, 6, 0, 2]), tmp_path, "run", "test part")
    assert [r["pixels"] for r in rows(path)] == ["0", "6", "0", "2"]
    assert [r["accuracy"] for r in rows(path)] == ["", "0.5", "", "0.5"]
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert (picture == (0, 0x72, 0xB2)).all(2).any()


def test_the_line_below_the_title_tells_both_errors(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("segkit.report.reliability.write_figure", lambda path, figure: figures.append(figure))
    reliability(block([1, 1, 1, 1], temperature=1.5, as_trained={"ece": 0.5}), tmp_path, "run", "val part")
    texts = [t.get_text() for t in figures[0].axes[0].texts]
    assert any("ECE 0.250 at temperature 1.5 (0.500 as trained), val part" in t for t in texts)


def test_no_pixel_still_gives_a_picture(tmp_path):
    assert reliability(block([0, 0, 0, 0]), tmp_path, "run").is_file()
