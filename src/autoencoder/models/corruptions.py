"""Corruptions: what training does to images before the encoder sees them."""

from typing import NamedTuple

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn.functional import pad

from autoencoder.limits import Count, Share, checked

BLACK = -1.0


class Corrupted(NamedTuple):
    """A corrupted batch: `images` for the encoder, `targets` for the loss, both [B, C, H, W]."""

    images: Tensor
    targets: Tensor


class Corruption(nn.Module):
    """Takes images [B, C, H, W] in [-1, 1] and gives `Corrupted`; subclasses define `forward`. Only training calls it.

    Attributes: changes_images, False for the one that does nothing.
    """

    changes_images = True


class NoCorruption(Corruption):
    """Leaves the images as they are."""

    changes_images = False

    def forward(self, images: Tensor) -> Corrupted:
        return Corrupted(images, images)


class Gaussian(Corruption):
    """Adds normal noise to each pixel, as denoising autoencoders do (Vincent et al., 2010, section 3.3).

    Args: std, of the noise, for images in [-1, 1].
    """

    @checked
    def __init__(self, std: NonNegativeFloat = 0.5) -> None:
        super().__init__()
        self.std = std

    def forward(self, images: Tensor) -> Corrupted:
        return Corrupted(torch.add(images, torch.randn_like(images), alpha=self.std), images)


class Masking(Corruption):
    """Sets a share of the pixels to black, all channels of a pixel together (Vincent et al., 2010, section 3.3).

    Args: share, of the pixels, each chosen at random.
    """

    @checked
    def __init__(self, share: Share = 0.25) -> None:
        super().__init__()
        self.share = share

    def forward(self, images: Tensor) -> Corrupted:
        hidden = torch.rand_like(images[:, :1]) < self.share
        return Corrupted(images.masked_fill(hidden, BLACK), images)


class Shift(Corruption):
    """Shifts each image by whole pixels, up and down and sideways, and repeats its border.

    The loss compares with the shifted image, so this is an augmentation: it adds images, it hides nothing.

    Args: pixels, the largest shift in each direction.
    """

    @checked
    def __init__(self, pixels: Count = 1) -> None:
        super().__init__()
        self.pixels = pixels

    def forward(self, images: Tensor) -> Corrupted:
        count, _, height, width = images.shape
        padded = pad(images, (self.pixels,) * 4, mode="replicate")
        moves = torch.randint(2 * self.pixels + 1, (2, count, 1), device=images.device)
        rows = moves[0] + torch.arange(height, device=images.device)  # [B, H]
        columns = moves[1] + torch.arange(width, device=images.device)  # [B, W]
        which = torch.arange(count, device=images.device)[:, None, None]
        shifted = padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        return Corrupted(shifted, shifted)
