"""The axes that the page's sliders follow: the principal axes of the latents, their raw dimensions, or the prior's."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoencoder.evaluation.projection import principal_axes
from autoencoder.explorer.encoding import encode_bytes

PRINCIPAL_AXES = 64  # sliders at most; axes of less variance than the first 64 hardly change an image
PRIOR_DEVIATIONS = 3.0  # between which a slider in units of the prior moves
QUANTILES = "from the 1 % to the 99 % quantile of the test images"


def slider_axes(latents: Tensor, has_prior: bool = False) -> list[dict[str, Any]]:
    """The sets of axes for the sliders; the page opens on the first. A single dimension is its own principal axis.

    Each set has a `name`, a `hint`, one label and one longer `titles` entry an axis, `directions` (unit vectors, as
    base64; None for the raw dimensions), the `origin` [K] at which all sliders are 0, and the range of each slider,
    from `low` to `high`: the 1 % and 99 % quantiles of the latents along its axis, or three standard deviations of a
    standard normal prior.

    Args: latents, [N, K] on the CPU, finite; has_prior, whether the raw dimensions have such a prior.
    """
    dimensions = latents.shape[1]
    raw = {
        "name": "Raw dimensions",
        "hint": f"Each slider moves one latent dimension, {QUANTILES}.",
        "labels": [f"z{index}" for index in range(dimensions)],
        "titles": [f"latent dimension {index}" for index in range(dimensions)],
        "directions": None,
        "origin": [0.0] * dimensions,
        **_ranges(latents),
    }
    if has_prior:
        raw |= {
            "name": "Prior",
            "hint": "Each slider moves one latent dimension, in standard deviations of the prior.",
            "low": [-PRIOR_DEVIATIONS] * dimensions,
            "high": [PRIOR_DEVIATIONS] * dimensions,
        }
    if dimensions == 1:
        return [raw]
    directions, shares = (values[:PRINCIPAL_AXES] for values in principal_axes(latents))
    mean = latents.double().mean(0)
    numbers = range(1, len(directions) + 1)
    which = f"one of the first {PRINCIPAL_AXES} principal axes" if dimensions > PRINCIPAL_AXES else "one principal axis"
    principal = {
        "name": "Principal axes",
        "hint": f"Each slider moves {which} of the latents, largest variance first, {QUANTILES}.",
        "labels": [f"pc{number}" for number in numbers],
        "titles": [
            f"principal axis {number}, {share:.1%} of the variance"
            for number, share in zip(numbers, shares.tolist(), strict=True)
        ],
        "directions": encode_bytes(directions.float()),
        "origin": mean.tolist(),
        **_ranges((latents.double() - mean) @ directions.T),
    }
    return [principal, raw]


def _ranges(coordinates: Tensor) -> dict[str, list[float]]:
    """The 1 % and 99 % quantiles of each column of `coordinates` [N, A]."""
    low, high = torch.from_numpy(np.quantile(coordinates.numpy(), [0.01, 0.99], axis=0))
    return {"low": low.tolist(), "high": high.tolist()}
