"""Turns a typed function into a command, `python src/NAME.py KEY=VALUE…`; every script uses it."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import update_wrapper
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from autoencoder.cli.errors import one_line_errors, removed_if_refused
from autoencoder.cli.hydra_parts import check_hydra_parts
from autoencoder.cli.own_configs import guard_environment
from autoencoder.cli.process import options_first, short_process
from autoencoder.paths import expand_homes
from autoencoder.runs.processes import end_with_sweep, folder_overrides


class Command:
    """A function whose arguments are the settings of the config of the same name in `configs/`.

    Calling it composes that config from the command line, checks it against the signatures of the function and of all
    parts, and calls the function with it; with `-m`, once per job. Scripts call `main`, which also ends the process.

    Args:
        function: has typed arguments and is in a script of `src/`; it imports torch in its body, so that mistakes are
            reported before that.
        expand: changes the words of the command line.
        start: makes, from the config and its plain values, a context manager for the function's argument `start`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        expand: Callable[[Sequence[str]], list[str]] = list,
        start: Callable[[DictConfig, dict[str, Any]], AbstractContextManager[Any]] | None = None,
    ) -> None:
        update_wrapper(self, function)
        self.function, self.expand, self.start = function, expand, start
        root = Path(function.__code__.co_filename).resolve().parents[1]
        os.environ.setdefault("PROJECT_ROOT", str(root))
        self.configs = root / "configs"
        compose = hydra.main(version_base="1.3", config_path=str(self.configs), config_name=function.__name__)
        self.compose = compose(self.run_job)

    def main(self) -> None:
        """Runs the command and ends the process; reports the user's mistakes in one line."""
        with short_process():
            sys.argv[1:] = expand_homes(options_first(sys.argv[1:]))
            with one_line_errors():
                end_with_sweep()
                sys.argv[1:] = options_first([*folder_overrides(), *sys.argv[1:]])
                self()

    def __call__(self) -> None:
        """Runs the command in `sys.argv`."""
        before = sys.argv
        sys.argv = [before[0], *self.expand(before[1:])]
        try:
            guard_environment()
            check_hydra_parts(self.configs, self.function.__name__, sys.argv[1:])
            self.compose()
        finally:
            sys.argv = before

    def run_job(self, config: DictConfig) -> Any:
        """Does one run, or one job of a sweep; returns the function's result, for a sweeper to minimise."""
        result = None  # if a job ends in an error
        with one_line_errors(keep_going=in_sweep()), removed_if_refused(HydraConfig.get().runtime.output_dir):
            from autoencoder.cli.config_check import check_config

            guard_environment()  # a job on a cluster is a process of its own
            settings: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
            with self.start(config, settings) if self.start else nullcontext() as start:
                given = {} if self.start is None else {"start": start}
                check_config(settings, self.function, given)
                result = self.function(**settings, **given)
        return result


def command(
    expand: Callable[[Sequence[str]], list[str]] = list,
    start: Callable[[DictConfig, dict[str, Any]], AbstractContextManager[Any]] | None = None,
) -> Callable[[Callable[..., Any]], Command]:
    """Decorator that makes a `Command`, with the same arguments."""
    return lambda function: Command(function, expand, start)


def in_sweep() -> bool:
    """Whether this is a job of a sweep, which was started with `-m`."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)
