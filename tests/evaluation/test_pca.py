"""PCA is scikit-learn's."""

import pytest
import torch
from sklearn import decomposition

from autoencoder.evaluation import pca
from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.pca import fit_pca


@pytest.mark.parametrize("latent_dim", [1, 16])
def test_reconstructions_equal_scikit_learns(digits, latent_dim):
    model = fit_pca(digits.images.train, latent_dim)
    train = digits.images.train.images(slice(None)).flatten(1).double().numpy()
    images = digits.images.test.images(slice(None))
    reference = decomposition.PCA(latent_dim, svd_solver="full").fit(train)
    expected = reference.inverse_transform(reference.transform(images.flatten(1).double().numpy()))
    torch.testing.assert_close(model(images).flatten(1), torch.from_numpy(expected).float(), atol=1e-4, rtol=0)


def test_all_components_reconstruct_any_image(digits):
    model = fit_pca(digits.images.train, 1000)
    assert model.components.shape == (784, 784)
    assert Outputs(model, digits.images).errors.mean() < 1e-8


def test_many_pixels_have_nearly_the_exact_components(digits, monkeypatch):
    exact = Outputs(fit_pca(digits.images.train, 16), digits.images).errors.mean().item()
    monkeypatch.setattr(pca, "EXACT_PIXELS", 100)
    model = fit_pca(digits.images.train, 16)
    assert model.components.shape == (16, 784)
    torch.testing.assert_close(model.components @ model.components.T, torch.eye(16), atol=1e-4, rtol=0)
    assert Outputs(model, digits.images).errors.mean().item() == pytest.approx(exact, rel=0.01)
    variances = model.encode(digits.images.train.images(slice(None))).var(0)
    assert (variances.diff() < 0).all(), "largest first"
