"""PCA is scikit-learn's."""

import pytest
import torch
from sklearn import decomposition

from autoencoder.evaluation import measure
from autoencoder.pca import fit_pca
from autoencoder.pixels import normalize


@pytest.mark.parametrize("latent_dim", [1, 16])
def test_reconstructions_equal_scikit_learns(digits, latent_dim):
    pca = fit_pca(digits.evaluation_batches("train"), latent_dim)
    train = normalize(digits.images.train_images[digits.train_indices]).flatten(1).double().numpy()
    images = normalize(digits.images.test_images)
    reference = decomposition.PCA(latent_dim, svd_solver="full").fit(train)
    expected = reference.inverse_transform(reference.transform(images.flatten(1).double().numpy()))
    torch.testing.assert_close(pca(images).flatten(1), torch.from_numpy(expected).float(), atol=1e-4, rtol=0)


def test_all_components_reconstruct_any_image(digits):
    pca = fit_pca(digits.evaluation_batches("train"), 1000)
    assert pca.components.shape == (784, 784)
    assert measure(pca, digits.evaluation_batches("test"))["mse"] < 1e-8


def test_no_images_is_an_error():
    with pytest.raises(ValueError, match="no images"):
        fit_pca([], 2)
