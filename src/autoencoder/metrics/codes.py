"""Metrics of what a bottleneck says of its codes: KL and ELBO, active latents, the use of codebooks."""

from collections.abc import Mapping
from math import log2
from typing import NamedTuple

import torch
from torch import Tensor

ACTIVE_VARIANCE = 0.01  # of a unit's posterior means over the images


class Codes(NamedTuple):
    """The codes of a split.

    Attributes:
        latents: [N, K], without sampling.
        details: one row per image by name, as in the bottleneck's `Code`, and `elbo` [N] in nats.
        sizes: of a quantiser, the number of values of each of its G indices.
    """

    latents: Tensor
    details: Mapping[str, Tensor]
    sizes: tuple[int, ...]


def kl(codes: Codes) -> float:
    """The KL from posterior to prior in nats per image, summed over latent dimensions: the rate of the code."""
    return float(codes.details["kl"].double().sum(1).mean())


def elbo(codes: Codes) -> float:
    """The evidence lower bound in nats per image, estimated with one sample of the posterior for each image."""
    return float(codes.details["elbo"].double().mean())


def active_units(codes: Codes) -> int:
    """The number of latent dimensions whose posterior mean varies over the images by more than 0.01 in variance.

    Source: Burda, Grosse and Salakhutdinov (2016), section 5.2.
    """
    return int((codes.latents.double().var(0, correction=0) > ACTIVE_VARIANCE).sum())


def active_share(codes: Codes) -> float:
    """The share of latents that are active, averaged over the images."""
    return float(codes.details["active"].double().mean())


def dead_latents(codes: Codes) -> int:
    """The number of latent dimensions that are active for no image."""
    return int((~codes.details["active"].any(0)).sum())


def codebook_use(codes: Codes) -> float:
    """The share of a codebook's values that occur, averaged over the indices."""
    shares = [(counts > 0).double().mean() for counts in _counts(codes)]
    return float(torch.stack(shares).mean())


def perplexity(codes: Codes) -> float:
    """The exponential of the entropy of an index over the images, averaged over the indices; at most its size."""
    entropies = [torch.special.entr(counts / counts.sum()).sum() for counts in _counts(codes)]
    return float(torch.stack(entropies).exp().mean())


def bits_per_image(codes: Codes) -> float:
    """The bits that an image's indices take, each written with the same number of bits for every value."""
    return sum(map(log2, codes.sizes))


def _counts(codes: Codes) -> list[Tensor]:
    """How often each value occurs, float64, for each index."""
    columns = codes.details["indices"].T
    return [column.bincount(minlength=size).double() for column, size in zip(columns, codes.sizes, strict=True)]
