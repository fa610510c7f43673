"""Metrics of generated images against real ones: Fréchet distance, precision, recall, density and coverage.

They compare features, two [N, F], of images that were never paired. Precision and density ask whether generated images
look like real ones, recall and coverage whether all kinds of real images are generated.
"""

import torch
from torch import Tensor

MANIFOLD_NEIGHBOURS = 3  # k of precision and recall, as in Kynkäänniemi et al.
DENSITY_NEIGHBOURS = 5  # k of density and coverage, as in Naeem et al.
FEWEST = DENSITY_NEIGHBOURS + 1  # images: each needs k others
ROWS_A_TIME = 500  # of a matrix of distances: 20 MB for 10,000 columns


def frechet_distance(generated: Tensor, real: Tensor) -> float:
    """The squared Fréchet distance of two Gaussians with the features' means m and covariances S (N - 1).

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)): Dowson and Landau (1982); Heusel et al. (2017), eq. 6, where the
    features are Inception's. The trace of the root is that of the symmetric (R S2 R)^(1/2) with R = S1^(1/2).
    """
    mean_1, mean_2 = generated.double().mean(0), real.double().mean(0)
    covariance_1, covariance_2 = (torch.atleast_2d(features.double().T.cov()) for features in (generated, real))
    values, vectors = torch.linalg.eigh(covariance_1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ covariance_2 @ root).clamp(min=0).sqrt().sum()
    distance = (mean_1 - mean_2).square().sum() + covariance_1.trace() + covariance_2.trace() - 2 * shared
    return max(float(distance), 0.0)  # rounding


def precision(generated: Tensor, real: Tensor, k: int = MANIFOLD_NEIGHBOURS) -> float:
    """The share of generated images that are in the real manifold: at least one ball around a real image has them.

    A ball reaches to the image's k-th nearest neighbour among its own. Source: Kynkäänniemi et al. (2019), eq. 1 and 2.
    """
    return _share(_count_balls(generated, real, _radii(real, k)) > 0)


def recall(generated: Tensor, real: Tensor, k: int = MANIFOLD_NEIGHBOURS) -> float:
    """The share of real images that are in the generated manifold: `precision` with the two sets swapped."""
    return precision(real, generated, k)


def density(generated: Tensor, real: Tensor, k: int = DENSITY_NEIGHBOURS) -> float:
    """The number of balls around real images that have a generated image, divided by k; its mean may exceed 1.

    It is 1 on average if both sets are of one distribution. Source: Naeem et al. (2020); lemma 1.
    """
    return float(_count_balls(generated, real, _radii(real, k)).double().mean()) / k


def coverage(generated: Tensor, real: Tensor, k: int = DENSITY_NEIGHBOURS) -> float:
    """The share of real images with a generated image in their ball.

    It is about 1 - 2^-k, 0.97, if both sets are of one distribution. Source: Naeem et al. (2020); lemma 2.
    """
    return _share(_kth_distances(real, generated, 1) <= _radii(real, k))


def _radii(features: Tensor, k: int) -> Tensor:
    """The distance [N] of each row to its k-th nearest neighbour among the other rows."""
    return _kth_distances(features, features, k + 1)  # the nearest is the row itself


def _kth_distances(points: Tensor, others: Tensor, k: int) -> Tensor:
    """The distance [N] of each of `points` [N, F] to the k-th nearest of `others` [M, F]."""
    parts = points.split(ROWS_A_TIME)
    return torch.cat([torch.cdist(part, others).topk(k, largest=False).values[:, -1] for part in parts])


def _count_balls(points: Tensor, centres: Tensor, radii: Tensor) -> Tensor:
    """How many of the balls around `centres` [M, F] with `radii` [M] have each of `points` [N, F] in them, [N]."""
    return torch.cat([(torch.cdist(part, centres) <= radii).sum(1) for part in points.split(ROWS_A_TIME)])


def _share(chosen: Tensor) -> float:
    return float(chosen.double().mean())
