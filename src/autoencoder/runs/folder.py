"""A run's folder: the names of its files, its lock, and which settings a second start in it may change."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoencoder.errors import InputError
from autoencoder.paths import absolute
from autoencoder.runs.plain_json import to_json

# Prefixes of the settings that do not change a run's result.
UNCOUNTED = (
    *(
        "paths.",
        "ckpt_path",
        "resume",
        "allow_targets",
        "logger.",
        "views.",
        "figures",
        "explorer",
        "data.data_dir",
        "data.offline_fallback",
        "data.workers",
        "data.memory_limit",
    ),
    *("model.compile", "trainer.default_root_dir", "trainer.enable_", "trainer.log_every_n_steps", "trainer.profiler"),
)
# Callbacks that do not change a run's result; all others may.
LOOKING = tuple(
    f"autoencoder.callbacks.{module}."
    for module in ("checkpoints", "history", "progress", "monitors", "description", "pruning")
)
# Settings that a resumed run cannot change, since the content of its checkpoint depends on them.
FIXED = (
    *("model.", "data.", "seed", "optimizer._target_", "trainer.devices", "trainer.num_nodes"),
    *("trainer.limit_train_batches", "trainer.overfit_batches", "trainer.accumulate_grad_batches"),
)
MOVABLE = "data.path"  # may change, since the images are compared
ABSENT = "not set"
PLAN = "jobs.json"  # in a sweep's folder: the overrides of each job, by the name of its folder
SWEEP_CONFIG = "multirun.yaml"  # in a sweep's folder, as Hydra's own sweepers write it
LOG_FILES = EVENTS, ROWS = "events.out.tfevents.*", "metrics.csv"  # of TensorBoard and of CSVLogger

_held: dict[Path, Any] = {}  # the locks that this process holds
_sweeps: set[Path] = set()  # new folders of sweeps
_made: set[Path] = set()  # the folders that this process has created


class RunFolder:
    """The folder of a run or an evaluation, with the paths of its files."""

    def __init__(self, path: str | Path) -> None:
        self.path = absolute(path)
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"
        self.previous = self.checkpoints / "previous.ckpt"  # the last.ckpt before this one
        self.metrics = self.path / "metrics.json"
        self.report = self.path / "report.md"
        self.reconstructions = self.path / "reconstructions.png"
        self.figures = self.path / "figures"
        self.explorer = self.path / "explorer.html"
        self.export = self.path / "export"
        self.samples = self.path / "samples.npy"  # generated images, [n, C, H, W] uint8
        self.samples_picture = self.path / "samples.png"
        self.latents = self.path / "latents.npy"  # of generated images or of predictions, [n, K] float32
        self.predictions = self.path / "predictions.csv"
        self.worst = self.path / "worst.png"
        self.reconstructed = self.path / "reconstructions"
        self.history = self.path / "history.csv"
        self.record = self.path / ".hydra"  # the config and the overrides, as Hydra writes them
        self.changes = self.record / "changes.txt"  # one line per change, which the config does not show

    @classmethod
    def of_checkpoint(cls, path: str | Path) -> "RunFolder | None":
        """The folder RUN of a checkpoint RUN/checkpoints/NAME.ckpt; None for a checkpoint elsewhere."""
        path = absolute(path)
        folder = cls(path.parent.parent)
        return folder if path.parent == folder.checkpoints else None

    def results(self) -> list[str]:
        """The names of the last result's files: those no older than metrics.json, which is written first."""
        files = (self.metrics, self.report, self.reconstructions, self.figures, self.checkpoints, self.explorer)
        kept = [path for path in files if self._is_new(path) or (path == self.checkpoints and path.is_dir())]
        return [path.name + "/" * path.is_dir() for path in kept]

    def _is_new(self, path: Path) -> bool:
        files = [file for file in (path, *path.glob("*")) if file.is_file()]
        return self.metrics.is_file() and any(
            file.stat().st_mtime_ns >= self.metrics.stat().st_mtime_ns for file in files
        )

    def record_files(self) -> list[Path]:
        """The files that record the run: settings, metrics, history, and the logs of TensorBoard and CSVLogger."""
        logs = [path for pattern in LOG_FILES for path in self.path.rglob(pattern)]
        return [path for path in (*self.record.glob("*.*"), self.metrics, self.history, *logs) if path.is_file()]

    def read_changes(self) -> list[str]:
        """Which weights the run started from, and which settings were changed on resuming; usually empty."""
        return self.changes.read_text(encoding="utf-8").splitlines() if self.changes.is_file() else []

    def read_metrics(self) -> dict[str, Any] | None:
        """The content of metrics.json; None if it is missing or broken."""
        try:
            metrics = json.loads(self.metrics.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return metrics if isinstance(metrics, dict) else None

    def is_taken(self) -> bool:
        """Whether the folder has files of a run that a new run would overwrite."""
        return self.last.exists() or self.best.exists() or self.metrics.exists()

    def check_no_others_files(self) -> None:
        """Raises: InputError if the folder holds no run, but files that a run would overwrite."""
        names = (
            *(self.report, self.reconstructions, self.figures, self.explorer, self.history),
            *(self.samples, self.samples_picture, self.latents),
            *(self.predictions, self.worst, self.reconstructed),
        )
        found = [path.name for path in names if path.exists()]
        if found and not (self.record.exists() or self.metrics.exists()):
            raise InputError(
                f"{self.path} holds no run, but {', '.join(found)}, which would be overwritten: use another folder"
            )

    def hold(self) -> None:
        """Creates the folder and locks it until `release` or the end of the process, even if that is killed.

        Raises: InputError if another run is using the folder.
        """
        from filelock import FileLock, Timeout

        if self.path in _held:
            return
        self.make()
        lock = FileLock(self.path / ".lock", timeout=1)  # a report holds it for a moment, to see whether a run does
        try:
            lock.acquire()
        except Timeout:
            raise InputError(f"another run is writing to {self.path}: wait for it, or use another folder") from None
        _held[self.path] = lock

    def is_held(self) -> bool:
        """Whether a run is using the folder at this moment, in this process or another."""
        from filelock import FileLock, Timeout

        if self.path in _held:
            return True
        path = self.path / ".lock"
        if not path.is_file():
            return False
        try:
            with FileLock(path, blocking=False):
                return False
        except Timeout:
            return True
        except OSError:  # a folder that cannot be written to
            return False

    def release(self) -> None:
        """Unlocks the folder."""
        if lock := _held.pop(self.path, None):
            (self.path / ".lock").unlink(missing_ok=True)
            lock.release()

    def make(self) -> None:
        """Creates the folder if it is missing; `remove_if_made` removes it again.

        Raises: InputError if it holds files that are not a run's.
        """
        self.check_no_others_files()
        if not self.path.exists():
            _made.add(self.path)  # first, since a signal may come in between
            self.path.mkdir(parents=True)

    def remove_if_made(self) -> None:
        """Removes the folder if this process has created it and it has no results; for commands that are refused."""
        if self.path in _made and not self.is_taken():
            shutil.rmtree(self.path, ignore_errors=True)
            latest = self.path.parent.parent / "latest"
            if latest.is_symlink() and not latest.exists():
                latest.unlink()
                others = sorted(self.path.parent.glob("*/.hydra"), key=lambda record: record.stat().st_mtime)
                if others:
                    link(latest, others[-1].parent)


def note_sweep(path: str | Path) -> None:
    """Remembers a sweep's folder, if it is new, for `remove_unused_folders`."""
    if not absolute(path).exists():
        _sweeps.add(absolute(path))


def remove_unused_folders() -> None:
    """Removes the folders that this process has created, if no run has begun in them."""
    for path in _sweeps:
        if {file.name for file in path.glob("*")} <= {SWEEP_CONFIG, PLAN}:
            shutil.rmtree(path, ignore_errors=True)
    for path in _made:
        folder = RunFolder(path)
        if not folder.record.exists():
            folder.remove_if_made()


def link(path: Path, folder: Path) -> None:
    """Makes `path` a link to `folder`, replacing an earlier one; does nothing where links are not supported."""
    scratch = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        scratch.symlink_to(folder.relative_to(path.parent), target_is_directory=True)
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` for the code inside to write, which is then flushed to disk and renamed to `path`.

    If the process is killed or the code fails, `path` stays as it was.
    """
    scratch = path.with_name(f".{path.name}.tmp")  # no other run writes into this folder
    try:
        yield scratch
        with scratch.open("r+b") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file completely or not at all; text in UTF-8."""
    with written_whole(path) as scratch:
        scratch.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_array(path: Path, array: Any) -> None:
    """Writes a NumPy array as .npy, completely or not at all."""
    from numpy import save

    with written_whole(path) as scratch, scratch.open("wb") as file:
        save(file, array)


def write_metrics(metrics: Mapping[str, Any], path: Path) -> None:
    """Writes metrics as a flat JSON object, completely or not at all; infinity and NaN become null."""
    write_whole(path, to_json(metrics) + "\n")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that differ and affect the result, by full name: the old and the new value.

    Args: two resolved configs, as plain values.
    """
    old, new = counted(dict(flat(before))), counted(dict(flat(now)))
    keys = [*old, *(key for key in new if key not in old)]
    return {
        key: (old.get(key, ABSENT), new.get(key, ABSENT))
        for key in keys
        if old.get(key, ABSENT) != new.get(key, ABSENT)
    }


def check_changes(changes: Mapping[str, tuple[Any, Any]], folder: RunFolder) -> None:
    """Raises: InputError for a setting that a resumed run cannot change."""
    for key, (before, now) in changes.items():
        if key.startswith(FIXED) and key != MOVABLE:
            fits = not key.startswith(("model.", "optimizer."))  # these shape its weights and optimiser state
            remedy = f"start a new run with ckpt_path={folder.last}" if fits else "train a new run"
            raise InputError(
                f"{key} was {before} in {folder.path} and is {now} now, and a resumed run cannot change it: "
                f"leave it out, or {remedy}"
            )


def flat(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of nested groups with their full names, `model.latent_dim`."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def counted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings, by full name, that affect a run's result."""
    looking = tuple(
        key.removesuffix("_target_")
        for key, value in settings.items()
        if key.startswith("callbacks.") and key.endswith("._target_") and str(value).startswith(LOOKING)
    )
    return {
        key: value
        for key, value in settings.items()
        if not key.startswith((*UNCOUNTED, *looking))
        and not (value is None and key.startswith("callbacks.") and key.count(".") == 1)  # a callback switched off
    }
