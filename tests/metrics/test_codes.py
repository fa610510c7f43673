"""Metrics of codes, against small cases that can be counted by hand, and SciPy."""

import pytest
import torch
from scipy.stats import entropy

from autoencoder.metrics import codes
from autoencoder.metrics.codes import Codes


def test_use_perplexity_and_bits_of_codebooks():
    indices = torch.tensor([[0, 1], [0, 2], [1, 3], [0, 1]])
    measured = Codes(torch.zeros(4, 2), {"indices": indices}, (2, 8))
    assert codes.codebook_use(measured) == pytest.approx((2 / 2 + 3 / 8) / 2)
    expected = [entropy([3, 1]), entropy([2, 1, 1])]
    assert codes.perplexity(measured) == pytest.approx(float(torch.tensor(expected).exp().mean()))
    assert codes.bits_per_image(measured) == 4


def test_active_and_dead_latents():
    active = torch.tensor([[True, False, False], [True, True, False]])
    measured = Codes(torch.zeros(2, 3), {"active": active}, ())
    assert codes.active_share(measured) == pytest.approx(0.5)
    assert codes.dead_latents(measured) == 1


def test_units_are_active_above_a_variance_of_a_hundredth():
    latents = torch.tensor([[-0.2, -0.05, 0.0], [0.2, 0.05, 0.0]])  # variances 0.04, 0.0025, 0
    details = {"kl": torch.tensor([[1.0, 0.5, 0], [2.0, 0.5, 0]]), "elbo": torch.tensor([-3.0, -5])}
    measured = Codes(latents, details, ())
    assert codes.active_units(measured) == 1
    assert codes.kl(measured) == 2 and codes.elbo(measured) == -4
