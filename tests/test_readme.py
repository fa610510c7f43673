"""Every command in the documents runs: the project's own with tiny settings, make's as a dry run."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import ROOT, command
from PIL import Image

from autoencoder.cli.errors import EXTRAS

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
TINY = ("data=mnist_5k", "trainer.max_epochs=1", "data.batch_size=100")


def fenced_commands() -> list[str]:
    """The lines of all ```bash blocks, without comments and variables set in front."""
    commands = []
    for document in DOCUMENTS:
        for block in re.findall(r"```bash\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
            lines = (line.split("  #")[0].strip() for line in block.replace("\\\n", " ").splitlines())
            commands += [line for line in lines if line and not line.startswith("#")]
    return sorted(set(commands))


def test_there_are_commands_to_run():
    assert "make train" in fenced_commands() and "make test" in fenced_commands()


@pytest.mark.slow
@pytest.mark.parametrize("line", fenced_commands())
def test_command(line, run, tmp_path):
    words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=.*", word)]
    program = Path(words[0]).name
    own_images = "data.path=DIR" in words
    if own_images or "input=DIR" in words:
        images = tmp_path / "images"
        words = [re.sub(r"^(data\.path|input)=DIR$", rf"\1={images}", word) for word in words]
        images.mkdir()
        for number in range(40):
            Image.effect_noise((20, 30), 50).save(images / f"{number}.jpg")
    if "RUN" in line or "SWEEP" in line:
        words = [re.sub(r"\b(RUN|SWEEP)\b", f"{tmp_path}/run", word) for word in words]
        shutil.copytree(run, tmp_path / "run")
    if program == "make":
        subprocess.run([*words, "--dry-run"], cwd=ROOT, check=True, capture_output=True)
    elif program == "pip":  # an extra of this project
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
            "optional-dependencies"
        ]
        assert words[1:3] == ["install", "-e"] and words[3].strip(".[]") in extras
    elif program == "eval":
        line = line.replace("python ", f"{shlex.quote(sys.executable)} ") + "; complete -p python"
        shell = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, encoding="utf-8")
        assert "-F hydra_bash_completion" in shell.stdout, shell.stderr
    elif absent := [name for name in EXTRAS if f"logger={name}" in words and not find_spec(name)]:
        result = command(*words[1:], f"paths.log_dir={tmp_path}")
        assert result.returncode == 1 and f"pip install -e '.[{absent[0]}]'" in result.stderr + result.stdout
    elif words[:2] == ["python", "src/train.py"]:
        tiny = () if "resume=" in line else TINY[own_images:]  # a run keeps its data
        extra = ["model.latent_dim=8"] if "ckpt_path=RUN" in line else []
        extra += ["hydra.sweeper.n_trials=2"] if "search=" in line else []
        result = command("src/train.py", *words[2:], *tiny, *extra, f"paths.log_dir={tmp_path}")
        assert result.returncode == 0, result.stderr
    elif program == "python" and words[1].startswith("src/"):
        result = command(words[1], *words[2:], f"paths.log_dir={tmp_path}")
        assert result.returncode == 0, result.stderr
    else:
        assert program in ("git", "cd", "source"), f"no one runs this: {line}"


def test_every_file_that_the_documents_name_is_there():
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), (document, link)
        for name in re.findall(
            r"`((?:src|configs|tests|benchmarks|docs)/[\w/.]+\.\w+)`", document.read_text(encoding="utf-8")
        ):
            assert (ROOT / name).exists() or "NAME" in name, (document, name)
