"""Folders as runs leave them, made without training: for tests and timings of reports."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from autoencoder.runs.folder import write_metrics


def make_run(
    folder: Path,
    settings: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
    said: str = "done",
    seed: int | None = 0,
) -> None:
    """A run's record, log and metrics.

    Args: settings, those that an override has set, by full name; metrics, None if it left none; said, the last line of
        its log; seed, None for a command that has none.
    """
    (folder / ".hydra").mkdir(parents=True)
    config: dict[str, Any] = {} if seed is None else {"seed": seed, "trainer": {"max_epochs": 2}}
    for key, value in settings.items():
        *groups, name = key.split(".")
        node = config
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = value
    words = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items()]
    words += [] if seed is None else [f"seed={seed}"]
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words), encoding="utf-8")
    (folder / "train.log").write_text(f"{said}\n", encoding="utf-8")
    if metrics is not None:
        own = {} if seed is None else {"seed": seed}
        write_metrics({"status": "finished", "dataset": "mnist", **own, **metrics}, folder / "metrics.json")


def make_sweep(folder: Path, *jobs: tuple[Mapping[str, Any], int, float | None]) -> Path:
    """A sweep's folder with one job for each (settings, seed, test/mse); it has failed if that is None."""
    folder.mkdir(parents=True)
    (folder / "multirun.yaml").touch()
    for number, (settings, seed, mse) in enumerate(jobs):
        metrics = None if mse is None else {"val/mse": mse * 1.1, "test/mse": mse, "pca/test_mse": 0.5, "epochs": 2}
        said = "error: training diverged: the loss is NaN" if mse is None else "done"
        make_run(folder / str(number), settings, metrics, said, seed)
    return folder
