"""Weights that were averaged over the last epochs, measured when training is over."""

import logging

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging

from autoencoder.checkpoints import BestAndLast
from autoencoder.datamodule import ImageDataModule
from autoencoder.evaluation import measure
from autoencoder.module import AutoencoderModule

log = logging.getLogger(__name__)


def keep_average(trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule) -> None:
    """Makes StochasticWeightAveraging's average best.ckpt if its validation error is the lowest, and says so.

    Lightning gives the average to the module after the last validation, so it has measured it nowhere. Without
    validation images it counts as the best, as the last epoch does. For all processes of a run, after `fit`.
    """
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])
    kept = next((callback for callback in callbacks if isinstance(callback, BestAndLast)), None)
    averaging = [callback for callback in callbacks if isinstance(callback, StochasticWeightAveraging)]
    has_ended = trainer.max_epochs == -1 or any(trainer.current_epoch - 1 == one.swa_end for one in averaging)
    if not averaging or kept is None or not has_ended:
        return
    mse = None
    if datamodule.val_size:
        module.eval().to(datamodule.images.train_images.device)
        # Each process measures all images itself, so that all come to the same decision.
        mse = measure(lambda images: module(images.to(module.dtype)), datamodule.evaluation_batches("val"))["mse"]
    before = kept.best_score
    is_best = mse is None or before is None or mse < before
    if is_best:
        kept.best_score = mse
        trainer.save_checkpoint(kept.best_path, False)  # not the weights alone
    if trainer.is_global_zero and mse is not None and before is not None:
        fate = "they are best.ckpt now" if is_best else "best.ckpt stays"
        log.info("averaged weights: val/mse %.4f, without averaging at best %.4f: %s", mse, before, fate)
