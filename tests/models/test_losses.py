"""Losses are likelihoods: loss and weighted KL are the negative ELBO in the loss's unit."""

from functools import partial

import pytest
import torch
from torch.distributions import Bernoulli, Laplace, Normal

from autoencoder import AutoencoderModule
from autoencoder.models.bottlenecks.variational import Variational
from autoencoder.models.losses import BCE, L1, MSE

DECODERS = {
    MSE: lambda reconstructions: Normal(reconstructions, 1.0),
    L1: lambda reconstructions: Laplace(reconstructions, 1.0),
    BCE: lambda reconstructions: Bernoulli((reconstructions + 1) / 2),
}


@pytest.fixture
def pair():
    torch.manual_seed(0)
    images = torch.randint(0, 2, (7, 1, 5, 4)) * 2.0 - 1
    return torch.rand(7, 1, 5, 4) * 1.9 - 0.95, images


@pytest.mark.parametrize("loss", DECODERS)
def test_log_likelihood_is_that_of_the_decoder(loss, pair):
    reconstructions, images = pair
    values = (images + 1) / 2 if loss is BCE else images
    expected = DECODERS[loss](reconstructions).log_prob(values).flatten(1).sum(1)
    torch.testing.assert_close(loss().log_likelihood(reconstructions, images), expected)
    torch.testing.assert_close(loss()(reconstructions, images), loss().of_images(reconstructions, images).mean())


@pytest.mark.parametrize("loss", DECODERS)
def test_beta_1_is_the_elbo(loss, pair):
    """Up to a factor, and the constant of the likelihood."""
    reconstructions, images = pair
    module = AutoencoderModule(3, bottleneck=Variational, loss=loss, image_shape=(1, 5, 4))
    code = module.code(images)
    pixels, nats = 20, code.details["kl"].sum(1)
    elbo = (module.loss.log_likelihood(reconstructions, images) - nats).mean()
    objective = module.loss(reconstructions, images) + code.penalties["kl"]
    torch.testing.assert_close(objective, module.loss.per_nat * (-elbo / pixels - module.loss.constant))


def test_mse_and_two_kl_over_pixels():
    """The unit of beta, as it is documented."""
    module = AutoencoderModule(3, bottleneck=partial(Variational, beta=1.0))
    code = module.code(torch.rand(4, 1, 28, 28))
    expected = 2 / 784 * code.details["kl"].sum(1).mean()
    torch.testing.assert_close(code.penalties["kl"], expected)


def test_certain_and_wrong_pixels_cost_a_finite_bce():
    reconstructions = torch.ones(1, 1, 2, 2, requires_grad=True)
    loss = BCE()(reconstructions, -torch.ones(1, 1, 2, 2))
    loss.backward()
    assert loss.isfinite() and reconstructions.grad.isfinite().all()
