"""A run's folder: its files, who writes into it, and what its settings mean for a second start there."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autoencoder.errors import InputError
from autoencoder.paths import absolute
from autoencoder.runs.plain_json import to_json

# Settings that change nothing of a run's result, as the beginnings of their names.
UNCOUNTED = (
    *(
        "paths.",
        "ckpt_path",
        "resume",
        "logger.",
        "views.",
        "figures",
        "explorer",
        "data.data_dir",
        "data.offline_fallback",
    ),
    *("model.compile", "trainer.default_root_dir", "trainer.enable_", "trainer.log_every_n_steps", "trainer.profiler"),
)
# Callbacks that only look; all others count.
LOOKING = tuple(
    f"autoencoder.callbacks.{module}."
    for module in (*("checkpoints", "history", "progress", "monitors", "description"),)
)
# Settings that a run cannot change on its way: what the checkpoint holds was made by them.
FIXED = (
    *("model.", "data.", "seed", "optimizer._target_", "trainer.devices", "trainer.num_nodes"),
    *("trainer.limit_train_batches", "trainer.overfit_batches", "trainer.accumulate_grad_batches"),
)
ABSENT = "not set"
LOG_FILES = EVENTS, ROWS = "events.out.tfevents.*", "metrics.csv"  # TensorBoard's, and CSVLogger's

_held: dict[Path, Any] = {}  # the locks of this process
_sweeps: set[Path] = set()  # new folders of sweeps
_made: set[Path] = set()  # the folders that this process has made


class RunFolder:
    """The folder of one run, or of one evaluation, by the names of its files."""

    def __init__(self, path: str | Path) -> None:
        self.path = absolute(path)
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"
        self.metrics = self.path / "metrics.json"
        self.report = self.path / "report.md"
        self.reconstructions = self.path / "reconstructions.png"
        self.figures = self.path / "figures"
        self.explorer = self.path / "explorer.html"
        self.history = self.path / "history.csv"
        self.record = self.path / ".hydra"  # the config and the overrides, as Hydra writes them
        self.changes = self.record / "changes.txt"  # what the config does not tell: a line for each

    @classmethod
    def of_checkpoint(cls, path: str | Path) -> "RunFolder | None":
        """The folder RUN of a checkpoint RUN/checkpoints/NAME.ckpt; None for a checkpoint that lies elsewhere."""
        path = absolute(path)
        folder = cls(path.parent.parent)
        return folder if path.parent == folder.checkpoints else None

    def results(self) -> list[str]:
        """The names of what there is of the last result: files no older than metrics.json, which is written first."""
        files = (self.metrics, self.report, self.reconstructions, self.figures, self.checkpoints, self.explorer)
        kept = [path for path in files if self._is_new(path) or (path == self.checkpoints and path.is_dir())]
        return [path.name + "/" * path.is_dir() for path in kept]

    def _is_new(self, path: Path) -> bool:
        files = [file for file in (path, *path.glob("*")) if file.is_file()]
        return self.metrics.is_file() and any(
            file.stat().st_mtime_ns >= self.metrics.stat().st_mtime_ns for file in files
        )

    def record_files(self) -> list[Path]:
        """The files that tell what happened: settings, metrics, history, and the logs of TensorBoard and CSV."""
        logs = [path for pattern in LOG_FILES for path in self.path.rglob(pattern)]
        return [path for path in (*self.record.glob("*.*"), self.metrics, self.history, *logs) if path.is_file()]

    def read_changes(self) -> list[str]:
        """Which weights the run started from, and which settings were changed on its way; mostly empty."""
        return self.changes.read_text(encoding="utf-8").splitlines() if self.changes.is_file() else []

    def read_metrics(self) -> dict[str, Any] | None:
        """What metrics.json holds; None where there is none, or none that can be read."""
        try:
            metrics = json.loads(self.metrics.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return metrics if isinstance(metrics, dict) else None

    def is_taken(self) -> bool:
        """Whether there is something of a run in it that a new run would write over."""
        return self.last.exists() or self.best.exists() or self.metrics.exists()

    def check_no_others_files(self) -> None:
        """Raises: InputError if it holds files by the names of a run's, and no run: they would be written over."""
        names = (self.report, self.reconstructions, self.figures, self.explorer, self.history)
        found = [path.name for path in names if path.exists()]
        if found and not (self.record.exists() or self.metrics.exists()):
            raise InputError(
                f"{self.path} holds {', '.join(found)}, of no run, which would be written over: name another folder"
            )

    def hold(self) -> None:
        """Makes the folder and keeps other runs out until `release`, or the end of the process, however that comes.

        Raises: InputError if another run is at work in the folder.
        """
        from filelock import FileLock, Timeout

        if self.path in _held:
            return
        self.make()
        lock = FileLock(self.path / ".lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(f"another run is at work in {self.path}: wait for it, or name another folder") from None
        _held[self.path] = lock

    def release(self) -> None:
        """Lets other runs in again."""
        if lock := _held.pop(self.path, None):
            (self.path / ".lock").unlink(missing_ok=True)
            lock.release()

    def make(self) -> None:
        """Makes the folder, unless it is there; `remove_if_made` takes it away again.

        Raises: InputError if it holds files of someone else.
        """
        self.check_no_others_files()
        if not self.path.exists():
            _made.add(self.path)  # before it is there: a signal may come between
            self.path.mkdir(parents=True)

    def remove_if_made(self) -> None:
        """Removes a folder that this process has made for a command that was refused; not if there is a checkpoint."""
        if self.path in _made and not self.is_taken():
            shutil.rmtree(self.path, ignore_errors=True)
            latest = self.path.parent.parent / "latest"
            if latest.is_symlink() and not latest.exists():
                latest.unlink()
                others = sorted(self.path.parent.glob("*/.hydra"), key=lambda record: record.stat().st_mtime)
                if others:
                    link(latest, others[-1].parent)


def note_sweep(path: str | Path) -> None:
    """Notes a sweep's folder, if it is new, for `remove_unused_folders`."""
    if not absolute(path).exists():
        _sweeps.add(absolute(path))


def remove_unused_folders() -> None:
    """Removes the folders that this process has made and in which no run has begun."""
    for path in _sweeps:
        if [file.name for file in path.glob("*")] == ["multirun.yaml"]:
            shutil.rmtree(path, ignore_errors=True)
    for path in _made:
        folder = RunFolder(path)
        if not folder.record.exists():
            folder.remove_if_made()


def link(path: Path, folder: Path) -> None:
    """Makes `path` a link to `folder`, in place of a former one; where there can be no links, there is none."""
    scratch = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        scratch.symlink_to(folder.relative_to(path.parent), target_is_directory=True)
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, whole or not at all; text in UTF-8."""
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_bytes(content if isinstance(content, bytes) else content.encode())
    scratch.replace(path)


def write_metrics(metrics: Mapping[str, Any], path: Path) -> None:
    """Writes one flat JSON object, whole or not at all; what is infinite or not a number becomes null."""
    write_whole(path, to_json(metrics) + "\n")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that count and differ, by their full names: what they were, what they are now.

    Args: two resolved configs, as plain values.
    """
    old, new = dict(_counted(before)), dict(_counted(now))
    keys = [*old, *(key for key in new if key not in old)]
    return {
        key: (old.get(key, ABSENT), new.get(key, ABSENT))
        for key in keys
        if old.get(key, ABSENT) != new.get(key, ABSENT)
    }


def check_changes(changes: Mapping[str, tuple[Any, Any]], folder: RunFolder) -> None:
    """Raises: InputError for a setting that a run cannot change on its way."""
    for key, (before, now) in changes.items():
        if key.startswith(FIXED):
            fits = not key.startswith(("model.", "optimizer."))  # the checkpoint's weights, and its optimiser's state
            remedy = f"start a new run with ckpt_path={folder.last}" if fits else "train a new run"
            raise InputError(
                f"{key} was {before} in {folder.path} and is {now} now, and a run cannot change it on its way: "
                f"leave it out, or {remedy}"
            )


def _counted(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        key = f"{path}{name}"
        if key.startswith(UNCOUNTED):
            continue
        if isinstance(value, Mapping):
            looks = path == "callbacks." and str(value.get("_target_", "")).startswith(LOOKING)
            if not looks:
                yield from _counted(value, f"{key}.")
        elif not (path == "callbacks." and value is None):  # a callback that is switched off
            yield key, value
