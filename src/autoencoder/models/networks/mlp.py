"""MLP: a fully-connected encoder and its mirror image as the decoder."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import nn

from autoencoder.limits import Count, checked
from autoencoder.models.networks.network import ACTIVATIONS, Activation, Network, check_memory


class MLP(Network):
    """Linear layers with an activation between them, but not on the encoder's output, and Tanh on the decoder's.

    For images of (1, 28, 28), `hidden_dims` [128, 64] and 32 latent dimensions the layers are
    784-128-64-32-64-128-784.

    Args:
        image_shape, encoded_dim, latent_dim: as in `Network`.
        hidden_dims: widths of the encoder's hidden layers, from the image to the bottleneck; the decoder mirrors them.
        activation: between the layers.
    Raises:
        ValueError: for an argument of a wrong type or out of range.
        InputError: if training the network needs more memory than this machine has.
    """

    encoder: nn.Sequential
    decoder: nn.Sequential

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        encoded_dim: int,
        latent_dim: int,
        hidden_dims: Sequence[Count] = (128, 64),
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        encoder = [prod(image_shape), *hidden_dims, encoded_dim]
        decoder = [latent_dim, *reversed(hidden_dims), prod(image_shape)]
        check_memory(
            sum(inputs * outputs for widths in (encoder, decoder) for inputs, outputs in pairwise(widths)),
            "set a smaller model.latent_dim or smaller model.network.hidden_dims",
        )
        self.encoder = nn.Sequential(nn.Flatten(), *_layers(encoder, activation))
        self.decoder = nn.Sequential(*_layers(decoder, activation), nn.Tanh(), nn.Unflatten(1, tuple(image_shape)))


def _layers(widths: Sequence[int], activation: Activation) -> list[nn.Module]:
    """Linear layers of these widths, with the activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return layers[:-1]
