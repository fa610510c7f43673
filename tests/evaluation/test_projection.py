"""A map of the latents: t-SNE keeps classes apart, PCA is scikit-learn's, odd inputs have a map or a clear error."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Tensor

from autoencoder.errors import InputError
from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.projection import project, spread_evenly
from autoencoder.runs.checkpoints import restore


def agreement(points: Tensor, labels: Tensor, neighbours: int = 5) -> float:
    """The mean share of a point's nearest neighbours that are of its class."""
    search = NearestNeighbors(n_neighbors=neighbours).fit(points)
    nearest = search.kneighbors(return_distance=False)  # without the points themselves
    return (labels[nearest] == labels[:, None]).double().mean().item()


def test_tsne_separates_the_classes_better_than_pca(run):
    module, digits = restore(run / "checkpoints" / "best.ckpt")
    latents, labels = Outputs(module, digits.images).labelled_latents
    share = {name: agreement(project(latents, name)[0], labels) for name in ("tsne", "pca")}
    print(share)
    assert share["tsne"] > share["pca"] + 0.2
    assert share["tsne"] > agreement(latents, labels) - 0.1  # of all dimensions: little is lost


def test_the_same_latents_have_the_same_points(monkeypatch):
    latents = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    for name in ("tsne", "pca"):
        assert torch.equal(project(latents.clone(), name)[0], project(latents, name)[0])

    def fit_transform(self: TSNE, values: np.ndarray) -> np.ndarray:
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}  # their number changes the points
        return values[:, :2]

    monkeypatch.setattr(TSNE, "fit_transform", fit_transform)
    with threadpool_limits(2):
        project(latents, "tsne")


def test_pca_is_scikit_learns():
    latents = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5, 2, 3, 1])
    points, labels = project(latents, "pca")
    reference = PCA(2).fit(latents.numpy())
    np.testing.assert_allclose(points.abs(), np.abs(reference.transform(latents.numpy())), atol=1e-4)
    assert f"({reference.explained_variance_ratio_[0]:.0%} of the variance)" in labels[0]


@pytest.mark.parametrize("name", ["tsne", "pca"])
@pytest.mark.parametrize("count", [*range(1, 11), 40])
def test_few_equal_tiny_and_huge_latents_have_a_map(count, name):
    random = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    equal = random[:1].expand(count, 3)
    two = torch.cat([random[:1], equal[1:] + 1])
    for latents in (random, equal, two, random[:, :2], random * 1e-15, random * 1e15, random * torch.eye(3)[0]):
        points, labels = project(latents, name)
        assert points.shape == (count, 2) and points.dtype == torch.float32 and points.isfinite().all()
        assert all(labels)


def test_one_dimension_makes_a_line():
    latents = torch.tensor([[3.0], [1.0]])
    for name in ("tsne", "pca", "umap"):
        points, labels = project(latents, name)
        assert points.tolist() == [[3, 0], [1, 0]] and labels == ("the one latent dimension", "")


def test_latents_that_are_no_numbers_are_an_error():
    with pytest.raises(InputError, match="some are not finite numbers; use another checkpoint"):
        project(torch.tensor([[0.0, float("nan")]]), "tsne")


def test_images_are_spread_evenly():
    assert spread_evenly(10, 4).tolist() == [0, 3, 6, 9]
    assert spread_evenly(3, 1_300).tolist() == [0, 1, 2]


def test_umap_that_is_not_installed_is_an_error_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match="pip install umap-learn, or use projection=tsne"):
        project(torch.rand(9, 3), "umap")


def test_umap_that_is_installed_is_used(monkeypatch):
    class UMAP:
        def __init__(self, random_state):
            assert random_state == 0  # the same map each time

        def fit_transform(self, latents):
            return latents[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    latents = torch.rand(9, 3)
    points, labels = project(latents, "umap")
    assert torch.equal(points, latents[:, :2]) and labels[0].startswith("UMAP")
