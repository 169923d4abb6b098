"""Shared by all tests: no network, no update checks, tiny label spaces."""

import os
import tempfile

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["SEGKIT_CACHE"] = tempfile.mkdtemp(prefix="segkit-test-")  # the user's own stays as it is
os.environ["OMP_NUM_THREADS"] = "1"  # tiny tensors: more threads only wait for each other

# No network either, in this process (below) and in those that it starts.
os.environ["PYTHONPATH"] = f"{__file__}/../offline{os.pathsep}{os.environ.get('PYTHONPATH', '')}"

import contextlib
import importlib
import importlib.util
import io
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from segkit.types import LabelSpace


def _offline() -> list[str]:
    """Refuse connections from here on; the list gets the name of every machine that was asked for."""
    spec = importlib.util.spec_from_file_location(
        "offline", Path(__file__).parent / "offline" / "sitecustomize.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.attempts


ATTEMPTS = _offline()


@pytest.fixture(scope="session")
def attempts() -> list[str]:
    """Machines that this process has wanted to talk to, all refused."""
    return ATTEMPTS


@pytest.fixture
def three_classes() -> LabelSpace:
    return LabelSpace(
        names=("sky", "road", "car"),
        colors=((70, 130, 180), (128, 64, 128), (0, 0, 142)),
        ids=((0,), (1,), (2,)),
    )


@pytest.fixture
def binary() -> LabelSpace:
    return LabelSpace(
        names=("background", "cell"),
        colors=((0, 0, 0), (230, 159, 0)),
        ids=((0,), ()),
        ignore=(),
        rest="cell",
        task="binary",
    )


class Done(NamedTuple):
    """What a command left: exit code and what it printed."""

    code: int
    out: str
    err: str


def _command(verb: str, *arguments: str, cwd: Path) -> Done:
    """Run a verb in this process (importing Lightning anew costs ten seconds), as a user would."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    before, root = sys.argv, logging.getLogger()
    handlers, level = root.handlers[:], root.level
    sys.argv = ["segkit", *arguments]
    try:
        with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            importlib.import_module(f"segkit.{verb}").main()
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    finally:
        sys.argv = before
        for handler in set(root.handlers) - set(handlers):
            handler.close()  # the run's log file
        root.handlers = handlers
        root.setLevel(level)
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def command() -> Callable[..., Done]:
    return _command


TINY = [
    "data.train_samples=6",
    "data.val_samples=3",
    "data.test_samples=2",
    "data.height=32",
    "data.width=64",
    "data.size=[32,64]",
    "data.batch_size=2",
    "data.num_workers=0",
    "model.depth=2",
    "model.base_width=4",
    "trainer.max_epochs=2",
    "threads=1",
    "optimizer.lr=1e-2",
]


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Overrides that make a run of the street scenes take a second."""
    return TINY


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A run of the command that the README opens with, from a directory that is not the project's."""
    folder = tmp_path_factory.mktemp("train")
    arguments = [*TINY, "model=unet", "trainer.accumulate_grad_batches=2", "hydra.run.dir=run"]
    done = _command("train", *arguments, cwd=folder)
    assert done.code == 0, done.err
    return folder / "run"


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def look(browser):
    """``look(path, width, javascript)``: a page, which must neither ask for anything nor complain."""
    pages, complaints = [], []

    def open_page(path, width=1280, javascript=True):
        page = browser.new_page(viewport={"width": width, "height": 900}, java_script_enabled=javascript)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda r: complaints.append(r.url) if not r.url.startswith(("file:", "data:")) else None,
        )
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []
