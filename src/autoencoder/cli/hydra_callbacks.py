"""Hydra callbacks: KeepFinishedRuns prevents overwriting a run, SweepReport reports on a sweep."""

import logging
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from autoencoder.cli.errors import explain
from autoencoder.cli.own_configs import named_in_configs
from autoencoder.cli.resume import find_start, resolved
from autoencoder.cli.sweeps import as_written
from autoencoder.errors import InputError
from autoencoder.packages import is_in
from autoencoder.paths import absolute
from autoencoder.pictures.save_study import save_study, title_of
from autoencoder.runs.folder import RunFolder, note_sweep
from autoencoder.runs.job_values import classes_of_models
from autoencoder.runs.jobs import find_jobs
from autoencoder.runs.processes import is_first_process
from autoencoder.runs.study import study_of
from autoencoder.runs.study_report import best_lines, format_table, logs_of, taken_over


def heard(hook: Callable[..., None]) -> Callable[..., None]:
    """Decorator for a hook whose failure must end the process; Hydra only warns, and exits with 0."""

    @wraps(hook)
    def call(*arguments: Any, **keywords: Any) -> None:
        try:
            hook(*arguments, **keywords)
        except Exception as error:
            line = explain(error) or " ".join(f"{type(error).__name__}: {error}".split())
            raise SystemExit(f"error: {hook.__qualname__} failed, {line}") from error

    return call


def refuse_other_working_folder(config: DictConfig) -> None:
    """Raises: SystemExit with code 1 if Hydra would change the working folder, which changes what paths mean."""
    if config.hydra.job.chdir:
        raise SystemExit("error: hydra.job.chdir=true would change what your paths mean: leave it out")


def leave_log_files() -> None:
    """Stops writing into the last job's log, whose end tells how that job ended."""
    for handler in [one for one in logging.root.handlers if isinstance(one, logging.FileHandler)]:
        logging.root.removeHandler(handler)
        handler.close()


class KeepFinishedRuns(Callback):
    """Ends the process before Hydra writes into a folder that holds another run, finished or running."""

    @heard
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Raises: SystemExit with code 1 and a one-line message."""
        refuse_other_working_folder(config)
        HydraConfig.instance().set_config(config)
        folder = RunFolder(config.hydra.run.dir)
        try:
            if "resume" not in config:  # a command that does not train
                if folder.best.exists() or folder.last.exists():
                    raise InputError(f"{folder.path} is the folder of a run: leave out hydra.run.dir, or name another")
                folder.make()
            elif is_first_process():
                if folder.is_taken():
                    find_start(folder, resolved(config, folder))
                folder.hold()
        except InputError as error:
            raise SystemExit(f"error: {error}") from None
        except OSError as error:
            raise SystemExit(f"error: hydra.run.dir={folder.path} cannot be a run's folder: {error}") from None


class SweepReport(Callback):
    """Ends a sweep with its report, read from the jobs' files, so that it works with any launcher."""

    @heard
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Raises: SystemExit with code 1 for settings that a sweep would silently ignore."""
        refuse_other_working_folder(config)
        overrides = config.hydra.overrides
        several = [word for word in as_written(overrides.task) if word.startswith("sweep=") and "," in word]
        if several:
            raise SystemExit(f"error: {several[0]}: one at a time; a sweep over both writes their keys, -m KEY=A,B …")
        if is_first_process() and any(word.startswith("hydra.run.dir=") for word in as_written(overrides.hydra)):
            raise SystemExit("error: hydra.run.dir is the folder of a single run: with -m it is hydra.sweep.dir")
        note_sweep(config.hydra.sweep.dir)

    @heard
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Raises: SystemExit with code 1 if a job failed or was stopped."""
        if not is_first_process():  # other processes use a temporary folder
            return
        leave_log_files()
        sweep_dir = absolute(config.hydra.sweep.dir)
        jobs = find_jobs(sweep_dir)
        if not jobs:
            raise SystemExit(f"error: no job left anything in {sweep_dir}")
        study = study_of(jobs)
        print("\n".join([format_table(study), *taken_over(jobs), *best_lines(study)]))
        own, allowed = named_in_configs().targets, config.get("allow_targets") or ()
        packages = [name for name in classes_of_models(jobs) if name in own or is_in(name, allowed)]
        save_study(study, sweep_dir, title_of(sweep_dir), allow_packages=packages)
        print(f"files in {os.path.relpath(sweep_dir)}")
        unfinished = [job for job in jobs if job.status != "finished"]
        if unfinished:
            names = ", ".join(f"job {job.name} {job.status}" for job in unfinished)
            logs = logs_of(unfinished)
            raise SystemExit(
                f"error: {len(unfinished)} of {len(jobs)} jobs did not finish ({names})"
                + (f": see {logs[0]}" if logs else "")
            )
