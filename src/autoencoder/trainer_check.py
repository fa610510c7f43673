"""What a Trainer's config cannot mean in this project, or what Lightning itself does not refuse."""

from collections.abc import Mapping
from typing import Any

from autoencoder.errors import InputError
from autoencoder.processes import check_strategy


def check_trainer(trainer: Mapping[str, Any], callbacks: Mapping[str, Any]) -> None:
    """Holds the settings of the groups `trainer` and `callbacks` against each other.

    Raises: InputError for the first that cannot be.
    """
    for group in ("callbacks", "logger"):
        if group in trainer:
            raise InputError(
                f"trainer.{group}: {group} is a group of its own here; to add a part, +{group}.NAME._target_=CLASS, "
                f"to leave some out, {'callbacks.NAME=null' if group == 'callbacks' else 'logger=[]'}"
            )
    if trainer.get("enable_checkpointing") is False and callbacks.get("checkpoints"):
        raise InputError(
            "trainer.enable_checkpointing=false: leave out their callback as well, callbacks.checkpoints=null"
        )
    batches = trainer.get("accumulate_grad_batches", 1)
    if batches < 1:
        raise InputError(f"trainer.accumulate_grad_batches must be greater than 0, got {batches}")
    check_strategy(trainer)
