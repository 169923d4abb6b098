"""Stored counts are read again as they were, and what cannot be compared is refused in one line."""

import json
from dataclasses import replace

import numpy as np
import pytest

from segkit.metric.cells import Counts
from segkit.metric.overlap import overlap
from segkit.metric.protocol import Protocol
from segkit.report.recipe import differing, origin
from segkit.report.stored import aligned, read_stored
from segkit.types import UserError


def test_stored_counts_give_the_numbers_that_were_written(write_run, counted, five, tmp_path):
    protocol = Protocol(absent="one", ignore_classes=("sky",), aggregate="image")
    run = read_stored(write_run(tmp_path / "run", counted(12, 5), five, protocol=protocol))
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert run.protocol == Protocol("one", ["sky"], "image", "class")
    assert overlap(run.counts, run.labels, run.protocol)["mean"] == written["mean"]
    category = overlap(run.counts, run.labels, replace(run.protocol, ignore_classes=(), level="category"))
    assert category["per_class"].keys() == {"flat", "thing", "rest"}
    assert run.labels.colors == five.colors


def test_every_number_and_its_category_have_an_interval_in_the_file(write_run, counted, five, tmp_path):
    write_run(tmp_path / "run", counted(12, 5), five, groups=[f"g{i // 3}" for i in range(12)])
    numbers = json.loads((tmp_path / "run" / "metrics.json").read_text())
    for block in (numbers, numbers["category"]):
        interval = block["interval"]
        assert (interval["level"], interval["resamples"]) == (0.95, 2000)
        assert (interval["unit"], interval["units"]) == ("group", 4)
        assert interval["mean"].keys() == block["mean"].keys()
        assert interval["per_class"].keys() == block["per_class"].keys()
        low, high = interval["mean"]["miou"]
        assert low <= block["mean"]["miou"] <= high


def test_the_order_of_samples_does_not_matter(write_run, counted, five, tmp_path):
    counts, names = counted(9, 5), [f"n{i}" for i in range(9)]
    first = read_stored(write_run(tmp_path / "a", counts, five, names=names))
    order = [4, 2, 8, 0, 1, 7, 3, 6, 5]
    index = counts.index
    place = np.argsort(order)
    cells = counts.cells.copy()
    cells[:, 0] = place[cells[:, 0]]
    shuffled = Counts(counts.counts[order], counts.confusion, index, cells)
    other = write_run(tmp_path / "b", shuffled, five, names=[names[i] for i in order])
    _, second = aligned([first, read_stored(other)])
    assert second.names == first.names
    assert (second.counts.counts == first.counts.counts).all()
    coarse = Protocol(level="category")
    assert overlap(second.counts, five, coarse)["mean"] == overlap(first.counts, five, coarse)["mean"]


