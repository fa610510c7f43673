"""How a command ends that does not finish: Ctrl-C is one line, and a bug leaves its traceback in the log, too."""

import os
import subprocess
import sys

import pytest
from conftest import QUICK, ROOT, call, run_train
from lightning.pytorch import Callback

import train

SCRIPT = """
import os, signal
from autoencoder.errors import one_line_errors
from autoencoder.process import imports_done, short_process

def press():
    os.kill(os.getpid(), signal.SIGINT)

def swallow():
    try:
        press()
    except KeyboardInterrupt:
        pass

def translate():
    try:
        press()
    except KeyboardInterrupt as error:
        raise ImportError("broken") from error

with short_process(), one_line_errors():
    {action}
    print("went on")
"""


@pytest.mark.parametrize(
    "action",
    [
        "press()",
        "swallow(); raise ImportError('cannot load module more than once per process')",
        "swallow(); imports_done()",
        "imports_done(); press()",
        "translate()",
    ],
    ids=["composing", "an import that fails later", "an import that swallows it", "running", "an import that fails"],
)
def test_ctrl_c_is_one_line_and_130(action, tmp_path):
    code = SCRIPT.format(action=action)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "stopped by Ctrl-C\n")


class Bug(Callback):
    """A mistake in the code."""

    def on_train_start(self, trainer, pl_module):
        raise AttributeError("a bug")


def test_a_bug_is_in_the_log_once_with_its_traceback(tmp_path, capfd):
    with pytest.raises(AttributeError, match="a bug"):
        run_train(tmp_path, *QUICK, "callbacks=light", "logger=[]", "+callbacks.bug._target_=test_errors.Bug")
    text = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert "error: AttributeError: a bug" in text and "in on_train_start" in text
    assert text.count("Traceback") == 1
    assert "Traceback" not in capfd.readouterr().out


def test_a_bug_in_a_job_of_a_sweep_is_in_its_log(tmp_path, capfd):
    overrides = (*QUICK, "callbacks=light", "logger=[]", "+callbacks.bug._target_=test_errors.Bug")
    with pytest.raises(SystemExit):
        call(train.main, *overrides, "seed=0,1", f"hydra.sweep.dir={tmp_path}", "-m")
    for job in ("0", "1"):
        assert (tmp_path / job / "train.log").read_text(encoding="utf-8").count("Traceback") == 1
