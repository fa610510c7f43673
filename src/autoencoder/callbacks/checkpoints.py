"""Writes a run's checkpoints, best.ckpt and last.ckpt, each of them atomically."""

import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn

from autoencoder.callbacks.stopping import Stopped
from autoencoder.models.divergence import DivergenceError
from autoencoder.runs.checkpoints import has_finite_weights
from autoencoder.runs.logs import log_lengths, logger_runs


class WholeFiles(TorchCheckpointIO):
    """Writes each checkpoint completely or not at all: to a temporary file in the same folder, which is then renamed.

    Lightning writes to `$TMPDIR` first. On another file system its rename is a copy, which can be interrupted.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.tmp")  # no other run writes into this folder
        try:
            with scratch.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


class BestAndLast(Checkpoint):
    """Keeps `best.ckpt` by `val/mse`, and `last.ckpt`: the state after the last epoch, or where the run was stopped.

    Without validation, `best.ckpt` is the same as `last.ckpt`. `last.ckpt` holds all that is needed to resume as if the
    run had never stopped, including random states and the logs' lengths. Neither is written with infinite or NaN
    weights.

    Args: dirpath, the folder.
    """

    def __init__(self, dirpath: str) -> None:
        self.best_path = Path(dirpath, "best.ckpt")
        self.last_path = Path(dirpath, "last.ckpt")
        self.best_score: float | None = None  # val/mse of best.ckpt
        self._is_best = False  # whether the current network is the best so far
        self._saved_step = 0
        self.validated_step = 0  # at the last validation
        self._max_steps = -1
        self._random_states: dict[str, Any] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # With max_steps, Lightning treats every checkpoint as taken within an epoch, and would repeat the end of a
        # finished epoch. It restores its loops between this hook and `on_train_start`.
        self._max_steps = trainer.fit_loop.epoch_loop.max_steps
        if self._random_states is not None:  # a resumed run
            trainer.fit_loop.epoch_loop.max_steps = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.fit_loop.epoch_loop.max_steps = self._max_steps
        self._saved_step = trainer.global_step
        if self._random_states is not None:
            set_random_states(self._random_states)

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
            "random_states": random_states(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"] if self.best_path.is_file() else None
        self.validated_step = state_dict.get("validated_step", 0)
        self._random_states = state_dict["random_states"]

    def _save(self, trainer: Trainer, pl_module: LightningModule, path: Path) -> None:
        """Raises: DivergenceError for infinite or NaN weights."""
        if getattr(trainer, "fast_dev_run", False):
            return
        if not has_finite_weights(pl_module):
            raise DivergenceError(trainer)
        trainer.save_checkpoint(path, False)  # not only the weights
        if path == self.last_path:
            self._saved_step = trainer.global_step


def replace_by_copy(source: Path, target: Path) -> None:
    """Makes `target` the same as `source`, atomically; with a hard link instead of a copy where possible."""
    scratch = target.with_name(f".{target.name}.tmp")
    scratch.unlink(missing_ok=True)
    try:
        os.link(source, scratch)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, scratch)
    scratch.replace(target)


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


def set_random_states(states: dict[str, Any]) -> None:
    """Restores all random generators from `random_states()`; those of GPUs only if their number is the same."""
    random.setstate(states["python"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
