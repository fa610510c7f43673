"""Views of the latents: what each dimension does, what lies between two digits, how much each one varies."""

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from autoencoder.callbacks.views import (
    View,
    decode,
    encode,
    log_histogram,
    log_image,
    log_scalars,
    look_at_test_images,
    tile,
)
from autoencoder.data.datamodule import ImageDataModule
from autoencoder.data.pixels import normalize
from autoencoder.evaluation.latents import dead_dimensions
from autoencoder.evaluation.samples import interpolation_latents, traversal_latents
from autoencoder.models.module import AutoencoderModule

STEPS = 11  # images a row
MAX_ROWS = 32  # of traversals, and histograms: a wider bottleneck shows its first dimensions
MAX_VALUES = 10_000_000  # torch.quantile takes no more than 2 ** 24


class Traversals(View):
    """A row a dimension: the first test image with that dimension moved from its 1 % to its 99 % quantile."""

    def show(self, trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule, epoch: int) -> None:
        latents = look_at_test_images(trainer, module, datamodule).latents
        width = latents.shape[1]
        moved = traversal_latents(latents[: MAX_VALUES // width], latents[0], STEPS)[:MAX_ROWS]  # [R, STEPS, K]
        images = decode(module, moved.flatten(0, 1)).unflatten(0, moved.shape[:2])
        log_image(trainer, "latents/traversals", tile(images), epoch)


class Interpolations(View):
    """A row a class: from its first test image to the next class's along a line in the latents, both at the ends.

    Where there is one class, from its first image to its second; of a single test image there is nothing to show.
    """

    def show(self, trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule, epoch: int) -> None:
        firsts = first_of_each_class(datamodule.images.test_labels)
        if len(firsts) == 1:
            firsts = torch.arange(min(2, len(datamodule.test_indices)))
        if len(firsts) == 1:
            return
        images = normalize(datamodule.images.test_images[firsts])
        latents = encode(module, images)
        lines = interpolation_latents(latents, latents.roll(-1, dims=0), STEPS)  # [classes, STEPS, K]
        between = decode(module, lines.flatten(0, 1)).unflatten(0, lines.shape[:2])
        rows = torch.cat([images[:, None], between, images.roll(-1, dims=0)[:, None]], dim=1)
        log_image(trainer, "latents/interpolations", tile(rows), epoch)


class LatentHistograms(View):
    """A histogram of each latent dimension over the test images."""

    def show(self, trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule, epoch: int) -> None:
        latents = look_at_test_images(trainer, module, datamodule).latents
        for dimension, values in enumerate(latents.T[:MAX_ROWS]):
            log_histogram(trainer, f"latents/{dimension:02d}", values, epoch)


class LatentVariance(View):
    """The variance of each latent dimension over the test images, and how many dimensions are alive."""

    def show(self, trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule, epoch: int) -> None:
        latents = look_at_test_images(trainer, module, datamodule).latents
        if len(latents) < 2:  # no variance
            return
        scalars = {
            f"latents/variance/{dimension:02d}": value for dimension, value in enumerate(latents.var(0).tolist())
        }
        log_scalars(trainer, {"latents/alive": latents.shape[1] - dead_dimensions(latents), **scalars})


def first_of_each_class(labels: Tensor) -> Tensor:
    """The first index [classes] of each label in `labels` [N], by label."""
    return torch.from_numpy(np.unique(labels.cpu().numpy(), return_index=True)[1])
