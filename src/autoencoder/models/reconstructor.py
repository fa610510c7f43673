"""Reconstructor: encoder, bottleneck and decoder alone, as one torch module from images to reconstructions."""

from torch import Tensor, nn

from autoencoder.models.bottlenecks import Bottleneck
from autoencoder.models.networks import Network


class Reconstructor(nn.Module):
    """The path of images through a model, without what trains it; its parts are the model's own.

    Args: network and bottleneck, of an `AutoencoderModule`.
    """

    def __init__(self, network: Network, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.encoder, self.bottleneck, self.decoder = network.encoder, bottleneck, network.decoder

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructs `images` [B, C, H, W] in [-1, 1], with the same shape and range."""
        reconstructions: Tensor = self.decoder(self.bottleneck(self.encoder(images)).latents)
        return reconstructions
