"""On a cluster's nodes a run is alone unless `srun` started it, and Lightning's warning about `srun` is not heard."""

import os
from pathlib import Path

import pytest
from conftest import QUICK, command, read_metrics

from autoencoder.cli.slurm import settle_slurm
from autoencoder.errors import InputError

ALONE = {"devices": 1}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    return monkeypatch


@pytest.mark.parametrize("name", ["bash", "interactive", "sys/dashboard/jupyter", "batch.sh"])
def test_without_srun_a_run_is_alone(name, environment):
    from lightning.fabric.plugins.environments import SLURMEnvironment

    for variable, value in {"NTASKS": "4", "JOB_NAME": name, "PROCID": "0", "LOCALID": "0"}.items():
        environment.setenv(f"SLURM_{variable}", value)
    settle_slurm(ALONE)
    assert not SLURMEnvironment.detect() and "SLURM_PROCID" not in os.environ


@pytest.mark.parametrize(
    ("variables", "is_right"),
    [
        ({"NTASKS": "1", "JOB_NAME": "zsh"}, True),
        ({"NTASKS": "4", "JOB_NAME": "bash", "PROCID": "0"}, True),
        ({"NTASKS": "4", "JOB_NAME": "bash", "PROCID": "1"}, False),
        ({"NTASKS": "2", "JOB_NAME": "python", "PROCID": "0"}, False),
    ],
)
def test_with_srun_its_processes_are_the_trainers(variables, is_right, environment):
    environment.setenv("SLURM_STEP_ID", "0")
    for variable, value in variables.items():
        environment.setenv(f"SLURM_{variable}", value)
    settle_slurm({"devices": int(variables["NTASKS"])})
    if is_right:
        settle_slurm(ALONE)
    else:
        with pytest.raises(InputError, match=r"srun started \d processes, and trainer\.devices=1 on 1 node are 1"):
            settle_slurm(ALONE)


@pytest.mark.slow
def test_a_run_on_a_login_node_and_in_a_batch_script_says_nothing_of_it(tmp_path):
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n", encoding="utf-8")
    srun.chmod(0o755)
    result = command(
        *("src/train.py", *QUICK, "callbacks=light", "+trainer.limit_train_batches=3", f"hydra.run.dir={tmp_path}/run"),
        PATH=f"{srun.parent}{os.pathsep}{os.environ['PATH']}",
        **{"SLURM_JOB_ID": "12", "SLURM_NTASKS": "4", "SLURM_JOB_NAME": "batch.sh", "SLURM_PROCID": "0"},
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "srun" not in result.stdout and read_metrics(tmp_path / "run")["epochs"] == 1
    assert list(Path(tmp_path, "run").rglob("events.out.tfevents.*"))
