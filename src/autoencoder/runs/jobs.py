"""Finds the runs in folders and sweeps, and reads the settings, metrics and status of each from its files."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]

from autoencoder.errors import InputError
from autoencoder.paths import absolute
from autoencoder.runs.folder import PLAN, SWEEP_CONFIG, RunFolder, counted, flat

Status = Literal["finished", "running", "interrupted", "failed", "waiting"]
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, ten times faster, where it was compiled
NOT_COMPARED = ("resume", "callbacks.pruning")  # given by commands that resume or search, not by the user
LOG_TAIL = 8192  # bytes at the end of a log that are searched for an error


@dataclass(frozen=True)
class Job:
    """A run, or one job of a sweep.

    Attributes:
        name: the path of its folder, relative to the folder that was searched.
        folder: its folder.
        overrides: those that it was started with.
        settings: its settings by full name, `model.latent_dim`; interpolations are not resolved. From the overrides
            alone, if the job has no record of its config.
        metrics: the content of its metrics.json; empty if there is none.
        status: `interrupted` if it was stopped and can be resumed; `waiting` if it is planned and has not begun.
        error: the message of its last error; empty if it did not end in one.
    """

    name: str
    folder: Path
    overrides: list[str]
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]
    status: Status
    error: str

    def value(self, key: str) -> Any:
        """Its value of a setting; of a group, what an override has chosen, or else the class it builds; None if absent.

        An override counts only if the settings have what it gave: a resumed run may have taken it away again.
        """
        if key in self.settings:
            return self.settings[key]
        given = dict(_assignments(self.overrides))
        is_group = "." not in key or any(name.startswith(f"{key}.") for name in self.settings)
        if key in given and is_group:
            return given[key]
        target = self.settings.get(f"{key}._target_")
        return target.rpartition(".")[2] if isinstance(target, str) else None

    @property
    def label(self) -> str:
        """What it is called in a message: its name, and the overrides."""
        return f"{self.name} {' '.join(self.overrides)}".strip()


def find_jobs(folder: str | Path) -> list[Job]:
    """The jobs in a folder: the run itself, or all runs and planned jobs at any depth, in the order of their numbers.

    Raises: InputError if there is no such folder.
    """
    root = absolute(folder)
    if not root.is_dir():
        raise InputError(f"runs={folder}: there is no such folder: name a run's, a sweep's, or one that contains them")
    planned = {root / name: overrides for name, overrides in read_plan(root).items()}
    folders = {root} if _is_job(root) else set(_job_folders(root))
    jobs = [_read_job(path, root, planned.get(path)) for path in folders | planned.keys()]
    return sorted(jobs, key=lambda job: _order(job.name))


def find_runs(folders: Sequence[str | Path]) -> list[Job]:
    """The jobs in several folders, each once; they are named relative to the folder that holds all of these.

    Raises: InputError if a folder does not exist or contains no run, or if there are no folders.
    """
    if not folders:
        raise InputError("runs is an empty list: name the folders of runs or sweeps, runs=[DIR,…]")
    found: dict[Path, Job] = {}
    roots = list(dict.fromkeys(absolute(folder) for folder in folders))
    for folder in roots:
        jobs = find_jobs(folder)
        if not jobs:
            has_begun = "no job of this sweep has begun" if is_sweep(folder) else "no run is in this folder"
            raise InputError(f"runs={folder}: {has_begun}: name a run's, a sweep's, or one that contains them")
        found |= {job.folder: job for job in jobs if job.folder not in found}
    if len(roots) == 1:
        return list(found.values())
    root = os.path.commonpath(roots)
    names = {folder: os.path.relpath(folder, root) for folder in found}
    return [replace(job, name=job.name if names[job.folder] == "." else names[job.folder]) for job in found.values()]


def differing_settings(jobs: Sequence[Job]) -> list[str]:
    """The names of the settings in which jobs differ: those given as overrides first, then others that affect results.

    A group that was chosen by an override, such as `optimizer`, stands for the settings inside it. The seed comes last.
    """
    given = [key for job in jobs for key, _ in _assignments(job.overrides)]
    names = [key for key in dict.fromkeys(given) if not key.startswith(NOT_COMPARED)]
    keys = [key for key in names if _differ(job.value(key) for job in jobs)]
    recorded = [
        counted(job.settings) for job in jobs if "seed" in job.settings and "trainer.max_epochs" in job.settings
    ]
    explained = {key for key in keys if not any(key in settings for settings in recorded)}  # groups
    if not any(key in ("experiment", "sweep", "search") for key in explained):
        keys += [
            key
            for key in dict.fromkeys(key for settings in recorded for key in settings)
            if key not in keys
            and not any(key.startswith(f"{group}.") for group in explained)
            and _differ(settings.get(key) for settings in recorded)
        ]
    return sorted(keys, key=lambda key: key == "seed")


def read_plan(folder: Path) -> dict[str, list[str]]:
    """The overrides of a sweep's jobs, by the names of their folders; empty if there is no plan, or it is broken."""
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}


