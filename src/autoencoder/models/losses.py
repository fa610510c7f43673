"""Losses: how far a reconstruction is from its image. Training minimises one; the metrics are the same for all."""

from math import log, pi
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

SURE = 1e-6  # no pixel's probability comes closer to 0 or 1, whose logarithm is infinite


class Loss(nn.Module):
    """A loss as a mean over pixels and images, which is the negative log-likelihood of a decoder up to a constant.

    Attributes:
        per_nat: what one nat per pixel counts in the loss. One nat per image counts per_nat / D for D pixels.
        constant: nats per pixel that the loss leaves out.
    """

    per_nat: ClassVar[float]
    constant: ClassVar[float]

    def of_images(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """The loss of each image, [B], from two tensors [B, C, H, W] in [-1, 1]."""
        raise NotImplementedError

    def forward(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """The mean over the images of a batch, a scalar."""
        return self.of_images(reconstructions, images).mean()

    def log_likelihood(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """log p(image | latents) in nats, [B], of the decoder that the loss stands for."""
        pixels = images[0].numel()
        return -pixels * (self.of_images(reconstructions, images) / self.per_nat + self.constant)


class MSE(Loss):
    """Mean squared error: a Gaussian decoder of unit variance, -log p = error / 2 + log(2 pi) / 2 for each pixel."""

    per_nat = 2.0
    constant = log(2 * pi) / 2

    def of_images(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        return mse_loss(reconstructions, images, reduction="none").flatten(1).mean(1)

    def forward(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        return mse_loss(reconstructions, images)


class BCE(Loss):
    """Binary cross-entropy of pixels as probabilities in [0, 1]: a Bernoulli decoder; summed, -log p.

    Grey values are taken as probabilities, too, as is usual.
    """

    per_nat = 1.0
    constant = 0.0

    def of_images(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        probabilities = ((reconstructions.float() + 1) / 2).clamp(SURE, 1 - SURE)
        values = (images + 1) / 2
        return -(values * probabilities.log() + (1 - values) * (-probabilities).log1p()).flatten(1).mean(1)


class L1(Loss):
    """Mean absolute error: a Laplace decoder of scale 1, -log p = error + log 2 for each pixel."""

    per_nat = 1.0
    constant = log(2)

    def of_images(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        return l1_loss(reconstructions, images, reduction="none").flatten(1).mean(1)
