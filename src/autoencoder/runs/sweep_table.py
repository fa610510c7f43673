"""Reads a sweep's jobs from their files, and formats the table of them."""

import os
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]

from autoencoder.metrics import METRICS
from autoencoder.runs.folder import RunFolder

BEST_BY = "val/mse"
# Columns that no job has are left out.
COLUMNS = (BEST_BY, "test/mse", "pca/test_mse", *(f"test/{name}" for name in METRICS if name != "mse"), "fit_seconds")


class Job(NamedTuple):
    """One job of a sweep.

    Attributes:
        name: the path of its folder, relative to the sweep's.
        overrides: those that it was started with.
        metrics: the content of its metrics.json; None if there is none, or if the job ended in an error.
        folder: the path of its folder.
    """

    name: str
    overrides: list[str]
    metrics: Mapping[str, Any] | None
    folder: Path

    @property
    def status(self) -> str:
        """`finished`, `unfinished` if it was stopped and can be resumed, or `failed`."""
        if self.metrics is None:
            return "failed"
        return "finished" if self.metrics.get("status", "finished") == "finished" else "unfinished"


def find_jobs(sweep_dir: Path, started: Mapping[Path, Sequence[str]], record: str | None = ".hydra") -> list[Job]:
    """The jobs in a sweep's folder, at any depth, in the order of their numbers.

    Args:
        sweep_dir: the sweep's folder.
        started: folders and overrides of the jobs that this process has run; others are found by their files.
        record: name of the folder with a job's overrides, None if there is none.
    """
    folders = set(started) | _folders_with_files(sweep_dir, record)
    jobs = []
    for folder in sorted(folders, key=lambda folder: _order(os.path.relpath(folder, sweep_dir))):
        overrides = started.get(folder) or _read_overrides(folder / record if record else None)
        metrics = None if _ended_in_error(folder) else RunFolder(folder).read_metrics()  # outdated if in error
        jobs.append(Job(os.path.relpath(folder, sweep_dir), list(overrides), metrics, folder))
    return jobs


def best_job(jobs: Sequence[Job]) -> Job | None:
    """The finished job with the lowest validation error; None for a single job, or if no job has one."""
    measured = [job for job in jobs if job.status == "finished" and _is_number((job.metrics or {}).get(BEST_BY))]
    return min(measured, key=lambda job: (job.metrics or {})[BEST_BY]) if measured and len(jobs) > 1 else None


def format_table(jobs: Sequence[Job]) -> str:
    """One line per job: its name, the overrides that not all jobs share, its metrics, and a mark for the best job."""
    best = best_job(jobs)
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    measured = {name for job in jobs for name, value in (job.metrics or {}).items() if _is_number(value)}
    columns = [name for name in COLUMNS if name in measured]
    rows = [["job", "", *columns, ""]]
    for job in jobs:
        cells = [_cell((job.metrics or {}).get(name)) for name in columns]
        note = "" if job.status == "finished" else job.status
        if note:
            cells = [note, *cells[1:]] if job.metrics is None and cells else cells
            note = "" if note in cells else note
        mark = "* best by val/mse" if job is best else note
        rows.append([job.name, " ".join(one for one in job.overrides if one not in shared), *cells, mark])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    text = (0, 1, len(rows[0]) - 1)  # columns that are not numbers
    lines = (
        [
            f"{cell:<{width}}" if column in text else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)


def checkpoint_of(job: Job) -> str | None:
    """The checkpoint that a job's metrics are of: the one it measured, or its own best.ckpt; None if it has none."""
    named = (job.metrics or {}).get("ckpt_path")
    best = RunFolder(job.folder).best
    return str(named) if named else str(best) if best.is_file() else None


def logs_of(jobs: Sequence[Job]) -> list[str]:
    """The log files of these jobs, as paths relative to the working directory."""
    return [os.path.relpath(log) for job in jobs for log in sorted(job.folder.glob("*.log"))]


def _folders_with_files(sweep_dir: Path, record: str | None) -> set[Path]:
    """Folders that hold a job's record, log or metrics, or are still empty; folders inside a job's are skipped."""
    found = set()
    for path, folders, files in os.walk(sweep_dir):
        folder = Path(path)
        if folder == sweep_dir:
            continue
        is_job = record in folders or "metrics.json" in files or any(name.endswith(".log") for name in files)
        if is_job or not (folders or files):
            found.add(folder)
            folders.clear()
    return found


def _read_overrides(record: Path | None) -> list[str]:
    try:
        text = (record / "overrides.yaml").read_text(encoding="utf-8") if record else ""
    except OSError:
        return []
    return [str(override) for override in yaml.safe_load(text) or []]


def _ended_in_error(folder: Path) -> bool:
    """Whether the newest log ends with an error, as written by `one_line_errors`."""
    logs = sorted(folder.glob("*.log"), key=lambda log: log.stat().st_mtime)
    lines = logs[-1].read_text(encoding="utf-8", errors="replace").rstrip().splitlines() if logs else []
    return bool(lines) and re.search(r"(^|\s)error: ", lines[-1]) is not None


def _order(name: str) -> list[tuple[int, int, str]]:
    """A sort key that compares numbers in paths as numbers: 2 before 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in Path(name).parts]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if _is_number(value) else ""
