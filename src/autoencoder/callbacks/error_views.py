"""Views of the errors: which test images are reconstructed worst, where in the image, and which class is hard."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from autoencoder.callbacks.views import View, decode, encode, log_image, log_scalars, look_at_test_images, tile
from autoencoder.data.datamodule import ImageDataModule
from autoencoder.data.pixels import normalize
from autoencoder.evaluation.samples import worst_and_median
from autoencoder.models.module import AutoencoderModule

COLUMNS = 16


class WorstAndMedian(View):
    """The test images with the largest errors, and those in the middle: each over its reconstruction and an error map.

    The map is the absolute error of each pixel, from black (none) over red and yellow to white (black for white).
    """

    def show(self, trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule, epoch: int) -> None:
        errors = look_at_test_images(trainer, module, datamodule).errors
        for name, indices in zip(("worst", "median"), worst_and_median(errors, min(COLUMNS, len(errors))), strict=True):
            images = normalize(datamodule.images.test_images[indices])
            reconstructions = decode(module, encode(module, images))
            log_image(trainer, f"errors/{name}", error_grid(images, reconstructions), epoch)


class ErrorPerClass(View):
    """The mean squared error of the test images of each class."""

    def show(self, trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule, epoch: int) -> None:
        errors = look_at_test_images(trainer, module, datamodule).errors
        means = mean_by_class(errors, datamodule.images.test_labels)
        log_scalars(trainer, {f"test/mse_of_class/{label}": mean for label, mean in means.items()})


def error_grid(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Images, reconstructions and error maps, one image a column: [3, 3 H, B W] uint8.

    Args: images, reconstructions: two [B, C, H, W] in [-1, 1], C 1 or 3.
    """
    error = (images - reconstructions).abs().mean(1) / 2  # [B, H, W] in [0, 1]
    shape = (-1, 3, -1, -1)
    return tile(torch.stack([images.expand(shape), reconstructions.expand(shape), heat(error) * 2 - 1]))


def heat(values: Tensor) -> Tensor:
    """Values [B, H, W] in [0, 1] as colours [B, 3, H, W] in [0, 1]: black, red, yellow, white."""
    return torch.stack([3 * values, 3 * values - 1, 3 * values - 2], dim=1).clamp(0, 1)


def mean_by_class(values: Tensor, labels: Tensor) -> dict[int, float]:
    """The mean of `values` [N] over the images of each label in `labels` [N]."""
    counts = torch.bincount(labels)
    sums = torch.bincount(labels, weights=values)
    return {label: float(sums[label] / counts[label]) for label in counts.nonzero().flatten().tolist()}
