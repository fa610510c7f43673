"""A start from principal components in place of random weights: a hundred steps of training less."""

from collections.abc import Iterable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from autoencoder.data.datamodule import ImageDataModule
from autoencoder.errors import InputError
from autoencoder.models.networks import MLPAutoencoder

IMAGES = 5_000  # that the components are found from
RANDOM_SHARE = 0.3  # of the random weights, left on top
BRIGHTEST = 0.97  # of the mean image: Tanh reaches 1 nowhere


class StartFromPCA(Callback):
    """Gives the network the first weights of `start_from_pca`, as the first thing of a fit, whose time includes it.

    For runs of an epoch or less: from the third epoch on, random weights lead to lower errors.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises: InputError for a network that is not fully-connected."""
        if trainer.global_step > 0 or getattr(pl_module, "first_optimizer_state", None) is not None:
            return  # a run that goes on, or starts from a checkpoint's weights
        network, datamodule = getattr(pl_module, "network", None), getattr(trainer, "datamodule", None)
        if not (isinstance(network, MLPAutoencoder) and isinstance(datamodule, ImageDataModule)):
            raise InputError(
                "callbacks.start_from_pca is for fully-connected networks, model=mlp or model=deep: "
                "take one of these, or leave it out with callbacks.start_from_pca=null"
            )
        start_from_pca(network, datamodule.images.train.images(slice(IMAGES)))


@torch.no_grad()
def start_from_pca(network: MLPAutoencoder, images: Tensor) -> None:
    """Makes `network` reconstruct nearly as PCA does; its random weights are shrunk and left on top.

    Two units take a number x through a ReLU, since relu(x) - relu(-x) = x; GELU, too. So a hidden layer carries as
    many components as it has pairs of units, and the bottleneck, which has no activation, as many as it is wide.
    The output's bias is the mean image before Tanh.

    Args:
        network: changed in place.
        images: to find the components from, [B, C, H, W] in [-1, 1].
    """
    encoder, decoder = _linear_layers(network.encoder), _linear_layers(network.decoder)
    bottleneck = encoder[-1]
    count = min(bottleneck.out_features, *(layer.out_features // 2 for layer in encoder[:-1]), len(images))
    flat = images.flatten(1)
    mean = flat.mean(0)
    _, lengths, directions = torch.svd_lowrank(flat - mean, q=min(count + 8, *flat.shape))
    components = directions[:, :count]  # [P, count], orthonormal
    deviation = lengths[:count].mean() / len(flat) ** 0.5  # of a component, typically: units shall carry numbers near 1

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
    """How `count` numbers reach a layer's `width` units, [width, count]: each once, or in `pairs` x and -x."""
    once = torch.eye(width, count)
    return once - once.roll(width // 2, 0) if pairs else once
