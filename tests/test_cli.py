"""The command line as a user meets it, in processes of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from segkit.cli import _one_line


def _run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "report"])
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
def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2(arguments, message, tmp_path):
    done = _run("-m", "segkit.train", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("segkit train: error: ")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_verb_is_one_line_and_exit_code_2(tmp_path):
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


def test_ctrl_c_is_one_line_and_exit_code_130(capsys):
    with pytest.raises(SystemExit) as stopped, _one_line("split"):
        raise KeyboardInterrupt
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "segkit split: stopped\n"
