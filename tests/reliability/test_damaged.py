"""A damaged ``last.ckpt`` is noticed, whatever the damage, and the one before is used."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest
import torch

from segkit.checkpoint import read_checkpoint
from segkit.error import UserError
from segkit.resume import _newest_whole


def flipped(data: bytes, place: float) -> bytes:
    changed = bytearray(data)
    changed[int(place * len(data))] ^= 4
    return bytes(changed)


DAMAGES = {
    "truncated": lambda data: data[:-1000],
    "truncated by a byte": lambda data: data[:-1],
    "half of it": lambda data: data[: len(data) // 2],
    "a tail of zeros": lambda data: data[:-4096] + bytes(4096),
    "a hole of zeros": lambda data: data[:40_000] + bytes(4096) + data[44_096:],
    "a flipped bit in the middle": lambda data: flipped(data, 0.5),
    "a flipped bit near the end": lambda data: flipped(data, 0.9),
    "empty": lambda _: b"",
    "another file": lambda _: b"PK\x03\x04 no archive",
}


@pytest.fixture
def run(tmp_path) -> Path:
    """A run folder with two whole checkpoints, of steps 1 and 2."""
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    weights = {"net.weight": torch.randn(200, 200, generator=torch.Generator().manual_seed(0))}
    for name, step in (("previous", 1), ("last", 2)):
        content = {
            "epoch": 0,
            "global_step": step,
            "state_dict": weights,
            "segkit": {"labels": {"names": ["a"]}},
        }
        content |= {"loops": {}, "callbacks": {}, "optimizer_states": []}
        torch.save(content, folder / f"{name}.ckpt")
    return tmp_path / "run"


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_is_used_and_the_message_says_so(damage, run, caplog):
    last = run / "checkpoints" / "last.ckpt"
    assert _newest_whole(run)[1]["global_step"] == 2
    last.write_bytes(DAMAGES[damage](last.read_bytes()))
    with caplog.at_level(logging.WARNING, "segkit.resume"):
        path, content = _newest_whole(run)
    assert (path.name, content["global_step"]) == ("previous.ckpt", 1)
    (message,) = (record.getMessage() for record in caplog.records)
    assert str(last) in message
    assert "going on from the one before" in message
    assert "\n" not in message


def test_no_bit_of_a_checkpoint_can_flip_unnoticed(run):
    """Torch itself reads each of these without a word."""
    path, rng = run / "checkpoints" / "last.ckpt", random.Random(0)
    whole = path.read_bytes()
    before = read_checkpoint(path)["state_dict"]["net.weight"]
    for _ in range(200):
        path.write_bytes(flipped(whole, rng.random()))
        try:
            weights = read_checkpoint(path)["state_dict"]["net.weight"]
        except UserError:
            continue
        assert torch.equal(weights, before)  # a bit of padding, that belongs to nothing


def test_a_folder_in_its_place_is_named(run, command, tiny):
    last = run / "checkpoints" / "last.ckpt"
    last.unlink()
    last.mkdir()
    done = command("train", *tiny, "ckpt_path=last", f"hydra.run.dir={run}", cwd=run.parent)
    assert done.code == 2
    assert f"{last}: a folder" in done.err.splitlines()[-1]


def test_two_damaged_checkpoints_are_one_line(run, command, tiny):
    for name in ("last", "previous"):
        (run / "checkpoints" / f"{name}.ckpt").write_bytes(b"")
    done = command("train", *tiny, "ckpt_path=last", f"hydra.run.dir={run}", cwd=run.parent)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert "last.ckpt: not a checkpoint, or a damaged one" in done.err.splitlines()[-1]
    assert "previous.ckpt" in done.err.splitlines()[-1]
