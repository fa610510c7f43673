"""Setting up says what it does and how long it takes, once."""

import os
import subprocess

from conftest import ROOT


def dry_run(*arguments: str) -> list[str]:
    """The commands that make would run, and what it would say."""
    command = ["make", "--dry-run", *arguments]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
    run = subprocess.run(command, cwd=ROOT, env=alone, check=True, capture_output=True, encoding="utf-8")
    return run.stdout.splitlines()


def test_setting_up_says_so_first_and_lets_pip_speak():
    lines = dry_run("--what-if=requirements.lock", "setup")
    said, install = (next(line for line in lines if word in line) for word in ("echo", "-r requirements.lock"))
    assert "about 6 GB" in said and lines.index(said) < lines.index(install)
    assert "--quiet" not in install


def test_a_second_call_sets_nothing_up(tmp_path):
    ready = tmp_path / "ready"
    ready.touch()
    lines = dry_run(f"READY={ready}", "train", "ARGS=seed=1")
    assert lines == [".venv/bin/python src/train.py seed=1"]