REFUSED = {
    "samples": ({"names": [f"x{i}" for i in range(6)]}, "other samples (6 only in the first"),
    "split": ({"split": "val"}, "split is test in one and val in the other"),
    "resolution": ({"resolution": "network"}, "resolution is native in one and network in the other"),
    "absent": ({"protocol": Protocol(absent="zero")}, "absent is"),
    "ignored": ({"protocol": Protocol(ignore_classes=("car",))}, "ignored classes is none in one and car"),
    "aggregate": ({"protocol": Protocol(aggregate="pair")}, "aggregate is dataset in one and pair"),
    "level": ({"protocol": Protocol(level="category")}, "level is class in one and category"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_runs_on_other_samples_or_by_another_protocol_are_refused(case, write_run, counted, five, tmp_path):
    more, message = REFUSED[case]
    a = read_stored(write_run(tmp_path / "a", counted(6, 5), five))
    b = read_stored(write_run(tmp_path / "b", counted(6, 5), five, **more))
    with pytest.raises(UserError, match="cannot be compared") as refused:
        aligned([a, b])
    assert message in str(refused.value)
    assert str(tmp_path / "b") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_other_targets_and_other_classes_are_refused(write_run, counted, five, tmp_path):
    a = read_stored(write_run(tmp_path / "a", counted(6, 5), five))
    masks = read_stored(write_run(tmp_path / "b", counted(6, 5, targets=1), five))
    with pytest.raises(UserError, match=r"other targets, in 6 of 6 samples, such as 'city/000'"):
        aligned([a, masks])
    named = replace(five, names=("road", "car", "sky", "tree", "pole"))
    classes = read_stored(write_run(tmp_path / "c", counted(6, 5), named))
    with pytest.raises(UserError, match=r"other classes \(only the first: sign; only the second: pole\)"):
        aligned([a, classes])


def test_a_threshold_is_compared_where_something_is_cut_at_it(write_run, counted, five, binary, tmp_path):
    for labels, k, refused in ((five, 5, False), (binary, 2, True)):
        folder = tmp_path / labels.task
        runs = [
            read_stored(write_run(folder / str(t), counted(6, k), labels, threshold=t)) for t in (0.5, 0.6)
        ]
        if refused:
            with pytest.raises(UserError, match=r"threshold is 0.5 in one and 0.6"):
                aligned(runs)
        else:
            assert len(aligned(runs)) == 2


def test_a_folder_without_counts_and_a_damaged_one_are_one_line(write_run, counted, five, tmp_path):
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        read_stored(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"has no counts\.npz; give a finished run"):
        read_stored(tmp_path)
    run = write_run(tmp_path / "run", counted(4, 5), five)
    whole = (run / "counts.npz").read_bytes()
    for broken in (b"", b"hello", whole[: len(whole) // 2]):
        (run / "counts.npz").write_bytes(broken)
        with pytest.raises(UserError, match="cannot be used") as refused:
            read_stored(run)
        assert "\n" not in str(refused.value)
    np.savez(run / "counts.npz", counts=np.zeros((4, 5, 3)))
    with pytest.raises(UserError, match=r"lacks '(classes|names)'"):
        read_stored(run)
    (run / "counts.npz").write_bytes(whole)
    (run / "metrics.json").write_text("{")
    with pytest.raises(UserError, match="cannot be used"):
        read_stored(run)


def test_a_recipe_is_the_configuration_without_its_seed(write_run, counted, five, tmp_path):
    a, b, c = (
        read_stored(write_run(tmp_path / name, counted(4, 5), five, seed=seed, lr=lr)).origin
        for name, seed, lr in (("a", 0, 0.1), ("b", 1, 0.1), ("c", 0, 0.2))
    )
    assert a.recipe == b.recipe  # name, seed and number of workers differ
    assert differing(a.recipe, c.recipe) == [("optimizer.lr", "0.1", "0.2")]
    assert (a.seed, b.seed) == (0, 1)
    assert a.checkpoint is None  # there is no such file


def test_another_start_is_another_recipe_and_going_on_is_not(tmp_path):
    recipes = []
    for i, start in enumerate(("null", "last", "other/run.ckpt")):
        folder = tmp_path / str(i)
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "config.yaml").write_text(f"model: {{a: 1}}\nckpt_path: {start}\n")
        recipes.append(origin(folder, "checkpoints/best.ckpt").recipe)
    assert recipes[0] == recipes[1] != recipes[2]
    assert origin(tmp_path / "0", "checkpoints/last.ckpt").recipe != recipes[0]


def test_an_evaluation_has_the_recipe_of_the_run_that_it_measured(write_run, counted, five, tmp_path):
    run = write_run(tmp_path / "runs" / "a", counted(4, 5), five, seed=3)
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.ckpt").write_bytes(b"")
    folder = tmp_path / "evaluated"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text("run: runs/a\ndata: {root: pictures, batch_size: null}\n")
    (folder / ".hydra" / "hydra.yaml").write_text(f"hydra: {{runtime: {{cwd: {tmp_path}}}}}\n")
    found = origin(folder, "runs/a/checkpoints/best.ckpt")
    assert found.recipe == origin(run, "checkpoints/best.ckpt").recipe
    assert found.seed == 3
    assert found.checkpoint == run / "checkpoints" / "best.ckpt"
    assert found.data == {"root": str(tmp_path / "pictures")}
