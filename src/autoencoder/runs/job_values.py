"""What reports read from jobs: their metrics, seeds, checkpoints and data sets, and which of them is the best."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any, get_args

from autoencoder.metrics import METRICS
from autoencoder.runs.folder import RunFolder
from autoencoder.runs.jobs import Job, Status

BEST_BY = "val/mse"  # the test set is never used for selection
DATASET = "dataset"  # the key in metrics.json


def best_jobs(jobs: Sequence[Job]) -> list[Job]:
    """The finished job with the lowest validation error of each data set; empty for a single job."""
    best: dict[Any, Job] = {}
    for job in jobs if len(jobs) > 1 else ():
        dataset = job.metrics.get(DATASET)
        if value_of(job, BEST_BY) is not None:
            best[dataset] = min(best.get(dataset, job), job, key=lambda one: one.metrics[BEST_BY])
    return list(best.values())


def classes_of_models(jobs: Iterable[Job]) -> set[str]:
    """The import paths of all classes that the jobs' models are made of, as their records name them."""
    settings = (setting for job in jobs for setting in job.settings.items())
    targets = [value for key, value in settings if key.startswith("model.") and key.endswith("_target_")]
    return {target for target in targets if isinstance(target, str)}


def value_of(job: Job, metric: str) -> float | None:
    """A metric of a finished job; None if it is missing or not a finite number, or the job has not finished."""
    value = job.metrics.get(metric) if job.status == "finished" else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) else None


def seed_of(job: Job) -> Any:
    """A job's seed; None if it has none."""
    seed = job.metrics.get("seed")
    return job.value("seed") if seed is None else seed


def checkpoint_of(job: Job) -> str | None:
    """The checkpoint that a job's metrics are of: the one it measured, or its own best.ckpt; None if it has none."""
    named = job.metrics.get("ckpt_path")
    best = RunFolder(job.folder).best
    return str(named) if named else str(best) if best.is_file() else None


def datasets_of(jobs: Iterable[Job]) -> list[str]:
    """The names of the data sets that jobs were measured on."""
    return sorted({str(job.metrics[DATASET]) for job in jobs if job.metrics.get(DATASET)})


def measured_metrics(jobs: Iterable[Job]) -> list[str]:
    """The keys of the metrics that finished jobs have a number for, `val/mse` first, those of single classes last."""
    keys = dict.fromkeys(key for job in jobs for key in job.metrics if "/" in key and value_of(job, key) is not None)
    order = [f"{prefix}{name}" for prefix in ("val/", "train/", "test/", "pca/test_") for name in METRICS]
    return sorted(keys, key=lambda key: order.index(key) if key in order else len(order))


def count_statuses(jobs: Sequence[Job]) -> str:
    """`7 finished, 1 running, 1 failed, 3 waiting`."""
    counts = Counter(job.status for job in jobs)
    return ", ".join(f"{counts[status]} {status}" for status in get_args(Status) if counts[status])


def text_of(value: Any) -> str:
    """A setting's value as it is written in an override."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
