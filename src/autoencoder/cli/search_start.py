"""Starts a search or joins it: checks its settings, and that they are those of the trials before."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from autoencoder.cli.config_check import check_config
from autoencoder.cli.search import Search, lock_file
from autoencoder.cli.search_space import Space
from autoencoder.cli.sweeps import compose_job, differing, settings_of
from autoencoder.errors import InputError
from autoencoder.paths import absolute, shown
from autoencoder.runs.folder import ABSENT, SWEEP_CONFIG, counted, write_whole
from autoencoder.runs.jobs import find_jobs
from autoencoder.runs.trials import JOURNAL, SearchStudy

SETTINGS = "settings"  # attribute of the study: those that all trials share


@contextmanager
def begin_search(
    loader: ConfigLoader,
    config: DictConfig,
    task: Callable[..., Any],
    space: Space,
    n_trials: int,
    seed: int,
    prune: bool,
) -> Iterator[Search]:
    """Joins the search in the sweep's folder, or starts it.

    Args: config, of the sweep; task, the function that Hydra calls for a job; others as of `SearchSweeper`.
    Raises: InputError for settings that a job would refuse, or if the folder holds something else.
    """
    from filelock import FileLock

    if n_trials < 1:
        raise InputError(f"hydra.sweeper.n_trials must be at least 1, got {n_trials}")
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise InputError("each process of torchrun would start the search: start it with python, as trainer=ddp may be")
    folder = absolute(str(config.hydra.sweep.dir))
    settings = check_settings(loader, config, task, space)
    if folder.is_dir() and not (folder / JOURNAL).is_file() and find_jobs(folder):
        raise InputError(f"{shown(folder)} holds runs, but no search: use another folder, hydra.sweep.dir=FOLDER")
    folder.mkdir(parents=True, exist_ok=True)
    worker = uuid4().hex
    with FileLock(lock_file(folder, "search")) as lock:
        study = SearchStudy(folder)
        check_same_search(study, settings, space, folder)
        write_whole(folder / SWEEP_CONFIG, OmegaConf.to_yaml(config))
    with FileLock(lock_file(folder, worker)):
        try:
            yield Search(folder, study, space, n_trials, seed, prune, worker, lock)
        finally:
            lock_file(folder, worker).unlink(missing_ok=True)


def check_settings(loader: ConfigLoader, config: DictConfig, task: Callable[..., Any], space: Space) -> dict[str, Any]:
    """Checks a few trials as their jobs would; returns the settings that all share and that affect their results.

    Raises: InputError, or Hydra's errors, for settings that a job would refuse.
    """
    before = HydraConfig.instance().cfg
    shared: dict[str, Any] = {}
    try:
        for number, example in enumerate(space.examples()):
            composed = compose_job(loader, config, example, number)
            with open_dict(composed):
                composed.hydra.runtime.output_dir = str(config.hydra.sweep.dir)
            HydraConfig.instance().set_config(composed)
            own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
            resolved: Any = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
            check_config(resolved, getattr(task, "__self__").function, {"start"})  # noqa: B009
            for group, key in (("data", "val_size"), ("trainer", "limit_val_batches")):
                if resolved[group].get(key, 1) == 0:
                    raise InputError(f"{group}.{key}=0 leaves no validation images, and a search minimises val/mse")
            shared = shared or counted(settings_of(composed))
    finally:
        HydraConfig.instance().cfg = before
    searched = tuple(key.lstrip("+").partition("@")[0] for key in space.ranges)
    own_keys = [
        key for key in shared if key not in searched and not key.startswith(tuple(f"{key}." for key in searched))
    ]
    return {key: shared[key] for key in own_keys}


def check_same_search(study: SearchStudy, settings: Mapping[str, Any], space: Space, folder: Path) -> None:
    """Records what the trials of a study share, or compares it with the record.

    Raises: InputError for a study with other settings, whose results cannot be compared, or with other choices.
    """
    from optuna.distributions import check_distribution_compatibility

    remedy = "use another folder, hydra.sweep.dir=FOLDER"
    now = json.loads(json.dumps(settings, default=str))
    before = study.optuna.user_attrs.get(SETTINGS)
    if before is None:
        study.optuna.set_user_attr(SETTINGS, now)
    elif before != now:
        key = differing([before, now])[0]
        raise InputError(
            f"{shown(folder)} holds a search with other settings, {key} was {before.get(key, ABSENT)} and is "
            f"{now.get(key, ABSENT)} now: {remedy}"
        )
    for trial in study.trials():
        for key, values in trial.distributions.items():
            try:
                check_distribution_compatibility(values, space.ranges[key])
            except (ValueError, KeyError):
                raise InputError(f"{shown(folder)} holds a search with other values of {key}: {remedy}") from None
