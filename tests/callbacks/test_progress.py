"""Progress fits a terminal of 80 columns, and is plain lines elsewhere."""

import io
import os
import pty
import re
import sys

import pytest
from conftest import QUICK, ROOT, command
from rich.console import Console
from rich.progress import ProgressSample

from autoencoder.callbacks.progress import make_bar


def terminal_lines(*arguments: str) -> list[str]:
    """All lines that `python ARGUMENTS` shows in a terminal of 80 columns, moved ones too."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, *arguments], os.environ | {"COLUMNS": "80", "TERM": "xterm"})
    output = b""
    while True:
        try:
            output += (part := os.read(terminal, 65536))
        except OSError:  # Linux's end of file
            break
        if not part:
            break
    assert os.waitpid(process, 0)[1] == 0, output.decode()
    coloured = re.sub(r"\x1b\[[0-9;]*m", "", output.decode())
    return [line for line in re.split(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]", coloured) if line.strip()]


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)  # the child only starts another
def test_a_run_in_a_terminal_moves_a_bar_below_its_lines_and_says_nothing_else(tmp_path):
    lines = terminal_lines("src/train.py", "experiment=quick", f"hydra.run.dir={tmp_path}")
    bars = [line for line in lines if "images/s" in line and "left" in line]
    assert bars and all(len(line) <= 80 for line in bars)
    assert any("train 0." in line and "val 0." in line for line in bars)
    rest = [line for line in lines if line not in bars]
    assert [line.split("  ")[0] for line in rest[:2]] == ["epoch 1/2", "epoch 2/2"]
    assert rest[2].startswith("MNIST 5k")
    assert all(len(line) <= 80 for line in rest if tmp_path.name not in line)  # a test's folder has a long name


@pytest.mark.slow
def test_a_run_elsewhere_prints_plain_lines_and_nothing_else(tmp_path):
    result = command("src/train.py", *QUICK, f"hydra.run.dir={tmp_path}", PYTHONWARNINGS="default")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("epoch 1/1  train/mse ") and lines[1].startswith("MNIST 5k")
    assert "\x1b" not in result.stdout and result.stderr == ""


@pytest.mark.slow
def test_what_lightning_is_asked_for_is_heard_once(tmp_path):
    result = command("src/train.py", *QUICK, "+trainer.profiler=simple", f"hydra.run.dir={tmp_path}")
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.count("FIT Profiler Report") == 1
    assert "[Strategy]SingleDeviceStrategy.backward" in result.stdout
    assert "GPU available" not in result.stdout


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("errors", ["", "train 0.0315 val 0.0270"])
@pytest.mark.parametrize("seconds", [9, 36_000])
def test_the_bar_is_one_line_whatever_it_has_to_say(width, errors, seconds):
    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=True, color_system=None)
    bar = make_bar(console, batch_size=512)
    bar.add_task("epoch 10/10", total=1000 * seconds, errors=errors)
    (task,) = bar.tasks
    task._progress.extend(ProgressSample(task.start_time + second, 10) for second in (1, 2, 3))
    console.print(bar.get_renderable())
    (line,) = output.getvalue().splitlines()
    assert len(line) <= width
    if width >= 80:
        assert (
            line.startswith("epoch 10/10") and "images/s" in line and "left" in line and line.rstrip().endswith(errors)
        )
