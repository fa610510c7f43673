"""A network that starts as PCA is PCA, up to its Tanh and its noise."""

import pytest
import torch
from conftest import QUICK, run_train
from lightning.pytorch import LightningModule, Trainer
from sklearn import decomposition
from test_train import assert_same_weights, weights

from autoencoder import AutoencoderModule
from autoencoder.callbacks.pca_start import BRIGHTEST, StartFromPCA, start_from_pca
from autoencoder.errors import InputError
from autoencoder.evaluation.outputs import Outputs
from autoencoder.models.networks.mlp import MLP

START = "+callbacks.start_from_pca._target_=autoencoder.callbacks.pca_start.StartFromPCA"


@pytest.fixture(scope="module")
def images(digits):
    return digits.images.train.images(slice(1000))


@pytest.mark.parametrize(
    ("hidden_dims", "latent_dim", "activation", "components"),
    [([128, 64], 32, "relu", 32), ([64], 4, "gelu", 4), ([], 8, "relu", 8), ([40, 10], 16, "relu", 5)],
)
def test_without_noise_it_is_pca_before_tanh(images, hidden_dims, latent_dim, activation, components):
    torch.manual_seed(0)
    network = MLP((1, 28, 28), latent_dim, latent_dim, hidden_dims, activation)
    for parameter in network.parameters():
        parameter.data.zero_()
    start_from_pca(network, images)
    flat = images.flatten(1)
    pca = decomposition.PCA(components, svd_solver="full").fit(flat.numpy())
    coded = torch.from_numpy(pca.transform(flat.numpy()) @ pca.components_)
    expected = (flat.mean(0).clamp(-BRIGHTEST, BRIGHTEST).atanh() + coded).tanh()
    error = (network.decoder(network.encoder(images)).flatten(1) - expected).square().mean()
    assert error < 2e-3  # a hundredth of the images' variance: svd_lowrank is approximate in the last components


def test_with_noise_it_is_better_than_random_weights(digits, images):
    torch.manual_seed(0)
    module = AutoencoderModule()
    before = Outputs(module, digits.images).errors.mean()
    start_from_pca(module.network, images)
    assert Outputs(module, digits.images).errors.mean() < before / 3


@pytest.mark.slow
def test_a_run_starts_lower_and_a_resumed_run_does_not_start_again(tmp_path):
    plain = run_train(tmp_path / "plain", *QUICK)
    started = run_train(tmp_path / "pca", *QUICK, START)
    assert started["test/mse"] < plain["test/mse"]
    last = tmp_path / "pca" / "checkpoints" / "last.ckpt"
    for name, arguments in (("on", [START]), ("without", [])):
        run_train(tmp_path / name, "experiment=quick", f"ckpt_path={last}", "trainer.max_epochs=1", *arguments)
    assert_same_weights(weights(tmp_path / "on"), weights(tmp_path / "without"))


def test_another_network_is_an_error():
    with pytest.raises(InputError, match="start_from_pca=null"):
        StartFromPCA().on_train_start(Trainer(logger=False, enable_checkpointing=False), LightningModule())
