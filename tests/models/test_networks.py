"""The networks have the layers that their names promise."""

from typing import get_args

import pytest
import torch
from torch import nn

from autoencoder.models.networks import ACTIVATIONS, Activation, MLPAutoencoder


def test_default_is_784_128_64_32_and_its_mirror():
    network = MLPAutoencoder((1, 28, 28), [128, 64], 32, "relu")
    widths = [(layer.in_features, layer.out_features) for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert widths == [(784, 128), (128, 64), (64, 32), (32, 64), (64, 128), (128, 784)]
    assert sum(parameter.numel() for parameter in network.parameters()) == 222_384


def test_bottleneck_and_output_have_no_activation_of_the_hidden_layers():
    network = MLPAutoencoder((1, 28, 28), [128, 64], 32, "relu")
    images = torch.rand(64, 1, 28, 28) * 2 - 1
    assert network.encoder(images).min() < 0
    assert isinstance(network.decoder[-2], nn.Tanh)
    assert network(images).abs().max() <= 1


@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation_that_the_type_allows_is_built(activation):
    network = MLPAutoencoder((1, 4, 4), [8], 2, activation)
    assert any(type(layer) is ACTIVATIONS[activation] for layer in network.encoder)
