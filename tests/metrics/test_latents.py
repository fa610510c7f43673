"""Numbers of latents have the values that theory gives."""

import numpy as np
import pytest
import torch

from autoencoder.metrics.latents import dead_dimensions, effective_rank


def test_dead_dimensions_hardly_vary():
    latents = torch.randn(1000, 5, generator=torch.Generator().manual_seed(0))
    assert dead_dimensions(latents) == 0
    latents[:, 1] = 7.0
    latents[:, 3] *= 0.01
    assert dead_dimensions(latents) == 2
    assert dead_dimensions(torch.ones(10, 4)) == 4


def test_effective_rank_of_known_spreads():
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])  # covariance: the identity
    assert effective_rank(corners) == pytest.approx(2)
    assert effective_rank(corners * torch.tensor([1.0, 0])) == pytest.approx(1)
    assert effective_rank(corners + 100) == pytest.approx(2)
    assert effective_rank(corners[:, :1]) == pytest.approx(1)
    assert effective_rank(torch.ones(10, 4)) == 0
    shares = np.array([9, 1]) / 10  # variances of 9 and 1
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert effective_rank(corners * torch.tensor([3.0, 1])) == pytest.approx(expected)


def test_effective_rank_does_not_depend_on_the_axes():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(500, 4, generator=generator) * torch.tensor([4.0, 2, 1, 0.5])
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q
    assert effective_rank(latents @ turn) == pytest.approx(effective_rank(latents), rel=1e-5)
