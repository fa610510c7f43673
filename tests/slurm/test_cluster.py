"""A sweep on a real SLURM, which this file starts on this machine: requeued and timed out, it ends as without SLURM."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, command, read_metrics
from one_machine import ask, one_machine_cluster, wait_until, why_not
from test_train import assert_same_weights, weights

from autoencoder.runs.jobs import find_jobs

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(bool(why_not()), reason=why_not())]
TINY = ("experiment=quick", "callbacks=light", "views=none", "logger=[csv]", "+trainer.limit_train_batches=20")
PACE = ("+callbacks.pace={_target_: pace.Pace, seconds: 0.75}", "allow_targets=[pace]")
LENGTHS = (2, 12, 90)  # epochs of the three jobs: left alone, requeued, timed out
WAIT = 120  # seconds for what takes a few; other work on the machine makes it last longer
ON_SLURM = ("-m", "hydra/launcher=slurm", "hydra.launcher.timeout_min=10", "hydra.launcher.signal_delay_s=10")
NO_RESULT = ("fit_seconds", "images_per_second", "git_commit")  # in metrics.json


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with one_machine_cluster(tmp_path_factory.mktemp("cluster") / "slurm") as environment:
        yield environment


class Sweep:
    """A sweep on SLURM, started as a user would, in the background."""

    def __init__(self, folder: Path, cluster: dict[str, str], *overrides: str) -> None:
        self.folder, self.cluster = folder, cluster
        self.process = subprocess.Popen(
            [sys.executable, "src/train.py", *ON_SLURM, *TINY, f"hydra.sweep.dir={folder}", *overrides],
            cwd=ROOT,
            env=environment(cluster),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
        )

    def numbers(self) -> dict[str, str]:
        """The jobs' numbers in SLURM, by the names of their folders."""
        files = self.folder.glob(".submitit/*/name.txt")
        return {file.read_text(encoding="utf-8"): file.parent.name for file in files}

    def restarts(self, name: str) -> int:
        """How often SLURM has started a job again."""
        shown = ask(self.cluster, "scontrol", "show", "job", self.numbers()[name])
        return int(shown.partition("Restarts=")[2].split()[0])

    def set_time_left(self, name: str, seconds: int) -> None:
        """Limits a running job's time to this much more at least, and a minute more at most: SLURM counts minutes."""
        number = self.numbers()[name]
        used = ask(self.cluster, "squeue", "--noheader", "--array", f"--jobs={number}", "--format=%M").strip()
        minutes, passed = map(int, used.split(":"))
        limit = minutes + -(-(passed + seconds) // 60)
        ask(self.cluster, "scontrol", "update", f"JobId={number}", f"TimeLimit={limit}")

    def statuses(self) -> list[str]:
        return [job.status for job in find_jobs(self.folder)]

    def end(self, seconds: float) -> tuple[int, str]:
        """Waits for the end of the command; returns its exit code and what it said."""
        output, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, output


def environment(cluster: dict[str, str]) -> dict[str, str]:
    """Of a command, and so of its jobs: with SLURM, and with `pace` to import."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return os.environ | cluster | {"PYTHONPATH": path}


def epochs_done(folder: Path) -> int:
    history = folder / "history.csv"
    return len(history.read_text(encoding="utf-8").splitlines()) - 1 if history.is_file() else 0


def result(folder: Path) -> dict[str, object]:
    return {key: value for key, value in read_metrics(folder).items() if key not in NO_RESULT}


def said(sweep: Sweep, output: str) -> str:
    logs = [log.read_text(encoding="utf-8") for log in sorted(sweep.folder.glob("*/train.log"))]
    errors = [log.read_text(encoding="utf-8") for log in sorted(sweep.folder.glob(".submitit/*/*.err"))]
    return "\n".join([output, *(log[-2000:] for log in logs), *(error[-2000:] for error in errors)])


def test_requeued_and_timed_out_jobs_end_as_without_slurm(cluster, tmp_path):
    swept = f"trainer.max_epochs={','.join(map(str, LENGTHS))}"
    sweep = Sweep(tmp_path / "slurm", cluster, swept, *PACE)
    wait_until(lambda: epochs_done(sweep.folder / "1") >= 2, WAIT)
    ask(cluster, "scontrol", "requeue", sweep.numbers()["1"])
    wait_until(lambda: sweep.restarts("1") == 1, WAIT)
    assert epochs_done(sweep.folder / "1") < LENGTHS[1]
    wait_until(lambda: epochs_done(sweep.folder / "2") >= 2, WAIT)
    sweep.set_time_left("2", 25)
    wait_until(lambda: sweep.restarts("2") == 1, WAIT)
    assert 2 <= epochs_done(sweep.folder / "2") < LENGTHS[2]
    assert not {"failed", "waiting"} & set(sweep.statuses()), sweep.statuses()
    sweep.set_time_left("2", 300)
    code, output = sweep.end(200)
    print(output)
    assert code == 0 and sweep.statuses() == ["finished"] * 3, said(sweep, output)
    alone = command(
        *("src/train.py", "-m", "hydra/launcher=parallel", "hydra.launcher.threads=1", *TINY, swept),
        *("+callbacks.pace={_target_: pace.Pace, seconds: 0}", f"hydra.sweep.dir={tmp_path}/alone"),
        **environment(cluster),
    )
    assert alone.returncode == 0, alone.stdout + alone.stderr
    for name in ("0", "1", "2"):
        on_slurm, without = sweep.folder / name, tmp_path / "alone" / name
        assert result(on_slurm) == result(without)
        assert (on_slurm / "history.csv").read_bytes() == (without / "history.csv").read_bytes()
        for checkpoint in ("best", "last"):
            assert_same_weights(weights(on_slurm, checkpoint), weights(without, checkpoint))
    for name in ("1", "2"):
        assert "resuming" in (sweep.folder / name / "train.log").read_text(encoding="utf-8")
    assert "1 threads" in read_metrics(sweep.folder / "0")["device"]
    assert not list(sweep.folder.rglob("hpc_ckpt*"))


def test_jobs_outlive_the_command_that_a_second_start_replaces_and_a_mistake_is_one_failed_row(cluster, tmp_path):
    killed = Sweep(tmp_path, cluster, "optimizer.lr=0.01,-1", "trainer.max_epochs=5")
    wait_until(lambda: len(killed.numbers()) == 2, WAIT)
    killed.process.send_signal(signal.SIGKILL)
    killed.end(10)
    numbers = killed.numbers()
    again = Sweep(tmp_path, cluster, "optimizer.lr=0.01,-1", "trainer.max_epochs=5")
    code, output = again.end(180)
    print(output)
    assert again.numbers() == numbers and f"in SLURM's queue already: {numbers['0']}" in output, said(again, output)
    assert code == 1 and again.statuses() == ["finished", "failed"], said(again, output)
    assert "optimizer.lr must be greater than 0" in find_jobs(tmp_path)[1].error


def test_a_job_that_trains_in_two_processes_ends_after_the_command(cluster, tmp_path):
    two = ("hydra.launcher.tasks_per_node=2", "trainer=ddp", "seed=1")
    sweep = Sweep(tmp_path, cluster, *two)
    wait_until(lambda: len(sweep.numbers()) == 1, WAIT)
    sweep.process.send_signal(signal.SIGKILL)
    sweep.end(10)
    wait_until(lambda: not ask(cluster, "squeue", "--noheader"), 180)
    assert sweep.statuses() == ["finished"], said(sweep, "")
    assert "2 x cpu" in read_metrics(tmp_path / "0")["device"]
    assert (tmp_path / "0" / "train.log").read_text(encoding="utf-8").count("epoch 1/2") == 1
    code, output = Sweep(tmp_path, cluster, *two).end(60)
    print(output)
    assert code == 0 and "1 of 1 jobs have finished before" in output
