"""Sparse: latents of which few are active, by a penalty on their sum."""

from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn.functional import relu

from autoencoder.limits import checked
from autoencoder.models.bottlenecks.bottleneck import Bottleneck, Code


class Sparse(Bottleneck):
    """ReLU latents with an L1 penalty (Olshausen and Field, 1996; Ng, 2011, 'Sparse autoencoder').

    Args:
        latent_dim: as in `Bottleneck`.
        weight: of the penalty: the sum of an image's latents, averaged over the batch.
    """

    @checked
    def __init__(self, latent_dim: int, weight: NonNegativeFloat = 1e-4) -> None:
        super().__init__(latent_dim)
        self.weight = weight

    def forward(self, encoded: Tensor) -> Code:
        """`encoded` [B, latent_dim]; latents of the same shape, 0 or more."""
        latents = relu(encoded)
        return Code(latents, {"l1": self.weight * latents.sum(1).mean()}, {"active": latents > 0})
