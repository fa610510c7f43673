"""Numbers of latents: how many dimensions are dead, and in how many directions the latents spread."""

import torch
from torch import Tensor

DEAD_SHARE = 0.01


def dead_dimensions(latents: Tensor, share: float = DEAD_SHARE) -> int:
    """How many dimensions of `latents` [N, K] vary by less than `share` of the dimensions' mean variance."""
    variances = latents.double().var(0, correction=0)
    return int((variances <= share * variances.mean()).sum())


def effective_rank(latents: Tensor) -> float:
    """In how many directions `latents` [N, K] spread, from 1 to K (Roy and Vetterli, 2007); 0 if they are all equal.

    exp of the entropy of the eigenvalues of their covariance, normalised to a sum of 1: K for a round cloud,
    and, unlike a count of dimensions, the same however the latents are turned.
    """
    eigenvalues = torch.linalg.eigvalsh(torch.atleast_2d(latents.double().T.cov(correction=0))).clamp(min=0)
    total = eigenvalues.sum()
    if total == 0:
        return 0.0
    return float(torch.special.entr(eigenvalues / total).sum().exp())
