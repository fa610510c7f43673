"""The networks: an encoder from images to latents and a decoder back, both plain torch modules."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Literal

from torch import Tensor, nn

from autoencoder.errors import InputError
from autoencoder.limits import memory_in_bytes

Activation = Literal["relu", "gelu", "leaky_relu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
}


class EncoderDecoder(nn.Module):
    """A network with an encoder and a decoder, which subclasses set.

    Attributes: encoder, from images [B, C, H, W] in [-1, 1] to latents [B, latent_dim]; decoder, back to images.
    """

    encoder: nn.Module
    decoder: nn.Module

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructs `images` [B, C, H, W] in [-1, 1], with the same shape and range."""
        return self.decoder(self.encoder(images))


class MLPAutoencoder(EncoderDecoder):
    """A fully-connected encoder and its mirror image, with Tanh at the output.

    For `image_shape` (1, 28, 28), `hidden_dims` [128, 64] and `latent_dim` 32 the layers are
    784-128-64-32-64-128-784, with the activation between them but not on the bottleneck.

    Args:
        image_shape: channels, height and width of an image.
        hidden_dims: widths of the encoder's hidden layers, from the image to the bottleneck.
        latent_dim: width of the bottleneck.
        activation: a key of `ACTIVATIONS`.
    Raises:
        InputError: if training the network needs more memory than this machine has.
    """

    encoder: nn.Sequential
    decoder: nn.Sequential

    def __init__(
        self,
        image_shape: Sequence[int],
        hidden_dims: Sequence[int],
        latent_dim: int,
        activation: Activation,
    ) -> None:
        super().__init__()
        widths = [prod(image_shape), *hidden_dims, latent_dim]
        _check_memory(2 * sum(inputs * outputs for inputs, outputs in pairwise(widths)))
        self.encoder = nn.Sequential(nn.Flatten(), *_layers(widths, activation))
        self.decoder = nn.Sequential(*_layers(widths[::-1], activation), nn.Tanh(), nn.Unflatten(1, tuple(image_shape)))


def _layers(widths: Sequence[int], activation: Activation) -> list[nn.Module]:
    """Linear layers of these widths, with the activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return layers[:-1]


def _check_memory(weights: int) -> None:
    """Raises: InputError if 32-bit weights, gradients and one running average of gradients exceed the memory."""
    needed, there = 3 * 4 * weights, memory_in_bytes()
    if there is not None and needed > there:
        raise InputError(
            f"a network of {weights:,} weights needs {needed / 1e9:,.0f} GB to train, and this machine has "
            f"{there / 1e9:,.0f} GB: set a smaller model.latent_dim or smaller model.hidden_dims"
        )
