"""Completes an epoch that is resumed in its middle, where Lightning skips what callbacks do at its start."""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging


class ResumedEpoch(Callback):
    """Calls the `on_train_epoch_start` of those callbacks that set up the epoch there and save no trace of it.

    Lightning 2.6 skips that hook in an epoch that is resumed in its middle. StochasticWeightAveraging would have no
    learning-rate schedule in that epoch, GradientAccumulationScheduler another number of batches per step.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.fit_loop.restarted_mid_epoch:
            return
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, StochasticWeightAveraging | GradientAccumulationScheduler):
                callback.on_train_epoch_start(trainer, pl_module)
