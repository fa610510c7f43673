"""Jobs of a sweep side by side: each in its own process, stopped together, and none lost when one is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import QUICK, ROOT, call, command, read_metrics, run_train
from omegaconf import OmegaConf
from test_train import assert_same_weights, weights

import train
from autoencoder.cli.parallel import JobCommand, commands_of, make_slots
from autoencoder.errors import InputError
from autoencoder.runs.jobs import find_jobs

LIGHT = (*QUICK, "callbacks=light", "views=none", "logger=[]")
PARALLEL = ("-m", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2")


def job(devices: int = 1, on_gpu: bool = False) -> JobCommand:
    return JobCommand("0", [], [], Path("0/train.log"), devices, on_gpu)


def processes_in(folder: Path) -> list[int]:
    """The processes whose command names `folder`."""
    found = subprocess.run(
        ["pgrep", "-f", rf"hydra.run.dir={folder}(/|\s|$)"], capture_output=True, encoding="utf-8", check=False
    )
    return [int(number) for number in found.stdout.split()]


def wait_until(is_so, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("devices", "on_gpu", "settings", "cores", "gpus", "slots"),
    [
        (1, False, (None, None), 4, "", [("1", None)] * 4),
        (2, False, (None, None), 4, "", [("1", None)] * 2),
        (1, False, (2, None), 8, "", [("4", None)] * 2),
        (1, False, (3, 2), 2, "", [("2", None)] * 3),
        (1, True, (None, None), 8, "0,1", [("4", "0"), ("4", "1")]),
        (2, True, (None, None), 8, "0,1,2,3", [("2", "0,1"), ("2", "2,3")]),
        (1, True, (4, None), 8, "0,1", [("2", "0"), ("2", "1"), ("2", "0"), ("2", "1")]),
        (1, True, (None, None), 2, "", [("1", None)] * 2),
        (1, False, (None, None), 2, "0,1", [("1", None)] * 2),
    ],
)
def test_cores_and_gpus_are_divided_between_jobs(devices, on_gpu, settings, cores, gpus, slots, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.delenv("OMP_NUM_THREADS")
    made = make_slots([job(devices, on_gpu)], *settings)
    assert [(one["OMP_NUM_THREADS"], one.get("CUDA_VISIBLE_DEVICES")) for one in made] == slots
    assert all(one["MKL_NUM_THREADS"] == one["OMP_NUM_THREADS"] for one in made)


def test_the_users_own_number_of_threads_is_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert {slot["OMP_NUM_THREADS"] for slot in make_slots([job()], None, None)} == {"3"}


@pytest.mark.parametrize("settings", [(0, None), (None, 0)])
def test_no_jobs_or_threads_are_refused(settings):
    with pytest.raises(InputError, match="must be at least 1, got 0"):
        make_slots([job()], *settings)


def test_each_job_resolves_the_overrides_that_refer_to_its_settings(tmp_path):
    refers, searched = "hydra.job.name=width_${model.latent_dim}", "hydra.launcher.n_jobs=2"
    config = {
        "model": {"latent_dim": 32},
        "hydra": {
            "overrides": {"hydra": [refers, searched]},
            "runtime": {"config_sources": []},
            "sweep": {"dir": str(tmp_path), "subdir": "7"},
            "job": {"name": "width_${model.latent_dim}", "num": None, "id": None},
        },
    }

    def compose(sweep, job):
        return OmegaConf.merge(sweep, OmegaConf.from_dotlist(job))

    loader = SimpleNamespace(load_sweep_config=compose)
    (job,) = commands_of(loader, OmegaConf.create(config), wait_until, [["model.latent_dim=4"]], 3)
    assert refers in job.arguments and searched not in job.arguments and "hydra.job.num=3" in job.arguments
    assert job.log == tmp_path / "7" / "width_4.log"


@pytest.mark.slow
def test_jobs_are_those_of_a_sweep_one_after_the_other(tmp_path):
    """With a job that fails, and one with several swept values in a recipe."""
    overrides = (*LIGHT, "model.latent_dim=2,0", "sweep=seeds", "hydra.sweeper.params={seed:'1'}")
    ended = command("src/train.py", *PARALLEL, *overrides, f"hydra.sweep.dir={tmp_path}/sweep")
    assert ended.returncode == 1, ended.stderr
    said = ended.stdout.splitlines()
    assert said[0] == "2 jobs, 2 at once" and "#0 started: model.latent_dim=2" in said
    failed = next(line for line in said if line.startswith("#1 failed"))
    assert "model.latent_dim must be greater than 0, got 0" in failed and "Traceback" not in ended.stdout
    run_train(tmp_path / "alone", *LIGHT, "model.latent_dim=2", "seed=1")
    assert_same_weights(weights(tmp_path / "alone"), weights(tmp_path / "sweep" / "0"))
    log = (tmp_path / "sweep" / "0" / "train.log").read_text(encoding="utf-8")
    assert log.count("epoch 1/1") == 1
    call(train.train, f"resume={tmp_path}/sweep/0", "trainer.max_epochs=2")
    assert read_metrics(tmp_path / "sweep" / "0")["epochs"] == 2


LONG = ("experiment=quick", "trainer.max_epochs=100000", *LIGHT[2:], "seed=0,1,2")


@contextmanager
def started(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A long sweep whose first two jobs have each saved a checkpoint; nothing of it outlives the test."""
    arguments = [sys.executable, "src/train.py", *PARALLEL, *LONG, f"hydra.sweep.dir={folder}"]
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        # A shell's background jobs ignore Ctrl-C, and so would theirs.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        wait_until(lambda: all((folder / name / "checkpoints" / "last.ckpt").exists() for name in "01"), 120)
        yield process
    finally:
        process.kill()
        process.wait()
        for number in processes_in(folder):
            os.kill(number, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_stops_all_jobs_and_a_second_start_goes_on(name, code, tmp_path):
    with started(tmp_path) as process:
        process.send_signal(signal.Signals[name])
        said = process.communicate(timeout=60)[0]
    assert process.returncode == code and "Traceback" not in said
    assert f"resume the sweep with: python src/train.py resume={tmp_path}" in said
    assert processes_in(tmp_path) == []
    assert [one.status for one in find_jobs(tmp_path)] == ["interrupted", "interrupted", "waiting"]
    epochs = 1 + max(read_metrics(tmp_path / name)["epochs"] for name in "01")
    ended = command("src/train.py", f"resume={tmp_path}", f"trainer.max_epochs={epochs}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert {one.metrics["epochs"] for one in find_jobs(tmp_path)} == {epochs}


@pytest.mark.slow
def test_a_killed_job_is_a_failed_row_and_is_resumed(tmp_path):
    with started(tmp_path) as process:
        os.kill(processes_in(tmp_path / "0")[0], signal.SIGKILL)
        wait_until(lambda: (tmp_path / "2" / "checkpoints" / "last.ckpt").exists())
        assert [one.status for one in find_jobs(tmp_path)] == ["failed", "running", "running"]
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[0]
    assert "#0 failed: the job's process was ended by SIGKILL" in said
    epochs = 1 + torch.load(tmp_path / "0" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] + 1
    command("src/train.py", f"resume={tmp_path}", "seed=0", f"trainer.max_epochs={epochs}")
    assert read_metrics(tmp_path / "0")["epochs"] == epochs


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_a_killed_sweep_leaves_no_orphans(tmp_path):
    with started(tmp_path) as process:
        process.kill()
        process.communicate(timeout=10)
        wait_until(lambda: processes_in(tmp_path) == [], 20)
    assert [one.status for one in find_jobs(tmp_path)] == ["interrupted", "interrupted", "waiting"]


@pytest.mark.slow
def test_jobs_may_train_in_several_processes(tmp_path):
    overrides = (*LIGHT, "trainer=ddp", "trainer.devices=2", "seed=0,1", f"hydra.sweep.dir={tmp_path}")
    ended = command("src/train.py", *PARALLEL, *overrides)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [one.metrics["device"].startswith("2 x cpu") for one in find_jobs(tmp_path)] == [True, True]
