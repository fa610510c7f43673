"""How a command ends that does not finish: Ctrl-C is one line, and a bug leaves its traceback in the log, too."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import QUICK, ROOT, call, run_train
from lightning.pytorch import Callback

import train
from autoencoder.cli.errors import explain

SCRIPT = """
import os, signal
from autoencoder.cli.errors import one_line_errors
from autoencoder.cli.process import imports_done, short_process

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


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_another_signal_before_training_is_one_line_and_its_code(name, tmp_path):
    code = SCRIPT.replace("SIGINT", name).format(action="imports_done(); press()")
    code = f"import signal; signal.signal(signal.{name}, signal.SIG_DFL)\n{code}"  # nohup ignores SIGHUP
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, encoding="utf-8")
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + signal.Signals[name], "", f"stopped by {name}\n")


def test_a_signal_before_training_leaves_no_folder(tmp_path):
    command = [sys.executable, "src/train.py", *QUICK, f"hydra.run.dir={tmp_path}/new"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, encoding="utf-8") as process:
        while not (tmp_path / "new").exists() and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        assert process.communicate()[1] == "stopped by SIGTERM\n"
    assert process.returncode == 143 and not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_full_disk_is_one_line(tmp_path):
    command = [sys.executable, "src/train.py", *QUICK, "callbacks=light", f"hydra.run.dir={tmp_path}/new"]
    limited = ["bash", "-c", 'ulimit -f 1000; exec "$@"', "bash", *command]  # files of a megabyte at most
    ended = subprocess.run(limited, cwd=ROOT, capture_output=True, encoding="utf-8")
    lines = (ended.stdout + ended.stderr).strip().splitlines()
    assert ended.returncode == 1 and "Traceback" not in ended.stdout + ended.stderr
    assert lines[-1] == "error: File too large: free some space, then resume with resume=RUN; earlier files are intact"


def test_a_file_that_may_not_be_written_is_one_line():
    error = PermissionError(13, "Permission denied", "/its/checkpoints/.last.ckpt.tmp")
    assert explain(error) == (
        "/its/checkpoints/.last.ckpt.tmp: Permission denied: change its permissions, or use another folder"
    )


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
        call(train.train, *overrides, "seed=0,1", f"hydra.sweep.dir={tmp_path}", "-m")
    for job in ("0", "1"):
        assert (tmp_path / job / "train.log").read_text(encoding="utf-8").count("Traceback") == 1
