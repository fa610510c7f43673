"""PCA is scikit-learn's."""

import pytest
import torch
from sklearn import decomposition

from autoencoder.data.pixels import normalize
from autoencoder.evaluation import pca
from autoencoder.evaluation.evaluate import measure
from autoencoder.evaluation.pca import fit_pca


@pytest.mark.parametrize("latent_dim", [1, 16])
def test_reconstructions_equal_scikit_learns(digits, latent_dim):
    model = fit_pca(digits.evaluation_batches("train"), latent_dim)
    train = normalize(digits.images.train_images[digits.train_indices]).flatten(1).double().numpy()
    images = normalize(digits.images.test_images)
    reference = decomposition.PCA(latent_dim, svd_solver="full").fit(train)
    expected = reference.inverse_transform(reference.transform(images.flatten(1).double().numpy()))
    torch.testing.assert_close(model(images).flatten(1), torch.from_numpy(expected).float(), atol=1e-4, rtol=0)


def test_all_components_reconstruct_any_image(digits):
    model = fit_pca(digits.evaluation_batches("train"), 1000)
    assert model.components.shape == (784, 784)
    assert measure(model, digits.evaluation_batches("test"))["mse"] < 1e-8


def test_no_images_is_an_error():
    with pytest.raises(ValueError, match="no images"):
        fit_pca([], 2)


def test_many_pixels_have_nearly_the_exact_components(digits, monkeypatch):
    batches = digits.evaluation_batches("train")
    exact = measure(fit_pca(batches, 16), digits.evaluation_batches("test"))["mse"]
    monkeypatch.setattr(pca, "EXACT_PIXELS", 100)
    model = fit_pca(batches, 16)
    assert model.components.shape == (16, 784)
    torch.testing.assert_close(model.components @ model.components.T, torch.eye(16), atol=1e-4, rtol=0)
    assert measure(model, digits.evaluation_batches("test"))["mse"] == pytest.approx(exact, rel=0.01)
    variances = model.encode(normalize(digits.images.train_images)).var(0)
    assert (variances.diff() < 0).all(), "largest first"
