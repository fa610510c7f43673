"""Runs jobs of a sweep side by side: a process for each, with its share of the machine's cores and GPUs."""

import inspect
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from autoencoder.cli.sweeps import as_written, compose_job
from autoencoder.errors import InputError
from autoencoder.paths import absolute, assignment, quoted, shown
from autoencoder.runs.jobs import find_jobs
from autoencoder.runs.processes import JOB_OF_SWEEP

LOOK_EVERY = 0.1  # seconds between two looks at the processes
KILLED = "the job's process was ended by"  # the start of the error in the log of a job that was killed
STOP_SECONDS = 60  # that a job has to save its state after it was told to stop
OF_SWEEP = (
    "hydra.sweep.",
    "hydra.run.",
    "hydra.mode",
    "hydra/launcher",
    "hydra.launcher",
    "hydra/sweeper",
    "hydra.sweeper",
)


@dataclass
class JobCommand:
    """One job: its command, and while it runs, its process.

    Attributes:
        name: of its folder in the sweep's.
        overrides: what tells it from the other jobs.
        arguments: the command, without those that choose cores and GPUs.
        log: the file for everything that it prints.
        devices: the number of processes or GPUs that it trains on.
        on_gpu: whether it trains on GPUs if there are any.
    """

    name: str
    overrides: list[str]
    arguments: list[str]
    log: Path
    devices: int
    on_gpu: bool
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    result: JobReturn = field(default_factory=lambda: JobReturn(status=JobStatus.COMPLETED))

    @property
    def folder(self) -> Path:
        """The job's folder."""
        return self.log.parent


def commands_of(
    loader: ConfigLoader,
    config: DictConfig,
    task: Callable[..., Any],
    jobs: Sequence[Sequence[str]],
    first: int,
) -> list[JobCommand]:
    """The commands of the jobs of a sweep: each is a single run in its own folder.

    Args: config, of the sweep; task, the function that Hydra calls for a job; jobs, their overrides; first, the
        number of the first one.
    """
    script = inspect.getfile(inspect.unwrap(getattr(task, "__self__", task)))
    of_hydra = [word for word in as_written(config.hydra.overrides.hydra) if not word.lstrip("+~").startswith(OF_SWEEP)]
    folders = [source.path for source in config.hydra.runtime.config_sources if source.provider == "command-line"]
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    commands = []
    for number, job in enumerate(jobs, first):
        composed = compose_job(loader, config, job, number)
        name = str(OmegaConf.select(composed, "hydra.sweep.subdir"))
        folder = absolute(str(config.hydra.sweep.dir)) / name
        own = [word for word in job if not word.startswith(OF_SWEEP)]
        trainer = composed.get("trainer") or {}
        devices = trainer.get("devices", 1)
        commands.append(
            JobCommand(
                name=name,
                overrides=[word for word in own if word not in shared],
                arguments=[
                    *(sys.executable, script, *(word for path in folders for word in ("--config-dir", path))),
                    *(*of_hydra, *own, f"hydra.run.dir={quoted(str(folder))}", f"hydra.job.num={number}"),
                    "hydra.job_logging.root.handlers=[console]",  # which goes to the log file, with all else it prints
                ],
                log=folder / f"{composed.hydra.job.name}.log",
                devices=devices if isinstance(devices, int) and devices > 0 else 1,
                on_gpu=trainer.get("accelerator") in ("gpu", "cuda", "auto"),
            )
        )
    return commands


def run_side_by_side(
    jobs: Sequence[JobCommand], n_jobs: int | None = None, threads: int | None = None
) -> list[JobReturn]:
    """Runs jobs, several at once, and prints a line as each starts and ends; returns their results.

    Whatever ends this function early, such as Ctrl-C, stops the jobs first, which save their state.
    Args: as of `ParallelLauncher`.
    Raises: InputError for n_jobs or threads below 1.
    """
    waiting, running = list(jobs), dict[int, JobCommand]()
    slots = make_slots(jobs, n_jobs, threads)
    print(f"{len(jobs)} jobs, {min(len(slots), len(jobs))} at once")
    try:
        while waiting or running:
            for slot, environment in enumerate(slots):
                if waiting and slot not in running:
                    running[slot] = job = waiting.pop(0)
                    _start(job, environment)
            for slot, job in list(running.items()):
                if job.process and job.process.poll() is not None:
                    del running[slot]
                    _end(job)
            time.sleep(LOOK_EVERY * bool(running))
    except BaseException:
        _stop(list(running.values()))
        sweep = jobs[0].folder.parent
        print(f"resume the sweep with: python src/train.py {assignment('resume', shown(sweep))}", flush=True)
        raise
    return [job.result for job in jobs]


def make_slots(jobs: Sequence[JobCommand], n_jobs: int | None, threads: int | None) -> list[dict[str, str]]:
    """The environment of each job that runs at the same time: its threads, and its GPUs if the jobs train on GPUs.

    Raises: InputError for n_jobs or threads below 1.
    """
    for key, value in (("n_jobs", n_jobs), ("threads", threads)):
        if value is not None and value < 1:
            raise InputError(f"hydra.launcher.{key} must be at least 1, got {value}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices = max((job.devices for job in jobs), default=1)
    found = gpus() if any(job.on_gpu for job in jobs) else []
    count = n_jobs or max(1, (len(found) or cores) // devices)
    share = threads or int(os.environ.get("OMP_NUM_THREADS") or max(1, cores // (count * devices)))
    slots = [{"OMP_NUM_THREADS": str(share), "MKL_NUM_THREADS": str(share)} for _ in range(count)]
    for slot, environment in enumerate(slots if found else []):
        own = [found[(slot * devices + offset) % len(found)] for offset in range(devices)]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(dict.fromkeys(own))
    return slots


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; asks the driver, without torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, encoding="utf-8", check=False)
    return [str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]


def _start(job: JobCommand, environment: Mapping[str, str]) -> None:
    """Starts a job in a session of its own: Ctrl-C reaches it through this process alone."""
    job.folder.mkdir(parents=True, exist_ok=True)
    job.started_at = time.monotonic()
    with job.log.open("ab") as log:
        job.process = subprocess.Popen(
            job.arguments,
            env=os.environ | environment | {JOB_OF_SWEEP: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    print(f"#{job.name} started: {' '.join(job.overrides)}", flush=True)


def _end(job: JobCommand) -> None:
    """Prints how a job ended; a job that could not say so itself gets a last line in its log."""
    code = job.process.returncode if job.process else 0
    if code < 0:
        name = signal.Signals(-code).name
        reason = ": was the machine out of memory?" if name == "SIGKILL" else ""
        with job.log.open("a", encoding="utf-8") as log:
            log.write(f"error: {KILLED} {name}{reason}\n")
    found = next(iter(find_jobs(job.folder)))
    seconds = time.monotonic() - job.started_at
    if code == 0:
        val_mse = job.result.return_value = found.metrics.get("val/mse")
        measured = f", val/mse {val_mse:.4f}" if isinstance(val_mse, float) else ""
        print(f"#{job.name} finished: {seconds:.0f} s{measured}", flush=True)
        return
    job.result.return_value = None
    said = f"failed: {found.error}" if found.error else f"stopped, exit code {code}"
    print(f"#{job.name} {said} ({shown(job.log)})", flush=True)


def _stop(jobs: Sequence[JobCommand]) -> None:
    """Tells jobs to stop and waits until they have saved their state; kills those that take too long."""
    processes = [job.process for job in jobs if job.process]
    for process in processes:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
