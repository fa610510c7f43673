"""A study of several runs: its settings, each metric's mean and spread over the seeds, and how settings compare."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from autoencoder.errors import InputError
from autoencoder.metrics import format_value, is_higher_better, metric_of
from autoencoder.runs.job_values import (
    BEST_BY,
    DATASET,
    checkpoint_of,
    datasets_of,
    measured_metrics,
    seed_of,
    text_of,
    value_of,
)
from autoencoder.runs.jobs import Job, differing_settings

MAIN_METRIC = "test/mse"
DATA_KEYS = ("data", "data.dataset", "data.folder", "data.title", "data.class_names")  # say the same


@dataclass(frozen=True)
class Statistic:
    """The values of a metric over the seeds of a setting.

    Attributes: mean; sd, the standard deviation with n - 1, None for a single seed; n, the number of seeds.
    """

    mean: float
    sd: float | None
    n: int

    def text(self, metric: str) -> str:
        """`0.0180 ± 0.0001`, or `0.0180` for a single seed, or if all seeds have this value."""
        return format_value(metric, self.mean) + (f" ± {format_spread(metric, self.sd)}" if self.sd else "")


@dataclass(frozen=True)
class Setting:
    """Jobs that are alike in all settings but the seed, and have the same data set.

    Attributes: values, by name, of the settings in which a study's jobs differ; dataset, empty if unknown; jobs.
    """

    values: Mapping[str, Any]
    dataset: str
    jobs: Sequence[Job]

    @property
    def label(self) -> str:
        """`model.latent_dim=2 optimizer.lr=0.01`."""
        return " ".join(f"{key}={text_of(value)}" for key, value in self.values.items()) or "all settings alike"

    def by_seed(self, metric: str) -> dict[Any, float]:
        """The metric of finished jobs by seed; runs of the same seed count once, with their mean."""
        values: dict[Any, list[float]] = {}
        for job in self.jobs:
            if (value := value_of(job, metric)) is not None:
                seed = seed_of(job)
                values.setdefault(job.name if seed is None else seed, []).append(value)
        return {seed: fmean(several) for seed, several in values.items()}

    def statistic(self, metric: str) -> Statistic | None:
        """The metric over the seeds of finished jobs; None if no job has it."""
        values = list(self.by_seed(metric).values())
        return Statistic(fmean(values), stdev(values) if len(values) > 1 else None, len(values)) if values else None


@dataclass(frozen=True)
class Comparison:
    """A setting against the best of its data set.

    Over the seeds that both have, if these are at least two, `difference` is the mean of the differences and `spread`
    their standard deviation (n - 1). Otherwise `difference` is that of the two means, and
    `spread = sqrt(sd ** 2 + best_sd ** 2)`; None if either has a single seed.

    Attributes: setting, best; difference, positive if the setting has the higher value; spread; shared, how many seeds
        were paired, 0 if none.
    """

    setting: Setting
    best: Setting
    difference: float
    spread: float | None
    shared: int

    @property
    def is_larger(self) -> bool | None:
        """Whether the difference is larger than the spread of seeds; None if that is not known."""
        return None if self.spread is None else abs(self.difference) > self.spread

    def sentence(self, metric: str) -> str:
        """The comparison in words."""
        size = format_value(metric, abs(self.difference))
        start = f"{self.setting.label}: {metric} is {size} {'above' if self.difference > 0 else 'below'} the best"
        if self.spread is None:
            return f"{start}; the spread of seeds is not known: run both with several seeds"
        verdict = "larger than the spread of seeds" if self.is_larger else "within the spread of seeds"
        how = f"paired, {self.shared} seeds" if self.shared else "not paired"
        return f"{start}, {verdict} ({format_spread(metric, self.spread)}, {how})"


@dataclass(frozen=True)
class Study:
    """Jobs, and their settings ranked by a metric.

    Attributes: jobs; metric, its key in metrics.json; keys, the settings in which jobs differ, without the seed; with
        several data sets, `dataset` is the first; settings, by data set, best first, those without a value last.
    """

    jobs: Sequence[Job]
    metric: str
    keys: Sequence[str]
    settings: Sequence[Setting]

    @property
    def sign(self) -> int:
        """1 if lower values of the metric are better, -1 if higher ones are."""
        return -1 if is_higher_better(self.metric) else 1

    @cached_property
    def datasets(self) -> list[str]:
        """The data sets that the jobs were measured on."""
        return datasets_of(self.jobs)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Each setting against the best of its data set, in the order of the settings."""
        found = []
        for dataset in dict.fromkeys(setting.dataset for setting in self.settings):
            alike = [one for one in self.settings if one.dataset == dataset and one.statistic(self.metric)]
            found += [compare(setting, alike[0], self.metric) for setting in alike[1:]]
        return found

    @cached_property
    def best(self) -> list[Setting]:
        """The setting with the lowest mean `val/mse` of each data set; empty for a single setting."""
        best: dict[str, tuple[float, Setting]] = {}
        for setting in self.settings if len(self.settings) > 1 else ():
            value = setting.statistic(BEST_BY)
            if value and (setting.dataset not in best or value.mean < best[setting.dataset][0]):
                best[setting.dataset] = (value.mean, setting)
        return [setting for _, setting in best.values()]

    @cached_property
    def comparable(self) -> list[Job]:
        """The finished jobs that have the metric and a checkpoint, best first."""
        ranked = [job for job in self.jobs if value_of(job, self.metric) is not None]
        ranked.sort(key=lambda job: self.sign * job.metrics[self.metric])
        return [job for job in ranked if (path := checkpoint_of(job)) and Path(path).is_file()]

    @cached_property
    def metrics(self) -> list[str]:
        """The keys of all metrics that finished jobs have, see `measured_metrics`."""
        return measured_metrics(self.jobs)


