"""TopK: keeps an image's largest latents, and sets the others to 0."""

import torch
from torch import Tensor

from autoencoder.errors import InputError
from autoencoder.limits import Count, checked
from autoencoder.models.bottlenecks.bottleneck import Bottleneck, Code


class TopK(Bottleneck):
    """The k-sparse autoencoder (Makhzani and Frey, 2014): only the k largest latents of an image remain.

    Args: latent_dim, as in `Bottleneck`; k, the number of latents that remain.
    Raises: InputError if `k` is larger than `latent_dim`.
    """

    @checked
    def __init__(self, latent_dim: int, k: Count = 8) -> None:
        super().__init__(latent_dim)
        if k > latent_dim:
            raise InputError(
                f"model.bottleneck.k must be at most model.latent_dim, {latent_dim}, got {k}: lower k, or raise "
                "model.latent_dim"
            )
        self.k = k

    def forward(self, encoded: Tensor) -> Code:
        """`encoded` [B, latent_dim]; latents of the same shape, `k` of which are not 0."""
        chosen = encoded.topk(self.k, dim=1).indices
        kept = torch.zeros_like(encoded).scatter(1, chosen, 1.0)
        return Code(encoded * kept, details={"active": kept > 0})
