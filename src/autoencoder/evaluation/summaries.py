"""Metrics that loggers chart over the epochs: errors per class, and how the latents are distributed."""

from torch import Tensor

from autoencoder.evaluation.evaluate import mean_of_each_class
from autoencoder.evaluation.outputs import Outputs
from autoencoder.metrics.latents import dead_dimensions

MAX_HISTOGRAMS = 32  # of a wider bottleneck, only the first dimensions are shown


def error_per_class(outputs: Outputs) -> dict[str, float]:
    """The mean squared error of the test images of each class; empty for images without classes."""
    if not outputs.images.labelled:
        return {}
    means = mean_of_each_class(outputs.errors, outputs.labels)
    return {f"test/mse_of_class/{outputs.images.class_name(label)}": mean for label, mean in means.items()}


def latent_histograms(outputs: Outputs) -> dict[str, Tensor]:
    """The values [N] of each latent dimension over the test images, for a histogram."""
    return {f"latents/{dimension:02d}": values for dimension, values in enumerate(outputs.latents.T[:MAX_HISTOGRAMS])}


def latent_variance(outputs: Outputs) -> dict[str, float]:
    """The variance of each latent dimension over the test images, and the number of dimensions that are not dead."""
    latents = outputs.latents
    if len(latents) < 2:  # no variance
        return {}
    variances = {f"latents/variance/{dimension:02d}": value for dimension, value in enumerate(latents.var(0).tolist())}
    return {"latents/alive": latents.shape[1] - dead_dimensions(latents), **variances}
