"""Metrics of generated images are those of their papers, and torchmetrics' where it has them."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from autoencoder.metrics import GENERATED, format_value, is_higher_better, label_of
from autoencoder.metrics import generation as metrics


class Pixels(nn.Module):
    """A feature extractor for torchmetrics: the features are the pixels."""

    num_features = 12

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


@pytest.fixture
def sets() -> tuple[torch.Tensor, torch.Tensor]:
    """Features of 300 generated and 200 real images, [N, 12], from two distributions that overlap."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(12, 12, generator=generator) / 3
    real = torch.randn(200, 12, generator=generator)
    return torch.randn(300, 12, generator=generator) @ (torch.eye(12) + 0.4 * mixing) + 0.1, real


def test_the_frechet_distance_is_torchmetrics(sets):
    reference = FrechetInceptionDistance(feature=Pixels(), input_img_size=(1, 3, 4)).set_dtype(torch.float64)
    for features, is_real in zip(sets, (False, True), strict=True):
        reference.update(features.unflatten(1, (1, 3, 4)).double(), real=is_real)
    assert metrics.frechet_distance(*sets) == pytest.approx(reference.compute().item(), rel=1e-6)


def with_moments(mean: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Rows [100, K] that have exactly this mean and covariance."""
    rows = torch.randn(100, len(mean), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    white = (rows - rows.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(rows.T.cov())).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_the_frechet_distance_of_gaussians_has_a_closed_form():
    """For diagonal covariances it is the sum of (m1 - m2)^2 + (s1 - s2)^2."""
    means = torch.tensor([[0.0, 1.0, -2.0], [3.0, 1.0, 0.0]], dtype=torch.float64)
    deviations = torch.tensor([[1.0, 2.0, 0.5], [1.0, 0.25, 4.0]], dtype=torch.float64)
    first, second = (with_moments(m, s.square().diag()) for m, s in zip(means, deviations, strict=True))
    expected = (means[0] - means[1]).square().sum() + (deviations[0] - deviations[1]).square().sum()
    assert metrics.frechet_distance(first, second) == pytest.approx(expected.item())
    assert metrics.frechet_distance(first[:, :1], second[:, :1]) == pytest.approx(9.0)


@pytest.mark.parametrize("rows", [7, 500])
def test_precision_recall_density_and_coverage_follow_their_definitions(sets, rows, monkeypatch):
    monkeypatch.setattr(metrics, "ROWS_A_TIME", rows)
    generated, real = (features.double().numpy() for features in sets)
    distances = np.linalg.norm(generated[:, None] - real, axis=2)  # [300, 200]

    def radii(features: np.ndarray, k: int) -> np.ndarray:
        return NearestNeighbors(n_neighbors=k).fit(features).kneighbors()[0][:, -1]  # the row itself does not count

    expected = {
        "precision": (distances <= radii(real, 3)).any(1).mean(),
        "recall": (distances <= radii(generated, 3)[:, None]).any(0).mean(),
        "density": (distances <= radii(real, 5)).sum() / (5 * 300),
        "coverage": (distances <= radii(real, 5)).any(0).mean(),
    }
    assert len(set(expected.values())) == 4 and all(0.1 < value < 1.2 for value in expected.values())
    assert {name: getattr(metrics, name)(*sets) for name in expected} == pytest.approx(expected)


def test_identical_sets_are_at_distance_0_and_contain_each_other(sets):
    real = sets[1]
    assert metrics.frechet_distance(real, real) == pytest.approx(0, abs=1e-6)
    assert [metrics.precision(real, real), metrics.recall(real, real), metrics.coverage(real, real)] == [1, 1, 1]


def test_sets_far_apart_do_not_contain_each_other(sets):
    real, far = sets[1], sets[1] + 100
    assert metrics.frechet_distance(far, real) == pytest.approx(12 * 100**2, rel=1e-4)
    for measure in (metrics.precision, metrics.recall, metrics.density, metrics.coverage):
        assert measure(far, real) == 0


def test_sets_of_one_distribution_have_the_density_and_coverage_that_naeem_proves():
    first, second = torch.randn(2, 2000, 8, generator=torch.Generator().manual_seed(0))
    assert metrics.density(first, second) == pytest.approx(1, abs=0.05)
    assert metrics.coverage(first, second) == pytest.approx(1 - 2**-5, abs=0.01)


def test_a_generator_of_one_image_has_precision_but_no_recall(sets):
    real = sets[1]
    collapsed = real[:1] + 1e-3 * torch.randn(200, 12, generator=torch.Generator().manual_seed(0))
    assert metrics.precision(collapsed, real) == 1
    assert metrics.recall(collapsed, real) < 0.02 and metrics.coverage(collapsed, real) < 0.1


@pytest.mark.parametrize("name", GENERATED)
def test_reports_know_each_metric_and_which_direction_is_better(name, sets):
    assert isinstance(GENERATED[name].function(*sets), float)
    assert label_of(f"generated/{name}") == f"generated {GENERATED[name].label}"
    assert format_value(f"train/{name}", 0.25) == format(0.25, GENERATED[name].digits)
    assert is_higher_better(f"generated/{name}") == (name != "pca_frechet")
