"""Commands run in any locale: files are UTF-8 everywhere, and a terminal that lacks a letter gets a substitute."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import QUICK, ROOT

SOURCES = sorted(path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
PLAIN_C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def unnamed_encodings(tree: ast.AST) -> list[int]:
    """The lines that open a text file, or read a process's text, without naming the encoding.

    Ruff's rule sees `open(…)` and `Path(…).open()`, but not a path that came as an argument.
    """
    lines = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        keywords = {keyword.arg for keyword in node.keywords}
        owner = getattr(getattr(node.func, "value", None), "id", "")
        modes = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        opens = name == "open" and owner not in ("Image", "gzip", "os") and not any("b" in m for m in modes)
        reads = name in ("read_text", "write_text", "TextIOWrapper", "NamedTemporaryFile")
        if (opens or reads or keywords & {"text", "universal_newlines"}) and "encoding" not in keywords:
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_file_is_opened_with_its_encoding(path):
    assert unnamed_encodings(ast.parse(path.read_text(encoding="utf-8"))) == []


def run_in(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Runs `python ARGUMENTS` in the checkout; its output as the bytes that it wrote."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment,
        capture_output=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("encoding", ["ascii:strict", "gbk", "cp949", "shift_jis", "cp1252"])
@pytest.mark.parametrize("script", ["train", "evaluate", "explore", "export"])
def test_help_in_any_encoding(script, encoding):
    result = run_in(PLAIN_C | {"PYTHONIOENCODING": encoding}, f"src/{script}.py", "--help")
    assert result.returncode == 0, result.stderr
    assert b"ckpt_path" in result.stdout and not result.stderr


def test_a_mistake_in_any_encoding_is_one_line():
    result = run_in(PLAIN_C | {"PYTHONIOENCODING": "ascii:strict"}, "src/train.py", "model.latent_dim=0")
    assert (result.returncode, result.stderr) == (1, b"")
    assert result.stdout.decode("ascii") == "error: model.latent_dim must be greater than 0, got 0\n"


def test_a_path_that_the_locale_cannot_read_is_one_line(tmp_path):
    arguments = ("src/train.py", *QUICK, f"hydra.run.dir='{tmp_path}/grün'")
    result = run_in(PLAIN_C, *arguments)
    assert result.returncode == 1
    [line] = (result.stdout + result.stderr).splitlines()
    assert line.startswith(b"error: ") and b"PYTHONUTF8=1" in line
    assert not list(tmp_path.iterdir())


SLOW = pytest.mark.slow


@SLOW
@pytest.mark.parametrize("script", ["train", "evaluate", "explore", "export"])
def test_a_whole_command_in_the_plain_c_locale(script, run, tmp_path):
    """ASCII alone, strictly: the closing words have letters that it lacks."""
    checkpoint = f"ckpt_path={run}/checkpoints/best.ckpt"
    arguments = {
        "train": (
            *QUICK,
            "model.latent_dim=2",
            "trainer.log_every_n_steps=1",
            "+trainer.limit_train_batches=5",
            "figures=true",
            "explorer=true",
        ),
        "evaluate": (checkpoint,),
        "explore": (checkpoint, f"output={tmp_path}/page.html"),
        "export": (checkpoint, f"output={tmp_path}/export"),
    }[script]
    folder = tmp_path / "run"
    result = run_in(
        PLAIN_C | {"PYTHONIOENCODING": "ascii:strict", "OMP_NUM_THREADS": "1"},
        f"src/{script}.py",
        *arguments,
        f"hydra.run.dir={folder}",
    )
    assert (result.returncode, result.stderr) == (0, b""), result.stderr.decode("ascii")
    result.stdout.decode("ascii")
    for file in folder.rglob("*"):
        if file.suffix in (".md", ".json", ".csv", ".log", ".yaml"):
            file.read_text(encoding="utf-8")


def test_the_log_file_keeps_what_the_terminal_cannot_show(tmp_path):
    code = "import logging; logging.getLogger().info('5 × 5 – grün')"
    script = Path(tmp_path, "say.py")
    script.write_text(
        "import hydra\nfrom autoencoder.cli.process import short_process\n"
        f"@hydra.main(version_base='1.3', config_path={str(ROOT / 'configs')!r}, config_name='evaluate')\n"
        f"def main(config):\n    {code}\nwith short_process():\n    main()\n",
        encoding="utf-8",
    )
    environment = PLAIN_C | {"PYTHONIOENCODING": "ascii:strict", "PROJECT_ROOT": str(ROOT)}
    result = run_in(environment, str(script), "ckpt_path=x", f"hydra.run.dir={tmp_path}/run")
    assert (result.returncode, result.stderr) == (0, b"")
    assert (tmp_path / "run" / "evaluate.log").read_text(encoding="utf-8") == "5 × 5 – grün\n"
    assert result.stdout == rb"5 \xd7 5 \u2013 gr\xfcn" + b"\n"
