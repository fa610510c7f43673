"""A callback that makes epochs last, so that a short run can be stopped in the middle on a fast and a slow machine."""

import time

from lightning.pytorch import Callback, LightningModule, Trainer


class Pace(Callback):
    """Waits after each epoch.

    Args:
        seconds: at least 0.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        time.sleep(self.seconds)
