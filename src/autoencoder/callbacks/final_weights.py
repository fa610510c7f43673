"""Validates the final weights of a run if no validation did: averaged weights, and those of the last steps."""

import logging

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging

from autoencoder.callbacks.checkpoints import BestAndLast
from autoencoder.data.base import DataModule
from autoencoder.evaluation.evaluate import mean
from autoencoder.evaluation.outputs import Outputs
from autoencoder.models.module import AutoencoderModule

log = logging.getLogger(__name__)


def keep_final(trainer: Trainer, module: AutoencoderModule, datamodule: DataModule) -> None:
    """Validates the final weights if no validation did, and saves them as best.ckpt if their error is the lowest.

    These are the average of StochasticWeightAveraging, which Lightning sets after the last validation, and the weights
    of a run that `max_steps` ended within an epoch, or whose last epoch had no validation. Without validation images,
    an average is always saved. Call it in all processes of a run, after `fit`.
    """
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])
    kept = next((callback for callback in callbacks if isinstance(callback, BestAndLast)), None)
    if kept is None or getattr(trainer, "fast_dev_run", False):
        return
    is_average = any(
        trainer.max_epochs == -1 or trainer.current_epoch - 1 == callback.swa_end
        for callback in callbacks
        if isinstance(callback, StochasticWeightAveraging)
    )
    is_later = kept.best_score is not None and trainer.global_step > kept.validated_step
    if not (is_average or is_later):
        return
    mse = None
    if len(datamodule.images.val):
        # Each process measures all images, so that all come to the same decision.
        mse = mean(Outputs(module, datamodule.images, "val").errors)
    before = kept.best_score
    is_best = mse is None or before is None or mse < before
    if is_best:
        kept.best_score = mse
        trainer.save_checkpoint(kept.best_path, False)  # not only the weights
    if trainer.is_global_zero and mse is not None and before is not None:
        weights = "averaged weights" if is_average else "weights after the last validation"
        fate = "saved as best.ckpt" if is_best else "best.ckpt is kept"
        log.info("%s: val/mse %.4f, best before %.4f: %s", weights, mse, before, fate)
