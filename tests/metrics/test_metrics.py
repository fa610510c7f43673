"""Metrics equal plain NumPy's, whatever the batches."""

import numpy as np
import pytest
import torch

from autoencoder.metrics.reconstruction import ReconstructionError, sum_of_squares


def test_metrics_equal_numpys_with_a_short_last_batch():
    random = np.random.default_rng(0)
    images, reconstructions = random.uniform(-1, 1, (2, 23, 1, 7, 5)).astype(np.float32)
    error = ReconstructionError()
    for start in range(0, 23, 10):
        batch = slice(start, start + 10)
        error.update(torch.from_numpy(reconstructions[batch]), torch.from_numpy(images[batch]))

    unit_error = (images.astype(np.float64) / 2 - reconstructions.astype(np.float64) / 2).reshape(23, -1) ** 2
    metrics = error.compute()
    assert metrics["mse"] == pytest.approx(4 * unit_error.mean(), rel=1e-5)
    assert metrics["sse"] == pytest.approx(unit_error.sum(1).mean(), rel=1e-5)
    assert metrics["psnr"] == pytest.approx((10 * np.log10(1 / unit_error.mean(1))).mean(), rel=1e-5)


def test_sum_of_squares_is_the_published_unit():
    assert sum_of_squares(0.0673, 784) == pytest.approx(13.19, abs=0.01)  # PCA, 32 components


@pytest.mark.parametrize("mse", [-0.1, float("nan")])
def test_sum_of_squares_refuses_what_is_no_error(mse):
    with pytest.raises(ValueError, match="`mse`"):
        sum_of_squares(mse, 784)
