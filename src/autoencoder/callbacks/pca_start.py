"""Starts training from principal components instead of random weights, which saves a hundred steps."""

from collections.abc import Iterable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from autoencoder.data.base import DataModule
from autoencoder.errors import InputError
from autoencoder.models.bottlenecks.identity import Identity
from autoencoder.models.networks.mlp import MLP

IMAGES = 5_000  # to compute the components from
RANDOM_SHARE = 0.3  # factor of the random weights that are added
BRIGHTEST = 0.97  # of the mean image, since Tanh never reaches 1


class StartFromPCA(Callback):
    """Initialises the network with `start_from_pca` at the start of a fit; the fit's time includes this.

    Use it for runs of an epoch or less: from the third epoch on, random weights lead to lower errors.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises: InputError for a network that is not fully-connected, or has another bottleneck than `Identity`."""
        if trainer.global_step > 0 or getattr(pl_module, "first_optimizer_state", None) is not None:
            return  # a run that is resumed, or starts from a checkpoint's weights
        network, datamodule = getattr(pl_module, "network", None), getattr(trainer, "datamodule", None)
        is_plain = isinstance(getattr(pl_module, "bottleneck", None), Identity)
        if not (isinstance(network, MLP) and is_plain and isinstance(datamodule, DataModule)):
            raise InputError(
                "callbacks.start_from_pca is for fully-connected networks with a plain bottleneck, model=mlp or "
                "model=deep: "
                "use one of these, or leave it out with callbacks.start_from_pca=null"
            )
        start_from_pca(network, datamodule.images.train.images(slice(IMAGES)))


@torch.no_grad()
def start_from_pca(network: MLP, images: Tensor) -> None:
    """Makes `network` reconstruct nearly as PCA does; its random weights are scaled down and added.

    Two units carry a number x through a ReLU, since relu(x) - relu(-x) = x; the same holds for GELU. So a hidden layer
    carries one component per pair of units, and the bottleneck, which has no activation, one per unit. The output's
    bias is the mean image before Tanh.

    Args:
        network: changed in place.
        images: to compute the components from, [B, C, H, W] in [-1, 1].
    """
    encoder, decoder = _linear_layers(network.encoder), _linear_layers(network.decoder)
    bottleneck = encoder[-1]
    count = min(bottleneck.out_features, *(layer.out_features // 2 for layer in encoder[:-1]), len(images))
    flat = images.flatten(1)
    mean = flat.mean(0)
    _, lengths, directions = torch.svd_lowrank(flat - mean, q=min(count + 8, *flat.shape))
    components = directions[:, :count]  # [P, count], orthonormal
    deviation = lengths[:count].mean() / len(flat) ** 0.5  # typical of a component; scales units to about 1

    layers = [*encoder, *decoder]
    carriers = [_carrier(layer.out_features, count, layer is not bottleneck).to(images) for layer in layers[:-1]]
    sources = [components / deviation, *carriers]
    targets = [*carriers, components * deviation]
    for layer, source, target in zip(layers, sources, targets, strict=True):
        layer.weight.mul_(RANDOM_SHARE).add_(target @ source.T)
    layers[0].bias.sub_(targets[0] @ sources[0].T @ mean)
    layers[-1].bias.copy_(mean.clamp(-BRIGHTEST, BRIGHTEST).atanh())


def _linear_layers(part: Iterable[nn.Module]) -> list[nn.Linear]:
    return [layer for layer in part if isinstance(layer, nn.Linear)]


def _carrier(width: int, count: int, pairs: bool) -> Tensor:
    """The matrix [width, count] that maps `count` numbers to `width` units: each once, or as the `pairs` x and -x."""
    once = torch.eye(width, count)
    return once - once.roll(width // 2, 0) if pairs else once
