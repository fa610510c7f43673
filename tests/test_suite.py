"""The suite itself passes on any machine: with more installed, other variables set, and `srun` on the PATH."""

import os
import subprocess
import sys
import warnings

import pytest
from conftest import ROOT

ELSEWHERE = {
    "DATA_DIR": "/nowhere",
    "PYTHONWARNINGS": "error",
    "HYDRA_FULL_ERROR": "0",
    "COLUMNS": "40",
    "NO_COLOR": "1",
    "FORCE_COLOR": "1",
    "TERM": "dumb",
    "WANDB_MODE": "disabled",
    "CUDA_VISIBLE_DEVICES": "",
    "SLURM_JOB_ID": "12",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "1",
    "SLURM_JOB_NAME": "batch.sh",
}
LIBRARY = """
import warnings
def old():
    warnings.warn("use new()", {category})
"""


@pytest.mark.parametrize("category", ["DeprecationWarning", "FutureWarning", "UserWarning"])
def test_what_other_packages_say_of_each_other_fails_no_test(category):
    module: dict[str, object] = {"__name__": "some_library"}
    exec(LIBRARY.format(category=category), module)
    with warnings.catch_warnings(record=True) as heard:
        module["old"]()
    assert len(heard) == 1


def test_what_this_project_or_its_libraries_are_told_fails_a_test():
    for name in ("autoencoder.models.module", "lightning.pytorch.trainer", "torch.nn", "test_suite", "torchvision"):
        module: dict[str, object] = {"__name__": name}
        exec(LIBRARY.format(category="UserWarning"), module)
        with pytest.raises(UserWarning, match="use new"):
            module["old"]()


@pytest.mark.slow
def test_the_suite_passes_on_a_cluster_and_in_odd_shells(tmp_path):
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n", encoding="utf-8")
    srun.chmod(0o755)
    files = [
        *("tests/cli/test_bad_input.py", "tests/cli/test_process.py", "tests/runs/test_loggers.py"),
        *("tests/runs/test_sweeps.py", "tests/callbacks/test_history.py", "tests/callbacks/test_progress.py"),
    ]
    command = [sys.executable, "-m", "pytest", "-n", "0", "--no-cov", "-p", "no:cacheprovider", *files]
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment | ELSEWHERE | {"PATH": path}, capture_output=True, encoding="utf-8"
    )
    assert ended.returncode == 0, ended.stdout[-5000:]
