"""Metrics of latents: the number of dead dimensions, and the effective rank."""

import torch
from torch import Tensor

DEAD_SHARE = 0.01


def dead_dimensions(latents: Tensor, share: float = DEAD_SHARE) -> int:
    """The number of dimensions of `latents` [N, K] whose variance is at most `share` of the mean variance."""
    variances = latents.double().var(0, correction=0)
    return int((variances <= share * variances.mean()).sum())


def effective_rank(latents: Tensor) -> float:
    """The effective rank of `latents` [N, K], from 1 to K (Roy and Vetterli, 2007); 0 if all latents are equal.

    It is the exponential of the entropy of the covariance's eigenvalues, normalised to a sum of 1. It is K if all
    directions have the same variance, and does not change when the latents are rotated.
    """
    eigenvalues = torch.linalg.eigvalsh(torch.atleast_2d(latents.double().T.cov(correction=0))).clamp(min=0)
    total = eigenvalues.sum()
    if total == 0:
        return 0.0
    return float(torch.special.entr(eigenvalues / total).sum().exp())
