"""On a cluster's nodes: which processes belong to a run, what is submitted, and how a job is put into the queue again.

`tests/slurm` does the same on a real SLURM.
"""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, command, read_metrics, refuse_here
from omegaconf import OmegaConf

import train
from autoencoder.callbacks.stopping import StopBetweenSteps, Stopped
from autoencoder.cli.errors import explain
from autoencoder.cli.slurm import check_starts_anew, settle_slurm, slurm_plugins
from autoencoder.cli.slurm_jobs import submit, submitted_jobs
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


def test_one_process_that_srun_started_is_not_taken_for_two(environment):
    for variable, value in {"STEP_ID": "0", "NTASKS": "1", "JOB_NAME": "train", "PROCID": "0"}.items():
        environment.setenv(f"SLURM_{variable}", value)
    with pytest.raises(InputError, match=r"srun started 1 process, and trainer\.devices=2 on 1 node are 2"):
        settle_slurm({"devices": 2})


def test_lightning_does_not_requeue_by_itself(environment):
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment

    assert slurm_plugins([]) == []
    for variable, value in {"STEP_ID": "0", "NTASKS": "1", "JOB_NAME": "train", "PROCID": "0"}.items():
        environment.setenv(f"SLURM_{variable}", value)
    assert [plugin.auto_requeue for plugin in slurm_plugins([])] == [False]
    assert slurm_plugins([LightningEnvironment()]) == []


def test_a_new_run_starts_from_no_checkpoint_of_lightnings_own(environment, tmp_path, capfd):
    (tmp_path / "hpc_ckpt_1.ckpt").touch()
    check_starts_anew(str(tmp_path))  # without srun, Lightning ignores the file
    variables = {"STEP_ID": "0", "NTASKS": "1", "JOB_NAME": "train", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for variable, value in variables.items():
        environment.setenv(f"SLURM_{variable}", value)
    overrides = (*QUICK, f"trainer.default_root_dir={tmp_path}", f"hydra.run.dir={tmp_path / 'run'}")
    said = refuse_here(train.train, capfd, *overrides)
    assert f"has {tmp_path}/hpc_ckpt_1.ckpt, from which Lightning would restore the new run" in said
    assert not (tmp_path / "run").exists()


def make_program(folder: Path, name: str, lines: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.fixture
def login_node(tmp_path, monkeypatch):
    """Programs as on a login node; `sbatch` accepts everything."""
    pytest.importorskip("submitit", reason="needs the extra: pip install -e '.[slurm]'")
    make_program(tmp_path / "bin", "srun", "exit 1")
    make_program(tmp_path / "bin", "squeue", "echo 12_0")
    make_program(tmp_path / "bin", "sbatch", f'cat "$1" > {tmp_path}/script; echo Submitted batch job 12')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def settings_for_sbatch(*overrides: str) -> dict[str, object]:
    config = OmegaConf.load(ROOT / "configs" / "hydra" / "launcher" / "slurm.yaml")
    config = OmegaConf.merge(config, {"name": "train", "submitit_folder": ""}, OmegaConf.from_dotlist(list(overrides)))
    own = ("_target_", "submitit_folder", "max_num_timeout")
    return {str(key): value for key, value in dict(OmegaConf.to_object(config)).items() if key not in own}


def test_settings_reach_sbatch(login_node):
    given = settings_for_sbatch(
        *("partition=gpu", "account=me", "qos=low", "constraint=a100", "mem_gb=16", "cpus_per_task=4", "gres=gpu:1"),
        *("gpus_per_node=1", "setup=[module load cuda]", "additional_parameters.mail-type=END", "array_parallelism=1"),
    )
    jobs = submit(print, ([["seed=0"], ["seed=1"]], [0, 1]), f"{login_node}/.submitit/%j", 3, given)
    lines = (login_node / "script").read_text(encoding="utf-8").splitlines()
    options = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert options >= {"partition=gpu", "account=me", "qos=low", "constraint=a100", "mem=16GB", "cpus-per-task=4"}
    assert options >= {"gres=gpu:1", "gpus-per-node=1", "mail-type=END", "time=60", "nodes=1", "ntasks-per-node=1"}
    assert options >= {"array=0-1%1", "signal=USR2@120", "job-name=train"}
    first = lines.index('export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"')
    assert first < lines.index("module load cuda") < len(lines)
    assert [job.job_id for job in jobs] == ["12_0", "12_1"]


def test_what_sbatch_refuses_is_said_in_one_line(login_node, capfd):
    make_program(login_node / "bin", "sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    with pytest.raises(InputError, match="SLURM refused the jobs: sbatch: error: invalid partition specified: gpu"):
        submit(print, ([["seed=0"]], [0]), f"{login_node}/.submitit/%j", 3, settings_for_sbatch())
    assert capfd.readouterr() == ("", "")


def test_jobs_in_the_queue_are_found_again(login_node):
    for number, name in (("12_0", "0"), ("12_1", "1"), ("11_0", "2")):
        (login_node / ".submitit" / number).mkdir(parents=True)
        (login_node / ".submitit" / number / "name.txt").write_text(name, encoding="utf-8")
    assert submitted_jobs(login_node / ".submitit" / "%j") == {"0": "12_0"}


@pytest.mark.parametrize(
    ("package", "said"), [(None, r"pip install -e '.[slurm]'"), (object(), "needs SLURM's sbatch, which is not on")]
)
def test_without_submitit_or_slurm_a_sweep_is_refused_before_it_has_a_folder(
    package, said, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr("autoencoder.cli.slurm_jobs.find_spec", lambda _: package)
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ("-m", *QUICK, "hydra/launcher=slurm", "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep")
    assert said in refuse_here(train.train, capfd, *arguments)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("signals", [(signal.SIGUSR2,), (signal.SIGTERM, signal.SIGUSR2)])
def test_the_signal_to_requeue_is_passed_on_after_the_stop(signals):
    passed: list[int] = []
    before = {number: signal.getsignal(number) for number in signals}
    signal.signal(signal.SIGUSR2, lambda number, _: passed.append(number))
    stop = StopBetweenSteps()
    try:
        with pytest.raises(SystemExit), stop.listen():
            try:
                os.kill(os.getpid(), signals[0])
                time.sleep(1)
            except Stopped as end:
                assert passed == []
                if len(signals) > 1:
                    threading.Timer(0.3, os.kill, (os.getpid(), signals[1])).start()
                raise SystemExit(end.exit_code) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert passed == [signal.SIGUSR2]


def test_a_job_that_timed_out_too_often_says_so_in_one_line():
    utils = pytest.importorskip("submitit.core.utils", reason="needs the extra: pip install -e '.[slurm]'")
    line = explain(utils.UncompletedJobError("Job not requeued because: timed-out too many times."))
    assert line and "max_num_timeout" in line


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
