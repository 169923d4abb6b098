import dataclasses
import importlib
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segkit.data import cache as caching
from segkit.data import look as looking
from segkit.data.cache import cache_folder
from segkit.data.folder import folder
from segkit.data.labels import read_labels
from segkit.data.scan import scan
from segkit.data.source import FileSource
from segkit.data.streets import Streets
from segkit.data.table import load
from segkit.paths import CONF_DIR

LABELS = read_labels({"names": ["a", "b", "c"]})


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(5):
        for kind, value in (
            ("images", rng.integers(0, 256, (8, 9, 3))),
            ("masks", rng.integers(0, 3, (8, 9))),
        ):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(value.astype(np.uint8)).save(tmp_path / kind / f"{i}.png")
    settle()
    return folder(tmp_path, LABELS)


def settle():
    """Let files become old enough that their times tell whether they change."""
    time.sleep(0.03)


@pytest.fixture
def seen(monkeypatch):
    """What is read, and what is decoded."""
    read, decoded = [], []
    read_bytes, open_mask = looking.read_bytes, looking.open_mask
    monkeypatch.setattr(looking, "read_bytes", lambda path: read.append(path.name) or read_bytes(path))
    monkeypatch.setattr(
        looking, "open_mask", lambda path, *rest: decoded.append(path.name) or open_mask(path, *rest)
    )
    return read, decoded


def assert_equal_facts(one, other):
    for entry in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, entry.name), getattr(other, entry.name), entry.name)


def test_a_second_call_reads_no_file(data, tmp_path, seen):
    first = scan(data, data.samples, cache=tmp_path / "c")
    seen[0].clear()
    second = scan(data, data.samples, cache=tmp_path / "c")
    assert seen[0] == []
    assert_equal_facts(first, second)
    assert_equal_facts(first, scan(data, data.samples))


def test_any_order_and_choice_of_samples_has_its_own_facts(data, tmp_path, seen):
    scan(data, data.samples, cache=tmp_path / "c")
    seen[0].clear()
    chosen = [data.samples[i] for i in (3, 0, 4)]
    facts = scan(data, chosen, cache=tmp_path / "c")
    assert seen[0] == []
    assert_equal_facts(facts, scan(data, chosen))


def test_facts_of_parts_add_up(data, tmp_path, seen):
    scan(data, data.samples[:2], cache=tmp_path / "c")
    scan(data, data.samples[3:], cache=tmp_path / "c")
    seen[0].clear()
    facts = scan(data, data.samples, cache=tmp_path / "c")
    assert sorted(seen[0]) == ["2.png", "2.png"]
    assert_equal_facts(facts, scan(data, data.samples))


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_only_a_changed_file_is_read_again(data, tmp_path, seen, kind):
    scan(data, data.samples, cache=tmp_path / "c")
    path = getattr(data.samples[2], kind)
    before, old = path.stat(), path.read_bytes()
    array = np.asarray(Image.open(path)).copy()
    array[0, 0] = (array[0, 0] + 1) % 3
    Image.fromarray(array).save(path)
    path.write_bytes(
        path.read_bytes().ljust(before.st_size, b"\0")[: max(before.st_size, path.stat().st_size)]
    )
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as an archive or rsync would
    assert path.read_bytes() != old
    settle()
    seen[0].clear()
    facts = scan(data, data.samples, cache=tmp_path / "c")
    assert seen[0] == ["2.png", "2.png"]
    assert_equal_facts(facts, scan(data, data.samples))
    seen[0].clear()
    scan(data, data.samples, cache=tmp_path / "c")
    assert seen[0] == []


def test_a_touched_file_of_equal_contents_is_read_but_not_decoded(data, tmp_path, seen):
    first = scan(data, data.samples, cache=tmp_path / "c")
    data.samples[1].mask.touch()
    settle()
    read, decoded = seen
    read.clear(), decoded.clear()
    assert_equal_facts(first, scan(data, data.samples, cache=tmp_path / "c"))
    assert (read, decoded) == (["1.png", "1.png"], [])
    read.clear()
    scan(data, data.samples, cache=tmp_path / "c")
    assert read == []


def test_a_file_that_is_younger_than_a_tick_of_the_clock_is_not_trusted(data, tmp_path, seen):
    data.samples[0].mask.touch()
    scan(data, data.samples, cache=tmp_path / "c")
    seen[0].clear()
    scan(data, data.samples, cache=tmp_path / "c")
    assert seen[0] == ["0.png", "0.png"]


def test_an_error_names_the_file_of_this_call_and_not_an_equal_one(data, tmp_path):
    (tmp_path / "masks" / "2.png").write_bytes(b"no picture")
    settle()
    scan(data, data.samples, cache=tmp_path / "c")
    shutil.copytree(tmp_path / "masks", tmp_path / "again")
    settle()
    other = folder(tmp_path, LABELS, masks="again")
    assert_equal_facts(scan(other, other.samples, cache=tmp_path / "c"), scan(other, other.samples))


def test_a_removed_file_is_noticed(data, tmp_path):
    scan(data, data.samples, cache=tmp_path / "c")
    data.samples[3].image.unlink()
    facts = scan(data, data.samples, cache=tmp_path / "c")
    assert "does not exist" in facts.image_error[3]
    assert facts.image_size[3].tolist() == [0, 0]


