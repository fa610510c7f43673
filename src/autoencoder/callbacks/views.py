"""What all views of a run share: when they look, without a trace in the training, and how each logger shows it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from autoencoder.callbacks.step_hooks import idle_in_steps
from autoencoder.data.datamodule import ImageDataModule
from autoencoder.data.pixels import denormalize, normalize
from autoencoder.metrics.reconstruction import image_mse
from autoencoder.models.module import AutoencoderModule
from autoencoder.runs.left_out import left_out_if_it_fails

HISTOGRAM_BINS = 30


@idle_in_steps
class View(Callback):
    """Looks at the network after epochs 1, 2, 4, 8 … and the last, and logs what it sees.

    It only looks: modes, gradients and random numbers are as before. Of several processes the first one looks. Where
    it fails, a warning says so and training goes on.
    A subclass says what to `show`; `first_epoch` 0 shows the network before training, too.
    """

    first_epoch = 1
    _seen_epoch = -1

    def show(self, trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule, epoch: int) -> None:
        """Logs the view; called in evaluation mode, without gradients."""
        raise NotImplementedError

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == self.first_epoch == 0:
            self._look(trainer, pl_module, epoch=0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        # The last look is in the epoch's checkpoint, too: a run that is stopped after it need not look again.
        if self.looks_after(epoch) or epoch == trainer.max_epochs:
            self._look(trainer, pl_module, epoch)

    def looks_after(self, epoch: int) -> bool:
        """Whether to look after this epoch, counted from 1; it looks after the last one anyway."""
        return epoch & (epoch - 1) == 0

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch > self._seen_epoch:
            self._look(trainer, pl_module, trainer.current_epoch)

    def _look(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        self._seen_epoch = epoch
        datamodule = getattr(trainer, "datamodule", None)
        if not (trainer.is_global_zero and trainer.loggers):
            return
        if isinstance(datamodule, ImageDataModule) and isinstance(pl_module, AutoencoderModule):
            with looking(pl_module), left_out_if_it_fails(f"the view {type(self).__name__} of epoch {epoch}"):
                self.show(trainer, pl_module, datamodule, epoch)


class Look(NamedTuple):
    """The network's latents [N, K] and errors [N] (`image_mse`) of the N test images."""

    latents: Tensor
    errors: Tensor


_last_looks: WeakKeyDictionary[nn.Module, tuple[int, Look]] = WeakKeyDictionary()


def look_at_test_images(trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule) -> Look:
    """All test images through the network as it is now; once a step, however many views ask."""
    step, look = _last_looks.get(module, (-1, None))
    if look is None or step != trainer.global_step:
        latents, errors = [], []
        for pixels, _ in datamodule.evaluation_batches("test"):
            images = normalize(pixels)
            latents.append(encode(module, images))
            errors.append(image_mse(decode(module, latents[-1]), images))
        look = Look(torch.cat(latents), torch.cat(errors))
        _last_looks[module] = (trainer.global_step, look)
    return look


def encode(module: AutoencoderModule, images: Tensor) -> Tensor:
    """The latents [B, K] float32 of `images` [B, C, H, W] in [-1, 1], whatever the network's precision."""
    return module.encode(images.to(module.dtype)).float()


def decode(module: AutoencoderModule, latents: Tensor) -> Tensor:
    """The images [B, C, H, W] float32 in [-1, 1] of `latents` [B, K], whatever the network's precision."""
    return module.decode(latents.to(module.dtype)).float()


@contextmanager
def looking(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients; afterwards every part's mode and all random generators are as before."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.inference_mode(), isolate_rng():
            yield
    finally:
        for part, training in modes.items():
            part.training = training


def tile(images: Tensor) -> Tensor:
    """One picture of rows and columns: [C, R H, N W] uint8 from `images` [R, N, C, H, W] in [-1, 1]."""
    return denormalize(images).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)


def log_image(trainer: Trainer, tag: str, image: Tensor, epoch: int) -> None:
    """Shows `image` [C, H, W] uint8, C 1 or 3, in every logger that has pictures."""
    pixels = image.permute(1, 2, 0).squeeze(-1).cpu().numpy()  # [H, W] or [H, W, 3]
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(tag, pixels, epoch, dataformats="HWC"[: pixels.ndim])
        elif isinstance(logger, WandbLogger):
            logger.log_image(tag, [pixels], step=trainer.global_step)  # W&B has one axis for all
        elif isinstance(logger, MLFlowLogger) and logger.run_id:
            logger.experiment.log_image(logger.run_id, pixels, key=tag, step=epoch, synchronous=True)


def log_scalars(trainer: Trainer, scalars: Mapping[str, float]) -> None:
    """Logs numbers by their tags in every logger."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(scalars), trainer.global_step)


def log_histogram(trainer: Trainer, tag: str, values: Tensor, epoch: int) -> None:
    """Shows how `values` [N] are spread, in every logger that has histograms; infinite ones are left out."""
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
