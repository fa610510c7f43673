"""Turns a typed function into a command, `python src/NAME.py KEY=VALUE…`: the skeleton of every script."""

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
from autoencoder.cli.process import short_process
from autoencoder.runs.processes import folder_overrides


class Command:
    """A function whose arguments are the settings of the config of the same name in `configs/`.

    Called, it composes that config from the command line, checks it against the function's signature and those of the
    parts in it, and passes it on; with `-m`, once a job. `main` is a whole process of it, for a script's last line.

    Args:
        function: with typed arguments, in a script of `src/`; it imports torch itself, so that a mistake is answered
            before that.
        expand: makes the words of the command line from those that were given.
        start: from the config and its plain values to a context whose value is the function's argument `start`.
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
        compose = hydra.main(version_base="1.3", config_path=str(root / "configs"), config_name=function.__name__)
        self.compose = compose(self.run_job)

    def main(self) -> None:
        """Ends the process; mistakes of the user are one line."""
        with short_process(), one_line_errors():
            sys.argv[1:1] = folder_overrides()
            self()

    def __call__(self) -> None:
        """Runs the command of `sys.argv`."""
        before = sys.argv
        sys.argv = [before[0], *self.expand(before[1:])]
        try:
            self.compose()
        finally:
            sys.argv = before

    def run_job(self, config: DictConfig) -> Any:
        """One run, or one job of a sweep; returns what the function does, which a sweeper may minimise."""
        result = None  # of a job that ends in an error
        with one_line_errors(keep_going=in_sweep()), removed_if_refused(HydraConfig.get().runtime.output_dir):
            from autoencoder.cli.config_check import check_config

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
    """A decorator that makes a `Command`; arguments as there."""
    return lambda function: Command(function, expand, start)


def in_sweep() -> bool:
    """Whether this is a job of a sweep, started with `-m`."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)
