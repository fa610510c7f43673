"""Launcher `parallel`: runs a sweep's jobs side by side on this machine, each in a process of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class ParallelConfig:
    """The settings `hydra.launcher.…` of `ParallelLauncher`."""

    _target_: str = "hydra_plugins.parallel_launcher.ParallelLauncher"
    n_jobs: int | None = None
    threads: int | None = None


ConfigStore.instance().store(
    group="hydra/launcher", name="parallel", node=ParallelConfig, provider="lightning-autoencoder"
)


class ParallelLauncher(Launcher):
    """Starts one process for each job, as many at once as the machine has room for.

    A job that is killed is a failed job, not a lost sweep; a job may itself train in several processes (DDP).

    Args:
        n_jobs: jobs at once; None for one on each GPU if the jobs train on GPUs, or else one on each core.
        threads: threads of each process; None for OMP_NUM_THREADS if that is set, or else its share of the cores.
    """

    def __init__(self, n_jobs: int | None, threads: int | None) -> None:
        self.n_jobs, self.threads = n_jobs, threads

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.loader, self.task_function, self.config = hydra_context.config_loader, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the jobs; returns the validation error of each, None for those that have not finished.

        Raises: InputError for n_jobs or threads below 1.
        """
        from autoencoder.cli.parallel import commands_of, run_side_by_side

        settings: dict[str, Any] = {"n_jobs": self.n_jobs, "threads": self.threads}
        jobs = commands_of(self.loader, self.config, self.task_function, job_overrides, initial_job_idx)
        return run_side_by_side(jobs, **settings)

    def count_slots(self, job: Sequence[str]) -> int:
        """The number of jobs with overrides such as these that run at once.

        Raises: InputError for n_jobs or threads below 1.
        """
        from autoencoder.cli.parallel import commands_of, make_slots

        commands = commands_of(self.loader, self.config, self.task_function, [job], 0)
        return len(make_slots(commands, self.n_jobs, self.threads))