def study_of(jobs: Sequence[Job], metric: str | None = None) -> Study:
    """Groups jobs into settings and ranks these by a metric.

    Args: metric, a number in metrics.json; None for `test/mse`, or if no job has it, the first that one has.
    Raises: InputError if finished jobs have metrics, but not this one.
    """
    measured = measured_metrics(jobs)
    numbers = {key for job in jobs for key in job.metrics if value_of(job, key) is not None}
    if metric is None:
        metric = MAIN_METRIC if MAIN_METRIC in numbers or not measured else measured[0]
    elif numbers and metric not in numbers:
        raise InputError(f"metric={metric}: no finished run has it; they have {', '.join(measured) or 'none'}")
    keys = [key for key in differing_settings(jobs) if key != "seed"]
    datasets = datasets_of(jobs)
    several = len(datasets) > 1
    if several:
        keys = [DATASET, *(key for key in keys if not _says_dataset(key, jobs))]
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        dataset = _dataset_of(job, datasets) if several else ""
        values = {key: dataset if key == DATASET and several else job.value(key) for key in keys}
        groups.setdefault(json.dumps([dataset, values], default=str), []).append(job)
    settings = [Setting(json.loads(group)[1], json.loads(group)[0], alike) for group, alike in groups.items()]
    sign = -1 if is_higher_better(metric) else 1

    def rank(setting: Setting) -> tuple[bool, str, bool, float]:
        value = setting.statistic(metric)
        return not setting.dataset, setting.dataset, value is None, sign * value.mean if value else 0.0

    return Study(jobs, metric, keys, sorted(settings, key=rank))


def compare(setting: Setting, best: Setting, metric: str) -> Comparison:
    """Compares two settings that both have the metric; `Comparison` states the formula."""
    own, others = setting.by_seed(metric), best.by_seed(metric)
    pairs = [own[seed] - others[seed] for seed in own if seed in others]
    if len(pairs) > 1:
        return Comparison(setting, best, fmean(pairs), stdev(pairs), len(pairs))
    spread = sqrt(stdev(own.values()) ** 2 + stdev(others.values()) ** 2) if min(len(own), len(others)) > 1 else None
    return Comparison(setting, best, fmean(own.values()) - fmean(others.values()), spread, 0)


def format_spread(metric: str, sd: float) -> str:
    """A standard deviation with the metric's digits; with two digits for what is not in `METRICS`, such as seconds."""
    return format_value(metric, sd) if metric_of(metric) else f"{sd:.2g}"


def _dataset_of(job: Job, datasets: Sequence[str]) -> str:
    """The data set that a job was measured on, or else the one it asks for; empty if that is none of `datasets`."""
    named = str(job.metrics.get(DATASET) or job.value("data.dataset"))
    return named if named in datasets else ""


def _says_dataset(key: str, jobs: Iterable[Job]) -> bool:
    """Whether a setting of the data has one value for each data set."""
    values: dict[str, set[str]] = {}
    for job in jobs:
        if job.metrics.get(DATASET):
            values.setdefault(str(job.metrics[DATASET]), set()).add(text_of(job.value(key)))
    return key in DATA_KEYS and all(len(several) == 1 for several in values.values())
