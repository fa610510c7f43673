"""The logs of a resumed run: truncates them to the time of the checkpoint, then appends to them."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from autoencoder.paths import absolute
from autoencoder.runs.folder import EVENTS, ROWS, write_whole
from autoencoder.runs.processes import is_first_process

RUN_ARGUMENTS: dict[str, Callable[[str], dict[str, str]]] = {  # of loggers that store runs elsewhere
    "WandbLogger": lambda run: {"id": run, "resume": "allow"},
    "MLFlowLogger": lambda run: {"run_id": run},
}


def log_lengths(trainer: Trainer) -> dict[str, int]:
    """The lengths of the loggers' files in the run's folder, by relative path: events in bytes, CSV files in rows."""
    if not trainer.is_global_zero:
        return {}
    for logger in trainer.loggers:
        logger.save()  # writes what is still in memory
    files = _log_files(trainer.loggers, Path(trainer.default_root_dir))
    return {name: len(_read_rows(path)) - 1 if path.name == ROWS else path.stat().st_size for name, path in files}


def cut_logs(loggers: Iterable[Logger], folder: Path, lengths: Mapping[str, int]) -> None:
    """Truncates the loggers' files in `folder` to `lengths`, and deletes files that are not in `lengths`."""
    for name, path in list(_log_files(loggers, folder)):
        length = lengths.get(name, 0)
        if length == 0:
            path.unlink()
        elif path.name != ROWS:
            os.truncate(path, min(length, path.stat().st_size))
        else:
            kept = StringIO(newline="")
            csv.writer(kept).writerows(_read_rows(path)[: length + 1])  # the header, too
            write_whole(path, kept.getvalue())


def logger_runs(trainer: Trainer) -> dict[str, str]:
    """The run's ids in loggers that store runs elsewhere, by the logger's class."""
    kept = {type(logger).__name__: logger.version for logger in trainer.loggers}
    return {name: str(version) for name, version in kept.items() if name in RUN_ARGUMENTS and version}


def going_on(loggers: Mapping[str, Any], runs: Mapping[str, str]) -> dict[str, Any]:
    """The configs of `loggers`, changed so that each continues its own run among `runs`, see `logger_runs`."""
    changed = {}
    for name, part in loggers.items():
        kind = str((part or {}).get("_target_", "")).rpartition(".")[2]
        changed[name] = part | RUN_ARGUMENTS[kind](runs[kind]) if kind in RUN_ARGUMENTS and kind in runs else part
    return changed


def _log_files(loggers: Iterable[Logger], folder: Path) -> Iterator[tuple[str, Path]]:
    """The relative and full paths of the files of all loggers that write into `folder`."""
    for logger in loggers:
        log_dir = absolute(logger.log_dir or "")
        if log_dir.is_relative_to(folder):
            for path in sorted([*log_dir.glob(EVENTS), *log_dir.glob(ROWS)]):
                yield path.relative_to(folder).as_posix(), path


class Rows(CSVLogger):
    """CSVLogger that keeps the rows logged before a run was resumed; Lightning's deletes them."""

    @property
    def experiment(self) -> Any:
        """The writer, created on first use."""
        if self._experiment is None and is_first_process():
            self._experiment = AppendingWriter(self.log_dir)
        return super().experiment


class AppendingWriter(ExperimentWriter):
    """Appends to an existing file of rows."""

    def _check_log_dir_exists(self) -> None:
        """Reads the file's columns. The method overridden here deletes the file, and there is no public alternative."""
        path = Path(self.metrics_file_path)
        if path.is_file():
            self.metrics_keys = _read_rows(path)[0]


def _read_rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))
