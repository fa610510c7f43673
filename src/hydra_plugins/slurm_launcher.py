"""Launcher `slurm`: submits a sweep's jobs to a SLURM cluster; configs/hydra/launcher/slurm.yaml has its settings."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SlurmLauncher(Launcher):
    """Submits the jobs as one job array, waits until they have left the queue, and says how each ended.

    The jobs do not need this process: if it ends, they continue. A job that is requeued, by a time-out, a preemption or
    `scontrol requeue`, resumes in its folder.

    Args:
        submitit_folder: the folder of each job's script and output, with %j for its number in SLURM.
        max_num_timeout: number of times that a job which timed out is put into the queue again.
        setup: shell commands to run before the job.
        parameters: the others, as of submitit's `AutoExecutor.update_parameters`; None for the cluster's default.
    """

    def __init__(self, submitit_folder: str, max_num_timeout: int, setup: Sequence[str], **parameters: Any) -> None:
        self.folder, self.max_num_timeout = submitit_folder, max_num_timeout
        self.parameters = parameters | {"setup": list(setup)}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Raises: InputError if jobs cannot be submitted from this machine."""
        from autoencoder.cli.slurm_jobs import check_can_submit

        check_can_submit()
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the jobs; returns the validation error of each, None for those that have not finished.

        Raises: InputError if SLURM refuses the jobs.
        """
        from autoencoder.cli.slurm_jobs import SlurmTask, run_on_slurm

        task = SlurmTask(self.hydra_context, self.task_function, self.config)
        return run_on_slurm(task, job_overrides, initial_job_idx, self.folder, self.max_num_timeout, self.parameters)
