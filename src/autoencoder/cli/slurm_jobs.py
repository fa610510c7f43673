"""Runs jobs of a sweep on a SLURM cluster: submits them with submitit, waits for them, and says how each ended."""

import logging
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from autoencoder.cli.sweeps import compose_job
from autoencoder.errors import InputError
from autoencoder.paths import absolute, assignment, shown
from autoencoder.runs.jobs import find_jobs
from autoencoder.runs.processes import WITHOUT_FILES, is_first_process

LOOK_EVERY = 5  # seconds between two looks at the queue
NAME = "name.txt"  # beside a job's script: the name of its folder in the sweep's
THREADS = (  # first in a job's script: a thread for each core; srun does not take the number of cores from sbatch
    'export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"',
    'export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"',
)

# submitit's names; it expects the others with "slurm_" in front
OF_ANY_CLUSTER = ("name", "timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb")


def check_can_submit() -> None:
    """Raises: InputError if submitit is not installed, or if this machine has no `sbatch`."""
    if find_spec("submitit") is None:
        raise InputError(
            "hydra/launcher=slurm needs the package submitit, which is not installed: "
            "pip install -e '.[slurm]' in the checkout's .venv, or leave out hydra/launcher=slurm"
        )
    missing = [program for program in ("sbatch", "squeue", "srun") if shutil.which(program) is None]
    if missing:
        raise InputError(
            f"hydra/launcher=slurm needs SLURM's {missing[0]}, which is not on the PATH: start the sweep on a login "
            "node of the cluster, or leave out hydra/launcher=slurm"
        )


@dataclass
class SlurmTask:
    """What a SLURM job does: one job of the sweep, as Hydra's own launcher would do it.

    submitit pickles it. If the job has to make room, submitit calls `checkpoint` and puts the result into the queue.
    """

    context: HydraContext
    function: TaskFunction
    config: DictConfig
    singletons: dict[type, Any] = field(default_factory=Singleton.get_state)

    def __call__(self, overrides: Sequence[str], number: int) -> None:
        """Does the job with these overrides; its result is in its folder."""
        import submitit

        logging.getLogger("submitit").propagate = False  # the last line of the job's own log says how it ended
        Singleton.set_state(self.singletons)
        setup_globals()
        given = [*overrides, *(() if is_first_process() else WITHOUT_FILES)]
        config = self.context.config_loader.load_sweep_config(self.config, given)
        with open_dict(config):
            config.hydra.job.num, config.hydra.job.id = number, submitit.JobEnvironment().job_id
        run_job(
            task_function=self.function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            hydra_context=self.context,
        )

    def checkpoint(self, overrides: Sequence[str], number: int) -> Any:
        """The same job again, which then resumes in its folder."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, overrides, number)


def run_on_slurm(
    task: SlurmTask,
    jobs: Sequence[Sequence[str]],
    first: int,
    submitit_folder: str,
    max_num_timeout: int,
    parameters: Mapping[str, Any],
) -> list[JobReturn]:
    """Submits jobs, waits until they have left the queue, and prints a line as each ends; returns their results.

    Jobs that an earlier call has submitted and that are still in the queue are not submitted again.

    Args: jobs, the overrides of each; first, the number of the first one; the others as of `SlurmLauncher`.
    Raises: InputError if SLURM refuses the jobs.
    """
    sweep = absolute(str(task.config.hydra.sweep.dir))
    loader = task.context.config_loader
    composed = [compose_job(loader, task.config, job, number) for number, job in enumerate(jobs, first)]
    names = [str(OmegaConf.select(job, "hydra.sweep.subdir")) for job in composed]
    ids = {name: number for name, number in submitted_jobs(Path(submitit_folder)).items() if name in names}
    if ids:
        print(f"{len(ids)} jobs are in SLURM's queue already: {' '.join(ids.values())}")
    new = [index for index, name in enumerate(names) if name not in ids]
    if new:
        arguments = [list(jobs[index]) for index in new], [first + index for index in new]
        submitted = submit(task, arguments, submitit_folder, max_num_timeout, parameters)
        for index, job in zip(new, submitted, strict=True):
            (job.paths.folder / NAME).write_text(names[index], encoding="utf-8")
            ids[names[index]] = job.job_id
            print(f"#{names[index]} submitted to SLURM as {job.job_id}")
    log_name = f"{composed[0].hydra.job.name}.log"
    results: dict[str, JobReturn] = {}
    try:
        while len(results) < len(ids):
            queued = queued_jobs()
            for name, number in ids.items():
                if name not in results and queued is not None and number not in queued:
                    output = Path(submitit_folder.replace("%j", number), f"{number}_0_log.err")
                    results[name] = _end(sweep / name, output, log_name)
            print(end="", flush=True)
            time.sleep(LOOK_EVERY * (len(results) < len(ids)))
    except BaseException:
        print(
            "the jobs continue in SLURM's queue: stop them with scancel, or wait for them again with: "
            f"python src/train.py {assignment('resume', shown(sweep))}",
            flush=True,
        )
        raise
    return [results[name] for name in names]


def submit(
    task: SlurmTask,
    arguments: tuple[list[list[str]], list[int]],
    folder: str,
    max_num_timeout: int,
    parameters: Mapping[str, Any],
) -> list[Any]:
    """Submits one job array; returns its jobs as submitit knows them.

    Raises: InputError if SLURM or submitit refuses it.
    """
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = submitit.AutoExecutor(cluster="slurm", folder=folder, slurm_max_num_timeout=max_num_timeout)
    given = {key: value for key, value in parameters.items() if value is not None}
    given["setup"] = [*THREADS, *given.get("setup", [])]
    given = {key if key in OF_ANY_CLUSTER else f"slurm_{key}": value for key, value in given.items()}
    try:
        executor.update_parameters(**given)
        with redirect_stderr(StringIO()):  # where submitit prints what it also raises
            return list(executor.map_array(task, *arguments))
    except (FailedJobError, FailedSubmissionError, ValueError, TypeError) as error:
        raise InputError(f"hydra.launcher: SLURM refused the jobs: {error}") from None


def submitted_jobs(submitit_folder: Path) -> dict[str, str]:
    """The jobs that are in the queue: their numbers in SLURM, by the names of their folders in the sweep's."""
    found = {path.parent.name: path.read_text(encoding="utf-8") for path in submitit_folder.parent.glob(f"*/{NAME}")}
    queued = queued_jobs() if found else set()
    return {name: number for number, name in found.items() if queued is None or number in queued}


def queued_jobs() -> set[str] | None:
    """The numbers of this user's jobs that wait, run or are about to run again; None if SLURM does not answer now."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    answer = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    return None if answer.returncode else set(answer.stdout.split())


def _end(folder: Path, output: Path, log_name: str) -> JobReturn:
    """Prints how a job ended; a job that ended before it had a folder gets one, with the reason in its log."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        said = f"error: the SLURM job ended before it began to train: see {shown(output)}\n"
        (folder / log_name).write_text(said, encoding="utf-8")
    found = next(iter(find_jobs(folder)))
    result = JobReturn(status=JobStatus.COMPLETED)
    result.return_value = found.metrics.get("val/mse") if found.status == "finished" else None
    measured = f": val/mse {result.return_value:.4f}" if isinstance(result.return_value, float) else ""
    where = "" if found.status == "finished" else f"{': ' * bool(found.error)}{found.error} ({shown(output)})"
    print(f"#{folder.name} {found.status}{measured}{where}")
    return result
