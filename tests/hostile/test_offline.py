"""Nobody is asked over the network unless the user asks for it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "ask",
    [
        lambda: socket.create_connection(("192.0.2.1", 80), 1),
        lambda: socket.create_connection(("example.org", 443), 1),
        lambda: socket.socket().connect_ex(("192.0.2.1", 80)),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"a", ("192.0.2.1", 53)),
        lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80)),
        lambda: socket.getaddrinfo("example.org", 443),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_tests_reach_no_other_machine(ask, attempts):
    before = len(attempts)
    with pytest.raises(OSError, match="no network in tests"):
        ask()
    del attempts[before:]


def test_nor_do_the_processes_that_they_start(tmp_path):
    code = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    environment = {**os.environ, "SEGKIT_TEST_ATTEMPTS": str(tmp_path / "attempts")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "no network in tests" in done.stderr
    assert (tmp_path / "attempts").read_text() == "192.0.2.1\n"


def test_this_machine_may_talk_to_itself():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()[:2], 1).close()


def test_from_training_to_the_page_nobody_is_asked(finished, command, attempts, tmp_path):
    """The run was trained, and all libraries were imported, under the same eyes."""
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "in").mkdir()
    picture = next((finished / "predictions").glob("0_*.png"))
    shutil.copy(picture, tmp_path / "in" / "a.png")
    for verb, *typed in (
        ["evaluate", "run=run", "metric=basic", "split=val", "hydra.run.dir=measured"],
        ["predict", "run=run", "input=in", "hydra.run.dir=labelled"],
        ["report.__main__", "run", "pictures=1"],
        ["compare", "run", "run", "pictures=false", "hydra.run.dir=compared"],
    ):
        done = command(verb, *typed, cwd=tmp_path)
        assert done.code == 0, done.err
    assert attempts == []


@pytest.mark.soak
def test_fresh_processes_ask_nobody_either(tiny, tmp_path):
    """From the first import to the last line, as a user would: each verb in a process of its own."""
    seen = tmp_path / "attempts"
    environment = {**os.environ, "SEGKIT_TEST_ATTEMPTS": str(seen), "SEGKIT_CACHE": str(tmp_path / "cache")}
    del environment["NO_ALBUMENTATIONS_UPDATE"]  # segkit sees to that itself

    def run(verb: str, *typed: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", verb, *typed],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    data = [
        o
        for o in tiny
        if o.startswith("data.") and "batch" not in o and "size" not in o and "workers" not in o
    ]
    run("segkit.train", *tiny, "model=unet", "hydra.run.dir=run")
    run("segkit.train", "resume=run", "trainer.max_epochs=3")
    run("segkit.evaluate", "run=run", "hydra.run.dir=measured")
    run("segkit.predict", "run=run", f"input={tmp_path}/run/predictions", "hydra.run.dir=labelled")
    run("segkit.report", "run")
    run("segkit.compare", "run", "run", "hydra.run.dir=compared")
    run("segkit.analyze", "data=streets", *data, "hydra.run.dir=analysed")
    run("segkit.split", "data=streets", *data, "hydra.run.dir=divided")
    run("segkit.convert", "data=streets", *data, "output=converted")
    assert not seen.exists(), seen.read_text()


def test_no_module_opens_files_that_could_run():
    """Every place where a library could run what a file says is known: a new one is looked at first."""
    known = {
        "pickle.loads(": {"data/parallel.py"},  # what the process itself has handed to its workers
        "torch.load(": {"checkpoint.py", "model/weights.py"},
        "np.load(": set(),
        "yaml.load(": {"cli.py", "foreign.py"},
        "OmegaConf.load(": set(),
        "eval(": set(),
        "exec(": set(),
        "os.system(": set(),
        "shell=True": set(),
        "allow_pickle=True": set(),
        "weights_only=False": set(),
        "import_module(": set(),
        "|safe": set(),
        "| safe": set(),
    }
    root = Path(__file__).parents[2] / "segkit"
    for text, files in known.items():
        found = {
            str(p.relative_to(root))
            for p in root.rglob("*")
            if p.suffix in (".py", ".j2") and _calls(p.read_text(encoding="utf-8"), text)
        }
        assert found <= files, text


def _calls(content: str, text: str) -> bool:
    """Whether a name stands there by itself, and not as the end of another one."""
    return re.search(("(?<![.\\w])" if text[0].isalpha() else "") + re.escape(text), content) is not None
