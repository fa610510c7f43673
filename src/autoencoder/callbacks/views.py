"""Views: passes the test images through the model during training, and shows the results in every logger."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from torch import Tensor

from autoencoder.data.base import DataModule
from autoencoder.evaluation.outputs import Outputs, evaluating
from autoencoder.models.module import AutoencoderModule
from autoencoder.pictures.panels import Panel, tile
from autoencoder.runs.left_out import left_out_if_it_fails

HISTOGRAM_BINS = 30

View = Callable[[Outputs], Mapping[str, Panel | Tensor | float]]


class Views(Callback):
    """Logs views of the model's outputs on the test images: before training, after epochs 1, 2, 4, 8 … and the last.

    It does not affect training: modes, gradients and random states are restored. Only the first process does it. A
    view that fails is left out with a warning, and training continues.

    Args: views, functions by name, None to switch one off. Each takes the outputs on the test images and returns
        values by tag, for the loggers: a figure (`Panel`), a histogram (Tensor [N]) or a metric (a number).
    """

    def __init__(self, views: Mapping[str, View | None]) -> None:
        self.views = {name: view for name, view in views.items() if view}
        self._seen_epoch = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == 0:
            self._look(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        # After the last epoch, log here and not in on_train_end, so that last.ckpt is saved after it and counts it.
        if epoch & (epoch - 1) == 0 or epoch == trainer.max_epochs:
            self._look(trainer, pl_module, epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch > self._seen_epoch:
            self._look(trainer, pl_module, trainer.current_epoch)

    def _look(self, trainer: Trainer, module: LightningModule, epoch: int) -> None:
        self._seen_epoch = epoch
        outputs = outputs_of(trainer, module)
        if outputs is None:
            return
        for name, view in self.views.items():
            with evaluating(outputs.model), left_out_if_it_fails(f"the view {name} of epoch {epoch}"):
                log_values(trainer, view(outputs), epoch)


def outputs_of(trainer: Trainer, module: LightningModule) -> Outputs | None:
    """The outputs on the test images; None without loggers, in other processes, or for other models and data."""
    datamodule = getattr(trainer, "datamodule", None)
    if not (trainer.is_global_zero and trainer.loggers):
        return None
    if not (isinstance(datamodule, DataModule) and isinstance(module, AutoencoderModule)):
        return None
    return Outputs(module, datamodule.images)


def log_values(trainer: Trainer, values: Mapping[str, Panel | Tensor | float], epoch: int) -> None:
    """Shows what a view returned in every logger."""
    for tag, value in values.items():
        if isinstance(value, Panel):
            log_image(trainer, tag, tile(value.images), epoch)
        elif isinstance(value, Tensor):
            log_histogram(trainer, tag, value, epoch)
    scalars = {tag: value for tag, value in values.items() if isinstance(value, int | float)}
    for logger in trainer.loggers if scalars else ():
        logger.log_metrics(scalars, trainer.global_step)


def log_image(trainer: Trainer, tag: str, image: Tensor, epoch: int) -> None:
    """Shows `image` [C, H, W] uint8, C 1 or 3, in every logger that supports images."""
    pixels = image.permute(1, 2, 0).squeeze(-1).cpu().numpy()  # [H, W] or [H, W, 3]
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(tag, pixels, epoch, dataformats="HWC"[: pixels.ndim])
        elif isinstance(logger, WandbLogger):
            logger.log_image(tag, [pixels], step=trainer.global_step)  # W&B has a single step axis
        elif isinstance(logger, MLFlowLogger) and logger.run_id:
            logger.experiment.log_image(logger.run_id, pixels, key=tag, step=epoch, synchronous=True)


def log_histogram(trainer: Trainer, tag: str, values: Tensor, epoch: int) -> None:
    """Shows the histogram of `values` [N], without infinite ones and NaN, in every logger that supports histograms."""
    kept = values.double().cpu().numpy()
    kept = kept[np.isfinite(kept)]
    if not len(kept):
        return
    counts, edges = np.histogram(kept, HISTOGRAM_BINS)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_histogram_raw(
                tag,
                min=edges[0],
                max=edges[-1],
                num=len(kept),
                sum=kept.sum(),
                sum_squares=np.square(kept).sum(),
                bucket_limits=edges[1:].tolist(),
                bucket_counts=counts.tolist(),
                global_step=epoch,
            )
        elif isinstance(logger, WandbLogger):
            import wandb

            histogram: Any = wandb.Histogram(np_histogram=(counts, edges))
            logger.log_metrics({tag: histogram}, trainer.global_step)
