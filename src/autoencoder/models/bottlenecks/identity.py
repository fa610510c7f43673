"""Identity: the plain autoencoder's bottleneck, whose latents are the encoder's output."""

from torch import Tensor

from autoencoder.models.bottlenecks.bottleneck import Bottleneck, Code


class Identity(Bottleneck):
    """Passes the encoder's output on; its width alone is the bottleneck."""

    def forward(self, encoded: Tensor) -> Code:
        """`encoded` [B, latent_dim] as latents of the same shape."""
        return Code(encoded)
