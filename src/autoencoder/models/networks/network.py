"""Network, the base of all networks: what the module needs of one."""

from typing import Literal

from torch import nn

from autoencoder.errors import InputError
from autoencoder.limits import memory_in_bytes

Activation = Literal["relu", "gelu", "leaky_relu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
}


class Network(nn.Module):
    """An encoder and a decoder, which subclasses make.

    The module calls `NAME(image_shape, encoded_dim, latent_dim, …)` with the network's own settings after these three:

        image_shape: channels, height and width of an image.
        encoded_dim: width of the encoder's output, which the bottleneck takes.
        latent_dim: width of the latents, which the bottleneck gives to the decoder.

    Attributes:
        encoder: from images [B, C, H, W] in [-1, 1] to [B, encoded_dim].
        decoder: from latents [B, latent_dim] to images [B, C, H, W] in [-1, 1].
    """

    encoder: nn.Module
    decoder: nn.Module


def check_memory(weights: int, remedy: str) -> None:
    """Raises: InputError if 32-bit weights, gradients and one running average of gradients exceed the memory."""
    needed, there = 3 * 4 * weights, memory_in_bytes()
    if there is not None and needed > there:
        raise InputError(
            f"a network of {weights:,} weights needs {needed / 1e9:,.0f} GB to train, and this machine has "
            f"{there / 1e9:,.0f} GB: {remedy}"
        )
