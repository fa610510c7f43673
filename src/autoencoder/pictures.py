"""Pictures of reconstructions, for files and for the loggers."""

from pathlib import Path

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from autoencoder.datamodule import ImageDataModule
from autoencoder.module import AutoencoderModule
from autoencoder.pixels import denormalize, normalize
from autoencoder.views import View, decode, encode, log_image

COLUMNS = 16


def first_test_images(datamodule: ImageDataModule) -> Tensor:
    """The same `COLUMNS` test images [B, C, H, W] in [-1, 1] for every run on a data set."""
    return normalize(datamodule.images.test_images[:COLUMNS])


def reconstruction_grid(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Images over their reconstructions, one pair a column: [C, 2 H, B W] uint8 from two [B, C, H, W] in [-1, 1]."""
    pairs = torch.cat([images, reconstructions.to(images)], dim=2)  # [B, C, 2 H, W]
    return denormalize(pairs).permute(1, 2, 0, 3).flatten(2)


def save_reconstructions(module: AutoencoderModule, datamodule: ImageDataModule, test_mse: float, path: Path) -> None:
    """Writes the fixed test images over their reconstructions as a PNG, data set and error in its title."""
    from matplotlib.figure import Figure

    images = first_test_images(datamodule)
    with torch.inference_mode():
        grid = reconstruction_grid(images, module(images))
    figure = Figure(figsize=(10, 1.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.imshow(grid.permute(1, 2, 0).squeeze(-1).cpu().numpy(), cmap="gray", vmin=0, vmax=255)
    height = images.shape[2]
    axes.set_yticks([height / 2, height * 3 / 2], ["test image", "reconstruction"])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_title(f"{datamodule.title}, {module.latent_dim} latent dimensions, test mse {test_mse:.4f}")
    figure.savefig(path)


class Reconstructions(View):
    """The fixed test images over their reconstructions; epoch 0 is the network before training."""

    first_epoch = 0

    def show(self, trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule, epoch: int) -> None:
        images = first_test_images(datamodule)
        grid = reconstruction_grid(images, decode(module, encode(module, images)))
        log_image(trainer, "reconstructions", grid, epoch)
