"""Reconstruction metrics: mse, sse and psnr, averaged over images, independently of batch sizes and devices."""

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


def image_mse(reconstructions: Tensor, images: Tensor) -> Tensor:
    """Mean squared error of each image, [B], from two [B, C, H, W] in [-1, 1]."""
    return (reconstructions.float() - images.float()).square().flatten(1).mean(1)


def image_sse(reconstructions: Tensor, images: Tensor) -> Tensor:
    """Squared error of each image in [0, 1], [B], from two [B, C, H, W] in [-1, 1]; see `sum_of_squares`."""
    return image_mse(reconstructions, images) * (images[0].numel() / 4)


def image_psnr(reconstructions: Tensor, images: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, [B], from two [B, C, H, W] in [-1, 1]; see `psnr_db`."""
    return psnr_db(image_mse(reconstructions, images))


def psnr_db(mse: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, for images in [0, 1] with a peak of 1, from each image's mse in [-1, 1].

    It is 10 log10(1 / e) with e = mse / 4, since the range [-1, 1] is twice as wide. Infinite for a perfect image.
    """
    return -10.0 * torch.log10(mse / 4.0)


def sum_of_squares(mse: float, pixels: int) -> float:
    """Squared error of a whole image in [0, 1], from the mean squared error per pixel in [-1, 1].

    Args: mse, mean squared error per pixel, images in [-1, 1]; pixels, per image (784 for MNIST).
    Returns: the unit of Hinton and Salakhutdinov (2006): pixels * mse / 4.
    Raises: ValueError if mse is negative or not a number.
    """
    if math.isnan(mse) or mse < 0:
        raise ValueError(f"`mse` must be a number of at least 0, got {mse}")
    return pixels * mse / 4.0


class ReconstructionError(Metric):
    """mse, sse and psnr averaged over all images seen; each image has the same weight, also in a short last batch.

    `compute()` first sums over all processes, and returns the three as floats.

    Args: kwargs, those of torchmetrics.Metric; `sync_on_compute=False` keeps to this process.
    """

    full_state_update = False
    mse_sum: Tensor
    psnr_sum: Tensor
    images: Tensor
    pixels: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("mse_sum", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("psnr_sum", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("pixels", torch.tensor(0), dist_reduce_fx="max")

    def update(self, reconstructions: Tensor, images: Tensor) -> None:
        """Adds a batch: two [B, C, H, W] in [-1, 1]."""
        mse = image_mse(reconstructions, images)
        self.mse_sum += mse.sum()
        self.psnr_sum += psnr_db(mse).sum()
        self.images += len(mse)
        self.pixels.fill_(images[0].numel())

    def compute(self) -> dict[str, float]:
        """The metrics so far: `mse` in [-1, 1], `sse` in [0, 1], `psnr` in dB."""
        mse = (self.mse_sum / self.images).item()
        return {
            "mse": mse,
            "sse": mse if math.isnan(mse) else sum_of_squares(mse, int(self.pixels.item())),
            "psnr": (self.psnr_sum / self.images).item(),
        }
