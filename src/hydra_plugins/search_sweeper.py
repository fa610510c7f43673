"""Sweeper `search`, which `search=NAME` chooses: Optuna looks for the settings with the lowest validation error.

Hydra imports the modules in this namespace package at the start of every command, so they import nothing else.
"""

from dataclasses import dataclass, field

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class SearchConfig:
    """The settings `hydra.sweeper.…` of `SearchSweeper`."""

    _target_: str = "hydra_plugins.search_sweeper.SearchSweeper"
    params: dict[str, str] = field(default_factory=dict)
    n_trials: int = 20
    seed: int = 0
    prune: bool = True


ConfigStore.instance().store(group="hydra/sweeper", name="search", node=SearchConfig, provider="lightning-autoencoder")


class SearchSweeper(Sweeper):
    """Runs trials, each a job of the sweep, whose settings Optuna chooses after the results of those before.

    Started again, it goes on; started twice, both processes share the trials.

    Args:
        params: keys and the values to search, in the syntax of Hydra's own Optuna sweeper; the command line, in the
            same syntax, takes precedence: `{"optimizer.lr": "tag(log, interval(1e-3, 1e-1))"}`.
        n_trials: number of trials of the whole search, those of earlier starts and failed ones included.
        seed: of the choice of settings, not of the runs.
        prune: whether to stop trials early whose validation error is above the median of the others.
    """

    def __init__(self, params: dict[str, str], n_trials: int, seed: int, prune: bool) -> None:
        self.params, self.n_trials, self.seed, self.prune = params, n_trials, seed, prune

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context: HydraContext = hydra_context
        self.task_function: TaskFunction = task_function
        self.config: DictConfig = config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the missing trials of a command line, and prints the best settings.

        Raises: InputError for settings that cannot be searched, or if no trial finishes.
        """
        from autoencoder.cli.search import run_trials
        from autoencoder.cli.search_report import report_search
        from autoencoder.cli.search_space import read_space
        from autoencoder.cli.search_start import begin_search

        loader = self.hydra_context.config_loader
        space = read_space(loader, dict(self.params), arguments)
        with begin_search(
            loader, self.config, self.task_function, space, n_trials=self.n_trials, seed=self.seed, prune=self.prune
        ) as search:
            run_trials(search, self.launcher)
            report_search(search)