def test_another_label_space_has_a_cache_of_its_own(data, tmp_path):
    scan(data, data.samples, cache=tmp_path / "c")
    other = FileSource(data.samples, read_labels({"names": ["x", "y"], "ids": [[0, 1], 2]}))
    facts = scan(other, other.samples, cache=tmp_path / "c")
    assert facts.pixels.shape == (5, 2)
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_another_version_of_the_rows_has_a_cache_of_its_own(data, tmp_path, monkeypatch):
    scan(data, data.samples, cache=tmp_path / "c")
    monkeypatch.setattr("segkit.data.cache.FORMAT", 1000)
    scan(data, data.samples, cache=tmp_path / "c")
    assert len(list((tmp_path / "c").iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"PK" + b"x" * 99])
def test_a_damaged_cache_is_written_anew(data, tmp_path, damage):
    first = scan(data, data.samples, cache=tmp_path / "c")
    (file,) = (tmp_path / "c").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert_equal_facts(first, scan(data, data.samples, cache=tmp_path / "c"))
    assert load(file) is not None


def test_a_cache_whose_arrays_do_not_fit_is_ignored(data, tmp_path):
    scan(data, data.samples, cache=tmp_path / "c")
    (file,) = (tmp_path / "c").iterdir()
    with np.load(file) as stored:
        arrays = dict(stored)
    np.savez(file, **{**arrays, "stamp": arrays["stamp"][:2]})
    assert load(file) is None


def test_a_folder_that_cannot_be_written_to_only_costs_the_cache(data, tmp_path):
    (tmp_path / "file").write_text("")
    facts = scan(data, data.samples, cache=tmp_path / "file" / "c")
    assert_equal_facts(facts, scan(data, data.samples))


def test_what_an_interrupted_pass_has_found_is_kept(data, tmp_path, seen, monkeypatch):
    monkeypatch.setattr("segkit.data.parallel.CHUNK", 1)
    open_mask = looking.open_mask

    def interrupt(path, *rest):
        if path.name == "3.png":
            raise KeyboardInterrupt
        return open_mask(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(looking, "open_mask", interrupt)
        with pytest.raises(KeyboardInterrupt):
            scan(data, data.samples, workers=1, cache=tmp_path / "c")
    seen[0].clear()
    facts = scan(data, data.samples, cache=tmp_path / "c")
    assert sorted(seen[0]) == ["3.png", "3.png", "4.png", "4.png"]
    assert_equal_facts(facts, scan(data, data.samples))


def test_generated_scenes_are_kept_by_their_signature(tmp_path, monkeypatch):
    labels = read_labels(CONF_DIR / "labels" / "streets.yaml")
    size = {"train_samples": 2, "val_samples": 0, "test_samples": 0, "height": 32, "width": 64}
    one, other = Streets(labels, **size), Streets(labels, **size, seed=1)
    facts = [scan(s, s.samples, cache=tmp_path / "c") for s in (one, other)]
    assert (facts[0].image_hash != facts[1].image_hash).all()
    monkeypatch.setattr(Streets, "read", lambda *_: pytest.fail("painted again"))
    for source, before in zip((one, other), facts, strict=True):
        assert_equal_facts(scan(source, source.samples, cache=tmp_path / "c"), before)


def test_a_source_that_cannot_sign_its_samples_is_not_kept(tmp_path, data):
    class Unsigned:
        labels, samples, read = data.labels, data.samples, staticmethod(data.read)

    scan(Unsigned(), Unsigned.samples, cache=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_targets_of_several_files_are_signed_by_all_of_them(tmp_path, data):
    class Planes(FileSource):
        indexed = False

        def read_target(self, sample):
            return np.full((2, 2), int((tmp_path / "plane").read_text()), np.uint8)

        def mask_files(self, sample):
            return (tmp_path / "plane",)

    (tmp_path / "plane").write_text("1")
    settle()
    source = Planes(data.samples, LABELS)
    assert scan(source, source.samples, cache=tmp_path / "c").pixels[0].tolist() == [0, 4, 0]
    (tmp_path / "plane").write_text("2")
    assert scan(source, source.samples, cache=tmp_path / "c").pixels[0].tolist() == [0, 0, 4]


def test_other_code_of_a_source_or_another_version_has_a_cache_of_its_own(data, tmp_path, monkeypatch):
    code, there = tmp_path / "own_source.py", tmp_path / "c"
    code.write_text(
        "from segkit.data.source import FileSource\nclass Own(FileSource):\n    indexed = False\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    source = importlib.import_module("own_source").Own(data.samples, LABELS)
    scan(source, source.samples, cache=there)
    code.write_text(code.read_text() + "# edited\n")
    scan(source, source.samples, cache=there)
    assert len(list(there.iterdir())) == 2
    monkeypatch.setattr(caching, "__version__", "9")
    scan(source, source.samples, cache=there)
    assert len(list(there.iterdir())) == 3


def test_the_folder_is_the_users_choice(monkeypatch):
    monkeypatch.delenv("SEGKIT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/segkit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "segkit"
    monkeypatch.setenv("SEGKIT_CACHE", "/y")
    assert cache_folder() == Path("/y")
