"""Reconstructions under their test images, as one picture."""

from pathlib import Path

import torch
from torch import Tensor

from autoencoder.data.datamodule import ImageDataModule
from autoencoder.data.pixels import denormalize, normalize
from autoencoder.models.module import AutoencoderModule

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
