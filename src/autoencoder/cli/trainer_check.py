"""Checks for Trainer settings that this project does not support, or that Lightning accepts although they are wrong."""

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from autoencoder.errors import InputError
from autoencoder.runs.processes import check_strategy

FEW = 8  # processes that any machine can run
Part = TypeVar("Part")


def check_trainer(trainer: Mapping[str, Any], callbacks: Mapping[str, Any]) -> None:
    """Checks the settings of the groups `trainer` and `callbacks`, also against each other.

    Raises: InputError for the first that is not supported.
    """
    for group in ("callbacks", "logger"):
        if group in trainer:
            raise InputError(
                f"trainer.{group}: {group} is a separate group here; to add a part, +{group}.NAME._target_=CLASS, "
                f"to leave some out, {'callbacks.NAME=null' if group == 'callbacks' else 'logger=[]'}"
            )
    if trainer.get("enable_checkpointing") is False and callbacks.get("checkpoints"):
        raise InputError(
            "trainer.enable_checkpointing=false: also leave out the callback with callbacks.checkpoints=null"
        )
    if trainer.get("barebones"):
        raise InputError(
            "trainer.barebones=true leaves no checkpoint to measure: for a light run use callbacks=light logger=[]"
        )
    clip = trainer.get("gradient_clip_val")
    if isinstance(clip, int | float) and clip < 0:
        raise InputError(f"trainer.gradient_clip_val must be at least 0, got {clip}")
    devices, most = trainer.get("devices"), max(os.cpu_count() or 1, FEW)
    if trainer.get("accelerator") == "cpu" and isinstance(devices, int) and devices > most:
        raise InputError(
            f"trainer.devices={devices} would start that many processes: set at most {most} on this machine"
        )
    for key in ("accumulate_grad_batches", "check_val_every_n_epoch"):
        value = trainer.get(key)
        if value is not None and value < 1:
            raise InputError(f"trainer.{key} must be greater than 0, got {value}")
    for key in ("limit_test_batches", "limit_predict_batches"):
        if trainer.get(key) is not None:
            raise InputError(
                f"trainer.{key} would have no effect, since a run measures all test images itself: leave it out"
            )
    check_strategy(trainer)
    if trainer.get("enable_progress_bar") and callbacks.get("progress"):
        raise InputError(
            "trainer.enable_progress_bar=true adds a second bar: leave out the other with callbacks.progress=null"
        )
    for name, part in callbacks.items():
        _check_callback(name, str((part or {}).get("_target_")).rpartition(".")[2], trainer)


def check_bases(callbacks: Mapping[str, object], trainer: Mapping[str, Any]) -> None:
    """Checks built callbacks for what `check_trainer` cannot see: that one is a subclass of what does not work here.

    Raises: InputError for the first that is.
    """
    for name, callback in callbacks.items():
        for base in type(callback).__mro__[1:]:
            _check_callback(name, base.__name__, trainer)


def _check_callback(name: str, kind: str, trainer: Mapping[str, Any]) -> None:
    """Raises: InputError if `kind` is a Lightning callback class that does not work in this project."""
    if kind in ("LearningRateFinder", "BatchSizeFinder"):
        setting = "optimizer.lr=5e-3,1e-2,2e-2" if kind == "LearningRateFinder" else "data.batch_size=64,128,256"
        raise InputError(
            f"callbacks.{name}: {kind} would train with a different value than the config records: "
            f"leave it out, and compare values in a sweep, -m {setting}"
        )
    if kind == "ModelPruning":
        raise InputError(
            f"callbacks.{name}: ModelPruning changes the weights between validation and checkpoint, so that best.ckpt "
            "would not be the weights that were measured, and checkpoints lose its masks: leave it out"
        )
    if kind == "OnExceptionCheckpoint":
        raise InputError(
            f"callbacks.{name}: OnExceptionCheckpoint starts a new run from the file that another run has left in its "
            "dirpath: leave it out, last.ckpt is saved after each epoch and when a run is stopped"
        )
    if kind in ("RichProgressBar", "TQDMProgressBar") and not trainer.get("enable_progress_bar"):
        raise InputError(
            f"callbacks.{name}: to use {kind} instead of the project's own bar, "
            "set trainer.enable_progress_bar=true callbacks.progress=null"
        )


def of_kind(group: str, parts: Mapping[str, object], kind: type[Part]) -> list[Part]:
    """The parts built from a group of the config, after checking that each is an instance of `kind`.

    Raises: InputError for a part that is not.
    """
    for name, part in parts.items():
        if not isinstance(part, kind):
            raise InputError(
                f"{group}.{name}._target_ makes a {type(part).__name__}, not a {kind.__module__}.{kind.__name__}"
            )
    return [part for part in parts.values() if isinstance(part, kind)]
