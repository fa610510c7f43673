"""What Hydra calls before a run and after a sweep: no run is written over, and a sweep ends with a table."""

import json
import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from autoencoder.errors import InputError
from autoencoder.resume import find_start, resolved
from autoencoder.runs import RunFolder, is_first_process

FIGURES = ("test/mse", "pca/test_mse", "test/sse", "test/psnr", "fit_seconds")


class KeepFinishedRuns(Callback):
    """Ends the process before Hydra writes into a folder that holds another run, or in which one is at work."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Raises: SystemExit with code 1 and one line."""
        HydraConfig.instance().set_config(config)
        folder = RunFolder(config.hydra.run.dir)
        try:
            if "resume" not in config:  # a command that trains nothing
                folder.make()
            elif is_first_process():
                if folder.is_taken():
                    find_start(folder, resolved(config, folder))
                folder.hold()
        except InputError as error:
            raise SystemExit(f"error: {error}") from None
        except OSError as error:
            raise SystemExit(f"error: hydra.run.dir={folder.path} cannot be a run's folder: {error}") from None


class SweepTable(Callback):
    """Prints a row for each job of a sweep, from the files in its folder, whichever process ran it."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Raises: SystemExit with code 1 if a job left no metrics.json."""
        sweep_dir = Path(config.hydra.sweep.dir)
        jobs = {folder.name: read_job(folder) for folder in job_folders(sweep_dir)}
        print(format_table(jobs))
        print(f"files in {os.path.relpath(sweep_dir)}")
        failed = [name for name, (_, metrics) in jobs.items() if metrics is None]
        if failed:
            raise SystemExit(
                f"error: {len(failed)} of {len(jobs)} jobs failed ({', '.join(failed)}): see JOB/train.log"
            )


def job_folders(sweep_dir: Path) -> list[Path]:
    """The folders of a sweep's jobs, in the order of their numbers."""
    folders = [folder.parent for folder in sweep_dir.glob("*/.hydra")]
    return sorted(folders, key=lambda folder: (len(folder.name), folder.name))


def read_job(folder: Path) -> tuple[list[str], dict[str, Any] | None]:
    """A job's overrides, and its metrics or None if it did not finish."""
    overrides = [str(override) for override in OmegaConf.load(folder / ".hydra" / "overrides.yaml")]
    path = folder / "metrics.json"
    return overrides, json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def format_table(jobs: dict[str, tuple[list[str], dict[str, Any] | None]]) -> str:
    """A line for each job: its number, the overrides that not all jobs share, and its figures."""
    shared = set.intersection(*(set(overrides) for overrides, _ in jobs.values())) if len(jobs) > 1 else set()
    rows = [["job", "", *FIGURES]]
    for name, (overrides, metrics) in jobs.items():
        figures = (
            [f"{metrics[figure]:.4g}" for figure in FIGURES] if metrics else ["failed"] + [""] * (len(FIGURES) - 1)
        )
        rows.append([name, " ".join(override for override in overrides if override not in shared), *figures])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        [
            f"{cell:<{width}}" if column < 2 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)
