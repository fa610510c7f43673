"""Writes a run's checkpoints, best.ckpt, last.ckpt and previous.ckpt, each of them atomically."""

import os
import random
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn
from pydantic import Field

from autoencoder.callbacks.stopping import ASK_EVERY, Stopped, is_between_steps
from autoencoder.limits import checked
from autoencoder.models.divergence import DivergenceError
from autoencoder.runs.folder import written_whole
from autoencoder.runs.logs import log_lengths, logger_runs
from autoencoder.runs.model_of_checkpoint import has_finite_weights

Interval = Annotated[str, Field(pattern=r"^[1-9][0-9]* (steps|minutes)$")]


class WholeFiles(TorchCheckpointIO):
    """Writes each checkpoint completely or not at all: to a temporary file in the same folder, which is then renamed.

    Lightning writes to `$TMPDIR` first. On another file system its rename is a copy, which can be interrupted.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as scratch, scratch.open("wb") as file:
            torch.save(checkpoint, file)


class BestAndLast(Checkpoint):
    """Keeps `best.ckpt` by `val/mse`, and `last.ckpt`: the state after the last epoch, or where the run was stopped.

    Without validation, `best.ckpt` is the same as `last.ckpt`. `last.ckpt` holds all that is needed to resume as if the
    run had never stopped, including random states and the logs' lengths; the one before it is kept as `previous.ckpt`.
    None is written with infinite or NaN weights.

    Args:
        dirpath: the folder.
        save_every: saves `last.ckpt` within epochs, too, so that a run that is killed loses no more than this: a number
            of `steps` or `minutes`, such as "500 steps" or "10 minutes"; None: only at the end of each epoch.
    Raises: ValueError for another `save_every`.
    """

    @checked
    def __init__(self, dirpath: str, save_every: Interval | None = None) -> None:
        self.best_path = Path(dirpath, "best.ckpt")
        self.last_path = Path(dirpath, "last.ckpt")
        self.previous_path = Path(dirpath, "previous.ckpt")
        number, _, unit = (save_every or "0 ").partition(" ")
        self._steps, self._seconds = (int(number) * factor for factor in (unit == "steps", 60 * (unit == "minutes")))
        self.best_score: float | None = None  # val/mse of best.ckpt
        self._is_best = False  # whether the current network is the best so far
        self._saved_step, self._saved_at = 0, 0.0
        self.validated_step = 0  # at the last validation
        self._max_steps = -1
        self._random_states: list[dict[str, Any]] | None = None  # of each process

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # With max_steps, Lightning treats every checkpoint as taken within an epoch, and would repeat the end of a
        # finished epoch. It restores its loops between this hook and `on_train_start`.
        self._max_steps = trainer.fit_loop.epoch_loop.max_steps
        if self._random_states is not None:  # a resumed run
            trainer.fit_loop.epoch_loop.max_steps = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.fit_loop.epoch_loop.max_steps = self._max_steps
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
        if self._random_states:
            set_random_states(self._random_states[trainer.global_rank % len(self._random_states)])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if (self._steps or self._seconds) and self._is_due(trainer) and is_between_steps(trainer, batch_idx):
            self._save(trainer, pl_module, self.last_path)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves a new best; at the end of an epoch, `on_train_epoch_end` does so, to save only once."""
        score = trainer.callback_metrics.get("val/mse")
        self.validated_step = trainer.global_step
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING or score is None or not score.isfinite():
            return
        if self.best_score is None or score < self.best_score:
            self.best_score = float(score)
            self._is_best = True
            if not trainer.is_last_batch:
                self._save(trainer, pl_module, self.best_path)
                self._is_best = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer, pl_module, self.last_path)
        if trainer.is_global_zero and self.last_path.is_file() and (self._is_best or self.best_score is None):
            replace_by_copy(self.last_path, self.best_path)
        self._is_best = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Saves the state if the run was told to stop; after an error, last.ckpt stays as the last epoch left it."""
        can_save = isinstance(exception, Stopped) and exception.between_steps
        if can_save and trainer.global_step > self._saved_step:
            self._save(trainer, pl_module, self.last_path)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["logs"] = log_lengths(trainer)
        checkpoint["logger_runs"] = logger_runs(trainer)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        reopen_cut_epoch(checkpoint)

    @property
    def best_model_path(self) -> str:
        """The path of best.ckpt, under Lightning's name for it; empty if there is none."""
        return str(self.best_path) if self.best_path.is_file() else ""

    def state_dict(self) -> dict[str, Any]:
        return {
            "best_score": self.best_score,
            "validated_step": self.validated_step,
            "random_states": of_each_process(random_states()),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"] if self.best_path.is_file() else None
        self.validated_step = state_dict.get("validated_step", 0)
        states = state_dict["random_states"]
        self._random_states = states if isinstance(states, list) else [states]  # of one process, in older checkpoints

    def _save(self, trainer: Trainer, pl_module: LightningModule, path: Path) -> None:
        """Raises: DivergenceError for infinite or NaN weights."""
        if getattr(trainer, "fast_dev_run", False):
            return
        if not has_finite_weights(pl_module):
            raise DivergenceError(trainer)
        is_last = path == self.last_path
        with becomes(path, self.previous_path) if is_last and trainer.is_global_zero else nullcontext():
            trainer.save_checkpoint(path, False)  # not only the weights
        if is_last:
            self._saved_step, self._saved_at = trainer.global_step, time.monotonic()

    def _is_due(self, trainer: Trainer) -> bool:
        """Whether it is time to save within an epoch; the first process decides for all."""
        if self._steps:
            return trainer.global_step - self._saved_step >= self._steps
        if trainer.world_size > 1 and trainer.global_step % ASK_EVERY:
            return False
        return bool(trainer.strategy.broadcast(time.monotonic() - self._saved_at >= self._seconds))


def replace_by_copy(source: Path, target: Path) -> None:
    """Makes `target` the same as `source`, atomically; with a hard link instead of a copy where possible."""
    with becomes(source, target):
        pass


@contextmanager
def becomes(source: Path, target: Path) -> Iterator[None]:
    """Makes `target` what `source` was before the code inside, atomically, unless that fails or there is no `source`.

    It is a hard link instead of a copy where possible.
    """
    scratch = target.with_name(f".{target.name}.tmp")
    scratch.unlink(missing_ok=True)
    if not source.is_file():
        yield
        return
    try:
        try:
            os.link(source, scratch)
        except OSError:  # a file system without hard links
            shutil.copyfile(source, scratch)
        yield
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def reopen_cut_epoch(checkpoint: dict[str, Any]) -> None:
    """Reopens, in place, an epoch that a limit has cut short, so that training continues with its remaining images.

    Lightning counts an epoch as finished if max_steps or max_time ends training within it. Its row in the history is
    removed, too, and written again at the real end of the epoch.
    """
    if not ends_in_cut_epoch(checkpoint):
        return
    for part in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
        part["processed"] -= 1
        part["completed"] = min(part["completed"], part["processed"])
    if rows := checkpoint["callbacks"].get("History", {}).get("rows"):
        rows.pop()


def ends_in_cut_epoch(checkpoint: Mapping[str, Any]) -> bool:
    """Whether the last epoch of a checkpoint is counted as finished but has images left."""
    loops = checkpoint["loops"]["fit_loop"]
    current = loops["epoch_progress"]["current"]
    return current["processed"] == current["started"] and not loops["epoch_loop.batch_progress"]["is_last_batch"]


def random_states() -> dict[str, Any]:
    """The states of all random generators, as tensors and plain values."""
    state: Any = np.random.get_state()
    kind, keys, *rest = state
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def of_each_process(state: dict[str, Any]) -> list[dict[str, Any]]:
    """The states of all processes of a run, by rank; each of them must call this."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [state]
    states: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(states, state)
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Restores all random generators from `random_states()`; those of GPUs only if their number is the same."""
    random.setstate(states["python"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
