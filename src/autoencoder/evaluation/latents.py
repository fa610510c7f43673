"""The latents of a split, and how much of their room they use."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoder.data.pixels import normalize

DEAD_SHARE = 0.01


class Latents(NamedTuple):
    """One row an image: `values` [N, K] float32, `labels` [N] int64."""

    values: Tensor
    labels: Tensor


def collect_latents(encode: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> Latents:
    """The latents of all images in `batches`, in their order.

    Args:
        encode: from images [B, C, H, W] in [-1, 1] to latents [B, K].
        batches: (pixels [B, C, H, W] uint8, labels [B]).
    Raises: ValueError if there are no images.
    """
    with torch.inference_mode():
        parts = [(encode(normalize(pixels)).float(), labels) for pixels, labels in batches]
    if not parts:
        raise ValueError("`batches` holds no images to encode")
    values, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    return Latents(values, labels)


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
