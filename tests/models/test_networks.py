"""The networks have the layers that their names promise."""

from typing import get_args

import pytest
import torch
from torch import nn

from autoencoder.errors import InputError
from autoencoder.models.networks.conv import Conv
from autoencoder.models.networks.mlp import MLP
from autoencoder.models.networks.network import ACTIVATIONS, Activation


def test_default_is_784_128_64_32_and_its_mirror():
    network = MLP((1, 28, 28), 32, 32)
    widths = [(layer.in_features, layer.out_features) for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert widths == [(784, 128), (128, 64), (64, 32), (32, 64), (64, 128), (128, 784)]
    assert sum(parameter.numel() for parameter in network.parameters()) == 222_384


def test_bottleneck_and_output_have_no_activation_of_the_hidden_layers():
    network = MLP((1, 28, 28), 32, 32)
    images = torch.rand(64, 1, 28, 28) * 2 - 1
    assert network.encoder(images).min() < 0
    assert isinstance(network.decoder[-2], nn.Tanh)
    assert network.decoder(network.encoder(images)).abs().max() <= 1


@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation_that_the_type_allows_is_built(activation):
    network = MLP((1, 4, 4), 2, 2, [8], activation)
    assert any(type(layer) is ACTIVATIONS[activation] for layer in network.encoder)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (1, 8, 8), (3, 9, 13), (1, 31, 64)])
def test_convolutions_take_any_size_from_8_x_8(shape):
    network = Conv(shape, 6, 5)
    images = torch.rand(2, *shape) * 2 - 1
    assert network.encoder(images).shape == (2, 6)
    assert network.decoder(torch.zeros(2, 5)).shape == images.shape


def test_convolutions_have_about_as_many_parameters_as_the_default():
    assert sum(parameter.numel() for parameter in Conv((1, 28, 28), 32, 32).parameters()) == 241_441


@pytest.mark.parametrize(("shape", "channels"), [((1, 7, 28), [8]), ((1, 28, 28), [8] * 5)])
def test_images_too_small_for_the_convolutions_are_one_line(shape, channels):
    with pytest.raises(InputError, match=r"are too small for \d convolutions .* use model/network=mlp"):
        Conv(shape, 4, 4, channels)
