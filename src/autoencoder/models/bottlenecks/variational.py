"""Variational: the Gaussian bottleneck of a variational autoencoder, with beta, KL warm-up and free bits."""

from math import log

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from autoencoder.limits import Share, checked
from autoencoder.models.bottlenecks.bottleneck import Bottleneck, Code


class Variational(Bottleneck):
    """A Gaussian posterior for each image and a standard normal prior (Kingma and Welling, 2014).

    The encoder gives the mean and the logarithm of the variance of each latent. The penalty is
    beta KL(posterior || prior), in the loss's unit: with beta 1, loss and penalty are the negative ELBO up to a factor
    and a constant, that of a Gaussian decoder of unit variance for `mse`: mse + (2 / D) KL for D pixels.

    Args:
        latent_dim: as in `Bottleneck`.
        beta: weight of the KL (Higgins et al., 2017).
        warmup: share of the run over which beta grows linearly from 0 (Sønderby et al., 2016).
        free_bits: bits per latent dimension that cost nothing, as the batch's mean (Kingma et al., 2016, eq. 15).
    """

    @checked
    def __init__(
        self, latent_dim: int, beta: NonNegativeFloat = 1.0, warmup: Share = 0.0, free_bits: NonNegativeFloat = 0.0
    ) -> None:
        super().__init__(latent_dim)
        self.encoded_dim = 2 * latent_dim
        self.beta = beta
        self.warmup = warmup
        self.free_nats = free_bits * log(2)

    def forward(self, encoded: Tensor) -> Code:
        """`encoded` [B, 2 latent_dim], means then log-variances; latents are samples in training, else the means.

        The KL of each dimension in closed form: (mean^2 + variance - log variance - 1) / 2, Kingma and Welling (2014),
        appendix B.
        """
        mean, log_variance = encoded.chunk(2, dim=1)
        samples = torch.addcmul(mean, (log_variance / 2).exp(), torch.randn_like(mean))
        kl = (mean.square() + log_variance.exp() - log_variance - 1) / 2
        paid = kl.mean(0).clamp(min=self.free_nats).sum()
        weight = self.beta * self.loss_per_nat
        if self.warmup:
            weight *= min(1.0, self.progress / self.warmup)
        latents = samples if self.training else mean
        return Code(latents, {"kl": weight * paid}, {"kl": kl, "samples": samples})

    def sample(self, count: int) -> Tensor:
        """Standard normal latents [count, latent_dim]."""
        return torch.randn(count, self.latent_dim)
