"""The wheel: whole, with its configuration, and working away from the source tree."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from segkit.__main__ import VERBS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """An unpacked wheel, as an installation would lay it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(folder / "site")
    return folder / "site"


def _run(installed, *arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_carries_every_configuration_file(installed):
    there = {p.relative_to(installed / "segkit/conf") for p in (installed / "segkit/conf").rglob("*.yaml")}
    assert there == {p.relative_to(ROOT / "conf") for p in (ROOT / "conf").rglob("*.yaml")}


def test_the_wheel_carries_the_pages(installed):
    there = {p.name for p in (installed / "segkit/report/page").iterdir()}
    assert there == {p.name for p in (ROOT / "segkit/report/page").iterdir()}


@pytest.mark.parametrize("verb", VERBS)
def test_an_installed_verb_finds_its_configuration_from_any_directory(verb, installed, tmp_path):
    data = ["data=streets"] if verb == "convert" else []  # it has no data of its own
    done = _run(installed, f"segkit.{verb}", *data, "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 3


def test_the_console_script_is_the_module(installed, tmp_path):
    script = _run(installed, "segkit", "train", "--cfg", "job", cwd=tmp_path)
    module = _run(installed, "segkit.train", "--cfg", "job", cwd=tmp_path)
    assert script.stdout == module.stdout
    assert "entry" not in script.stderr
    assert (installed / next(installed.glob("*.dist-info")).name / "entry_points.txt").read_text().count(
        "segkit = segkit.__main__:main"
    ) == 1
