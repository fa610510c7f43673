"""Completes an epoch that is resumed in its middle, where Lightning skips a callback's start of the epoch."""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging


class ResumedEpoch(Callback):
    """Gives StochasticWeightAveraging its learning-rate schedule back in an epoch that is resumed in its middle.

    That callback builds its schedule in `on_train_epoch_start`, which Lightning 2.6 skips in such an epoch. Without the
    schedule, the learning rate would lag behind by an epoch from then on.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.fit_loop.restarted_mid_epoch:
            return
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, StochasticWeightAveraging):
                callback.on_train_epoch_start(trainer, pl_module)
