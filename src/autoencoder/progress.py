"""Progress: a bar in a terminal; one plain line an epoch there, elsewhere, and in the log file."""

import logging
import sys

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

log = logging.getLogger(__name__)


class Progress(RichProgressBar):
    """Lightning's bar where the output is a terminal, and a line with the errors after each epoch."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=20)
        if not sys.stdout.isatty():
            self.disable()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        _send_log_lines_to(sys.stdout)  # which the bar has replaced, so as to draw itself below them

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.is_global_zero:
            metrics = trainer.callback_metrics
            figures = [f"{name} {metrics[name]:.4f}" for name in ("train/mse", "val/mse") if name in metrics]
            epoch = f"{trainer.current_epoch + 1:>{len(str(trainer.max_epochs))}}/{trainer.max_epochs}"
            log.info("  ".join([f"epoch {epoch}", *figures]))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().teardown(trainer, pl_module, stage)
        _send_log_lines_to(sys.__stdout__)


def _send_log_lines_to(stream: object) -> None:
    for handler in logging.root.handlers:
        if type(handler) is logging.StreamHandler and handler.stream in (sys.__stdout__, sys.stdout):
            handler.setStream(stream)
