"""Data that changed since its split was frozen is noticed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.augment.fit import stretch, stretch_target
from segkit.data.datamodule import SegmentationData
from segkit.data.source import FileSource
from segkit.data.state import COLUMNS, changed_files, state_file, write_state
from segkit.types import LabelSpace, Sample, UserError

LABELS = LabelSpace(("a", "b"), ((0, 0, 0), (1, 1, 1)), ((0,), (1,)))


@pytest.fixture
def source(tmp_path) -> FileSource:
    """Four pictures whose files are an hour old, and a split of them in ``split.csv``."""
    samples = []
    for i in range(4):
        image, mask = tmp_path / f"{i}.png", tmp_path / f"{i}_mask.png"
        cv2.imwrite(str(image), np.full((8, 8, 3), i, np.uint8))
        cv2.imwrite(str(mask), np.full((8, 8), i % 2, np.uint8))
        samples.append(Sample(str(i), image, mask, "", ("train", "train", "val", "test")[i]))
    made = FileSource(samples, LABELS)
    for sample in samples:
        touch(sample.image, -3600)
        touch(sample.mask, -3600)
    write_state(tmp_path / "split.csv", made, samples)
    return made


def touch(path: Path, seconds: int = 10) -> None:
    now = path.stat().st_mtime
    os.utime(path, (now + seconds, now + seconds))


def found(source: FileSource, folder: Path) -> tuple[str, ...]:
    faults = changed_files(folder / "split.csv", source, source.samples)
    return tuple(Path(f).name for fault in faults for f in fault.files)


def test_files_that_are_as_they_were_are_no_fault(source, tmp_path):
    assert found(source, tmp_path) == ()


def test_a_file_of_another_size_or_time_is_named_with_what_to_do(source, tmp_path):
    image = tmp_path / "2.png"
    image.write_bytes(image.read_bytes() + b"x")
    touch(tmp_path / "1_mask.png")
    assert found(source, tmp_path) == ("1_mask.png", "2.png")
    (fault,) = changed_files(tmp_path / "split.csv", source, source.samples)
    assert fault.samples == ("1", "2")
    assert "delete " + str(tmp_path / "split.files.csv") in fault.line()


def test_a_copy_of_the_data_with_new_times_is_the_same_data(source, tmp_path):
    for sample in source.samples:
        touch(sample.image)
        touch(sample.mask)
    assert found(source, tmp_path) == ()
    (tmp_path / "3_mask.png").write_bytes(b"")
    assert "3_mask.png" in found(source, tmp_path)


def test_deleting_the_record_takes_the_files_as_they_are(source, tmp_path):
    touch(tmp_path / "0.png")
    state_file(tmp_path / "split.csv").unlink()
    assert found(source, tmp_path) == ()


@pytest.mark.parametrize("text", ["name,image_bytes\na,1\n", "", "\0", ",".join(COLUMNS) + "\n1,x,2\n"])
def test_a_damaged_record_is_one_line(source, tmp_path, text):
    state_file(tmp_path / "split.csv").write_text(text)
    with pytest.raises(UserError, match=r"split\.files\.csv is damaged .*; delete it"):
        changed_files(tmp_path / "split.csv", source, source.samples)


def test_a_run_on_a_frozen_split_tells_of_it_until_it_is_taken(source, tmp_path, caplog):
    def data(split):
        def resize(image, target, size):
            return stretch(image, size), stretch_target(target, size)

        return SegmentationData(source, None, resize, split=split, num_workers=0)

    split = tmp_path / "run" / "split.csv"
    data(None).freeze_split(split)
    touch(tmp_path / "0.png")
    for _ in range(2):  # freezing again, as a resumed run does, forgets nothing
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            data(str(split)).freeze_split(split)
        assert len(caplog.messages) == 1
        assert "0.png" in caplog.text
        assert "1 file changed" in caplog.text
