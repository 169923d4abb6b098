"""The command line as a user meets it, in processes of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from segkit.arguments import with_key
from segkit.cli import one_line
from segkit.error import UserError


def _run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("verb", ["train", "evaluate", "compare", "predict", "report"])
def test_help_explains_the_groups_and_keys_from_any_directory(verb, tmp_path):
    done = _run("-m", f"segkit.{verb}", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"segkit {verb}: ")
    assert "hydra.run.dir" in done.stdout or "output" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_can_be_printed_without_a_run(tmp_path):
    done = _run("-m", "segkit.train", "--cfg", "job", "trainer.accumulate_grad_batches=4", cwd=tmp_path)
    assert done.returncode == 0
    assert "accumulate_grad_batches: 4" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.acumulate_grad_batches=4"], "did you mean 'trainer.accumulate_grad_batches'"),
        (["lr=0.1"], "did you mean 'optimizer.lr'"),
        (["modle=unet"], "did you mean 'model'"),
        (["model=unett"], "model=unett: there is no such choice; did you mean 'unet'; there are smp, unet"),
        (["los=dice"], "did you mean 'loss'"),
        (["model.base_width=16,32"], "--multirun"),
        (["model.base_width=[1"], "model.base_width=[1"),
        (["resume=nowhere"], "resume=nowhere: no run folder there"),
    ],
)
def test_a_mistake_on_the_command_line_isone_line_and_exit_code_2(arguments, message, tmp_path):
    done = _run("-m", "segkit.train", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("segkit train: error: ")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_verb_isone_line_and_exit_code_2(tmp_path):
    done = _run("-m", "segkit", "trian", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["trainer.max_epoch=3"]])
def test_nothing_heavy_is_imported_before_the_configuration_is_checked(arguments, tmp_path):
    script = (
        "import sys, runpy\n"
        f"sys.argv = ['train', *{arguments!r}]\n"
        "try: runpy.run_module('segkit.train', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'lightning', 'cv2', 'matplotlib', 'scipy', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = _run("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_isone_line_and_exit_code_130(capsys):
    with pytest.raises(SystemExit) as stopped, one_line("split"):
        raise KeyboardInterrupt
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "segkit split: stopped\n"


ODD = [
    "plain",
    "with space",
    "a,b",
    "runs/lr=0.1",
    "it's",
    "C:\\dir\\",
    "${seed}",
    "[a]",
    "{b: c}",
    "ü",
    "a\\'b",
    '"q"',
]


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("path", ODD)
def test_a_bare_argument_reaches_its_key_as_it_was_typed(path, several):
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    (override,) = with_key([path], "runs", several)
    parsed = OverridesParser.create().parse_override(override)
    assert parsed.key_or_group == "runs"
    found = OmegaConf.create({"runs": parsed.value(), "seed": 3}).runs
    assert (list(found) if several else [found]) == [path]


def test_options_and_keys_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=0.1").mkdir()
    typed = ["--multirun", "one", "seed=1", "hydra/help=train", "+x.y=2", "--cfg", "job", "~seed", "lr=0.1"]
    assert with_key(typed, "runs", several=True) == [
        *("--multirun", "seed=1", "hydra/help=train", "+x.y=2", "--cfg", "job", "~seed"),
        "runs=['one','lr=0.1']",
    ]
    assert with_key(["seed=1"], "runs", several=True) == ["seed=1"]


def test_one_key_takes_one_bare_argument():
    assert with_key(["my run", "seed=1"], "run", several=False) == ["seed=1", "run='my run'"]
    with pytest.raises(UserError, match="my run: takes one, got 2; quote a path that has spaces"):
        with_key(["my", "run"], "run", several=False)