def is_sweep(folder: Path) -> bool:
    """Whether this is the folder of a sweep, rather than of a run."""
    return (folder / PLAN).is_file() or (folder / SWEEP_CONFIG).is_file()


def read_settings(record: Path) -> dict[str, Any] | None:
    """The settings in a run's record, `.hydra`, by their full names; None if they are missing or broken."""
    config = _read_yaml(record / "config.yaml")
    return dict(flat(config)) if isinstance(config, Mapping) else None


def _read_job(folder: Path, root: Path, planned: Sequence[str] | None) -> Job:
    files = RunFolder(folder)
    recorded = _read_yaml(files.record / "overrides.yaml")
    recorded = [str(one) for one in recorded] if isinstance(recorded, list) else []
    overrides = list(planned or recorded)
    settings = read_settings(files.record)
    is_held = files.is_held()
    error = "" if is_held else _last_error(folder)
    metrics = files.read_metrics() or {}
    return Job(
        name=os.path.relpath(folder, root) if folder != root else folder.name,
        folder=folder,
        overrides=overrides,
        settings=dict(_assignments(overrides)) if settings is None else settings,
        metrics={} if error else metrics,  # those of an earlier attempt
        status="running" if is_held else _status(files, metrics, error, settings is not None, planned is not None),
        error=error,
    )


def _status(files: RunFolder, metrics: Mapping[str, Any], error: str, is_recorded: bool, is_planned: bool) -> Status:
    """The status of a job that is not running."""
    if error:
        return "failed"
    if metrics:
        return "finished" if metrics.get("status", "finished") == "finished" else "interrupted"
    if files.last.is_file() or files.best.is_file():
        return "interrupted"
    has_begun = is_recorded or files.metrics.exists() or any(log.stat().st_size for log in files.path.glob("*.log"))
    return "failed" if has_begun or not is_planned else "waiting"


def _is_job(folder: Path) -> bool:
    """Whether a folder is a run's or a job's: it has a record, metrics or a log, and is not a sweep's."""
    has_files = (folder / ".hydra").is_dir() or (folder / "metrics.json").is_file() or any(folder.glob("*.log"))
    return has_files and not is_sweep(folder)


def _job_folders(root: Path) -> Iterator[Path]:
    """The folders of jobs below `root`, and empty folders; folders inside a job's, and links, are skipped."""
    for path, folders, files in os.walk(root):
        folder = Path(path)
        if folder != root and (_is_job(folder) or not (folders or files)):
            yield folder
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".") and not (folder / name).is_symlink()]


def _last_error(folder: Path) -> str:
    """The message of the error in which the newest log ends, as `one_line_errors` writes it; empty if there is none."""
    logs = sorted(folder.glob("*.log"), key=lambda log: log.stat().st_mtime)
    if not logs:
        return ""
    with logs[-1].open("rb") as file:
        file.seek(max(0, logs[-1].stat().st_size - LOG_TAIL))
        lines = file.read().decode("utf-8", errors="replace").rstrip().splitlines()
    for number in reversed(range(len(lines))):
        found = re.search(r"(?:^|\s)error: (.*)", lines[number])
        if found:
            is_last = number == len(lines) - 1 or lines[number + 1].startswith("Traceback")
            return found[1] if is_last else ""
    return ""


def _assignments(overrides: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """The keys and values that overrides set."""
    for override in overrides:
        key, equals, value = override.partition("=")
        if equals and not key.startswith("~"):
            try:
                yield key.lstrip("+").partition("@")[0], json.loads(value)
            except ValueError:  # not a number, a list of numbers, true, false or null
                yield key.lstrip("+").partition("@")[0], value


def _differ(values: Iterable[Any]) -> bool:
    return len({json.dumps(value, default=str) for value in values}) > 1


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=YAML_LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _order(name: str) -> list[tuple[int, int, str]]:
    """A sort key that compares numbers in paths as numbers: 2 before 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in Path(name).parts]
