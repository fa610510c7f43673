"""Commands that start and end fast: exit codes, what is written by then, and garbage."""

import gc
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from autoencoder.cli.process import imports_done

SCRIPT = """
import atexit, gc, logging, os, sys
from autoencoder.cli.process import imports_done, short_process

def main():
    logging.basicConfig(filename="log.txt", level="INFO")
    logging.info("logged")
    atexit.register(print, "handled")
    print("collecting", gc.isenabled())
    imports_done()
    print("collecting", gc.isenabled())
    {ending}

class Ended:
    def __del__(self):
        os.write(2, b"taken apart")

ended = Ended()
with short_process():
    main()
"""


def run(folder: Path, ending: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT.format(ending=ending)]
    return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [("pass", 0, ""), ("sys.exit()", 0, ""), ("sys.exit(3)", 3, ""), ("sys.exit('error: no')", 1, "error: no\n")],
)
def test_the_process_ends_without_teardown_and_loses_nothing(tmp_path: Path, ending: str, code: int, said: str) -> None:
    ended = run(tmp_path, ending)
    assert (ended.returncode, ended.stderr) == (code, said)
    assert ended.stdout.split("\n") == ["collecting False", "collecting True", "handled", ""]
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").endswith("logged\n")


def test_a_bug_keeps_its_traceback_and_pythons_own_end(tmp_path: Path) -> None:
    ended = run(tmp_path, "1 / 0")
    assert ended.returncode == 1
    assert "ZeroDivisionError" in ended.stderr
    assert ended.stderr.endswith("taken apart")


def test_without_a_short_process_nothing_changes() -> None:
    frozen = gc.get_freeze_count()
    imports_done()
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


@pytest.mark.parametrize("arguments", ["--help", "--cfg job", "model.latent_dim=0"])
def test_a_reader_that_leaves_early_is_no_error(arguments: str) -> None:
    line = f"set -o pipefail; {shlex.quote(sys.executable)} src/train.py {arguments} | head -0"
    ended = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (ended.returncode, ended.stderr) == (int(arguments == "model.latent_dim=0"), "")


@pytest.mark.slow
def test_a_run_outlives_the_reader_of_its_output(tmp_path: Path) -> None:
    overrides = f"experiment=quick trainer.max_epochs=2 callbacks=light logger=[] hydra.run.dir={tmp_path}/run"
    line = f"set -o pipefail; {shlex.quote(sys.executable)} src/train.py {overrides} 2>&1 | head -1"
    ended = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (ended.returncode, ended.stderr, ended.stdout.count("\n")) == (0, "", 1)
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert "epoch 2/2" in (tmp_path / "run" / "train.log").read_text(encoding="utf-8")


def test_a_command_started_with_its_output_closed_ends_as_usual(tmp_path: Path) -> None:
    line = f"{shlex.quote(sys.executable)} src/train.py --help >&- 2>&-; echo $?"
    assert subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, encoding="utf-8").stdout == "0\n"
