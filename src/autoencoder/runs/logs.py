"""The logs of a run that is gone on with: cut back to where its checkpoint was taken, then added to."""

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

RUN_ARGUMENTS: dict[str, Callable[[str], dict[str, str]]] = {  # of loggers that keep their runs elsewhere
    "WandbLogger": lambda run: {"id": run, "resume": "allow"},
    "MLFlowLogger": lambda run: {"run_id": run},
}


def log_lengths(trainer: Trainer) -> dict[str, int]:
    """The lengths of the loggers' files in the run's folder, by relative path: events in bytes, CSV files in rows."""
    if not trainer.is_global_zero:
        return {}
    for logger in trainer.loggers:
        logger.save()  # what is still in memory
    files = _log_files(trainer.loggers, Path(trainer.default_root_dir))
    return {name: len(_read_rows(path)) - 1 if path.name == ROWS else path.stat().st_size for name, path in files}


def cut_logs(loggers: Iterable[Logger], folder: Path, lengths: Mapping[str, int]) -> None:
    """Takes from the loggers' files in `folder` what came after `lengths` were noted; files that came after go."""
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
    """The names under which loggers keep this run outside its folder, by the logger's class."""
    kept = {type(logger).__name__: logger.version for logger in trainer.loggers}
    return {name: str(version) for name, version in kept.items() if name in RUN_ARGUMENTS and version}


def going_on(loggers: Mapping[str, Any], runs: Mapping[str, str]) -> dict[str, Any]:
    """The configs of loggers, by any name, so that each goes on with its own run among `logger_runs`."""
    changed = {}
    for name, part in loggers.items():
        kind = str((part or {}).get("_target_", "")).rpartition(".")[2]
        changed[name] = part | RUN_ARGUMENTS[kind](runs[kind]) if kind in RUN_ARGUMENTS and kind in runs else part
    return changed


def _log_files(loggers: Iterable[Logger], folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of the loggers that write into `folder`, with their paths from there."""
    for logger in loggers:
        log_dir = absolute(logger.log_dir or "")
        if log_dir.is_relative_to(folder):
            for path in sorted([*log_dir.glob(EVENTS), *log_dir.glob(ROWS)]):
                yield path.relative_to(folder).as_posix(), path


class Rows(CSVLogger):
    """Lightning's CSVLogger, but rows that a former part of the run has logged are kept; it deletes them."""

    @property
    def experiment(self) -> Any:
        """The writer, made when first used."""
        if self._experiment is None and is_first_process():
            self._experiment = AppendingWriter(self.log_dir)
        return super().experiment


class AppendingWriter(ExperimentWriter):
    """Goes on with a file of rows that is there already."""

    def _check_log_dir_exists(self) -> None:
        """Takes over the file's columns; the method that this replaces deletes the file, and there is no public way."""
        path = Path(self.metrics_file_path)
        if path.is_file():
            self.metrics_keys = _read_rows(path)[0]


def _read_rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))
