"""Sweeper `grid`, the default with -m: every combination of the swept values, each known by its settings.

Hydra imports the modules in this namespace package at the start of every command, so they import nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class GridConfig:
    """The settings `hydra.sweeper.…` of `GridSweeper`."""

    _target_: str = "hydra_plugins.grid_sweeper.GridSweeper"
    params: dict[str, str] = field(default_factory=dict)
    max_batch_size: int | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConfig, provider="lightning-autoencoder")


class GridSweeper(Sweeper):
    """Runs every combination of the swept values that has not finished yet in the sweep's folder.

    It differs from Hydra's own sweeper in this: a job is known by its settings. Started again in the same folder, also
    with more values, the sweep resumes the jobs that were stopped, leaves alone those that have finished, and numbers
    new jobs after the old ones.

    Args:
        params: keys and their values, as on the command line, which takes precedence: `{"seed": "0,1,2"}`.
        max_batch_size: number of jobs handed to the launcher at once, None for all; for SLURM's limit on job arrays.
    """

    def __init__(self, params: dict[str, str], max_batch_size: int | None) -> None:
        self.params, self.max_batch_size = params, max_batch_size

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context: HydraContext = hydra_context
        self.config: DictConfig = config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Runs the jobs of a command line; returns what the launcher returned for each batch.

        Raises: InputError for a sweep without jobs, or for a folder that holds a sweep with other settings.
        """
        from autoencoder.cli.sweeps import begin_sweep

        loader = self.hydra_context.config_loader
        given = [f"{key}={values}" for key, values in self.params.items()] + arguments
        jobs = combinations(OverridesParser.create(config_loader=loader).parse_overrides(given))
        with begin_sweep(loader, self.config, jobs) as missing:
            size = self.max_batch_size or len(missing)
            return [
                self.launcher.launch(missing[start : start + size], initial_job_idx=start)
                for start in range(0, len(missing), size or 1)
            ]


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of each job: all combinations of the swept values, in the order of the command line.

    Raises: InputError for a key without values, or with a range that only a search can sample.
    """
    from autoencoder.errors import InputError

    choices: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            values = [override.get_value_element_as_str()] if override.value_type is not None else None
            choices[key] = [key] if values is None else [f"{key}={value}" for value in values]
        elif key == "search":
            raise InputError(f"{override.input_line}: one search at a time")
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise InputError(
                f"{override.input_line}: an interval can only be searched: use search=NAME, or list values"
            )
        if not choices[key]:
            raise InputError(f"{override.input_line} has no value, so the sweep has no job: give it at least one")
    return [list(job) for job in product(*choices.values())]
