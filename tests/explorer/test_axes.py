"""The axes that the page's sliders follow, for latents of any number."""

import base64
import json

import numpy as np
import pytest
import torch

from autoencoder.explorer.axes import PRINCIPAL_AXES, slider_axes


@pytest.mark.parametrize(("images", "dimensions"), [(300, 100), (3, 5), (1, 2), (50, 2)])
def test_principal_axes_are_orthonormal_and_hold_the_most_variance_first(images, dimensions):
    latents = torch.randn(images, dimensions, generator=torch.Generator().manual_seed(0)) * torch.arange(
        1, dimensions + 1
    )
    principal, raw = slider_axes(latents)
    count = min(dimensions, PRINCIPAL_AXES)
    directions = np.frombuffer(base64.b64decode(principal["directions"]), "<f4").reshape(count, dimensions)
    assert np.allclose(directions @ directions.T, np.eye(count), atol=1e-5)
    variances = ((latents.numpy() - principal["origin"]) @ directions.T).var(0)
    assert (np.diff(variances) <= 1e-4 * variances[0]).all()
    for axes, sliders in ((principal, count), (raw, dimensions)):
        assert {len(axes[key]) for key in ("labels", "titles", "low", "high")} == {sliders}
        assert all(low <= high for low, high in zip(axes["low"], axes["high"], strict=True))


def test_latents_that_do_not_vary_have_axes(recwarn):
    content = json.dumps(slider_axes(torch.ones(10, 3)), allow_nan=False)
    assert "0.0% of the variance" in content and not recwarn.list


def test_a_single_dimension_is_its_own_principal_axis():
    [raw] = slider_axes(torch.randn(10, 1))
    assert raw["labels"] == ["z0"]


def test_sliders_of_a_prior_are_in_its_standard_deviations():
    principal, prior = slider_axes(torch.randn(10, 2), has_prior=True)
    assert prior["name"] == "Prior" and prior["low"] == [-3.0, -3.0] and prior["high"] == [3.0, 3.0]
    assert principal["name"] == "Principal axes"
