"""Conv: a convolutional encoder and its mirror image as the decoder."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, prod

from torch import nn

from autoencoder.errors import InputError
from autoencoder.limits import Count, checked
from autoencoder.models.networks.network import ACTIVATIONS, Activation, Network, check_memory

KERNEL = 3
SMALLEST = 8  # pixels a side


class Conv(Network):
    """Convolutions of stride 2, each of which halves height and width, then a linear layer to the bottleneck.

    The decoder mirrors them with transposed convolutions, and ends with Tanh. For images of (1, 28, 28), `channels`
    [32, 64] and 32 latent dimensions, the encoder gives 32 x 14 x 14, then 64 x 7 x 7, then 32 numbers; both halves
    have 241,441 parameters.

    Args:
        image_shape, encoded_dim, latent_dim: as in `Network`; height and width of at least 8.
        channels: of each convolution, from the image to the bottleneck.
        activation: between the layers.
    Raises:
        ValueError: for an argument of a wrong type or out of range.
        InputError: if the images are too small, or if training the network needs more memory than this machine has.
    """

    encoder: nn.Sequential
    decoder: nn.Sequential

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        encoded_dim: int,
        latent_dim: int,
        channels: Sequence[Count] = (32, 64),
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        colours, *size = image_shape
        smallest = max(SMALLEST, 2 ** len(channels))
        if min(size) < smallest:
            raise InputError(
                f"images of {size[0]} x {size[1]} pixels are too small for {len(channels)} convolutions that halve "
                f"them, which need {smallest} x {smallest}: use model/network=mlp, or fewer model.network.channels"
            )
        sizes = [size]  # [height, width] before each convolution, and after the last
        for _ in channels:
            sizes.append([ceil(side / 2) for side in sizes[-1]])
        widths = [colours, *channels]
        inner = (widths[-1], *sizes[-1])
        check_memory(
            prod(inner) * (encoded_dim + latent_dim) + sum(2 * KERNEL**2 * a * b for a, b in pairwise(widths)),
            "set a smaller model.latent_dim or smaller model.network.channels",
        )
        encoder: list[nn.Module] = []
        decoder: list[nn.Module] = []
        for (outer, deeper), before, after in zip(pairwise(widths), sizes, sizes[1:], strict=False):
            encoder += [nn.Conv2d(outer, deeper, KERNEL, stride=2, padding=1), ACTIVATIONS[activation]()]
            odd = (before[0] + 1 - 2 * after[0], before[1] + 1 - 2 * after[1])  # 0 or 1 a side
            up = nn.ConvTranspose2d(deeper, outer, KERNEL, stride=2, padding=1, output_padding=odd)
            decoder = [ACTIVATIONS[activation](), up, *decoder]
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), nn.Linear(prod(inner), encoded_dim))
        self.decoder = nn.Sequential(nn.Linear(latent_dim, prod(inner)), nn.Unflatten(1, inner), *decoder, nn.Tanh())
