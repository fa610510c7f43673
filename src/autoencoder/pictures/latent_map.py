"""A map of the latents: two dimensions that show how the classes lie."""

import importlib

import torch
from matplotlib.figure import Figure
from torch import Tensor

from autoencoder.errors import InputError
from autoencoder.evaluation.outputs import Outputs
from autoencoder.pictures import Projection
from autoencoder.pictures.style import CLASS_COLORS, new_figure, tidy


def draw_latent_map(outputs: Outputs, projection: Projection = "pca") -> Figure:
    """The latents of the test images in two dimensions, one point an image, coloured by class.

    Args:
        projection: `pca`, the two directions of largest variance, or `umap` (McInnes, Healy and Melville, 2018),
            which needs the package umap-learn.
    Raises: InputError for `umap` where it is not installed; ValueError for fewer than two latent dimensions.
    """
    points, axis_labels = project(outputs.latents, projection)
    labels = outputs.labels
    figure = new_figure(4.6, "Map of the test images' latents", outputs)
    axes = figure.subplots()
    # One call for all classes, in the images' own order: no class hides the others.
    colors = [CLASS_COLORS[label % len(CLASS_COLORS)] for label in labels.tolist()]
    size = min(30.0, max(3.0, 1_500 / len(points)))  # in square points: a few are larger
    axes.scatter(points[:, 0], points[:, 1], s=size, c=colors, linewidths=0, alpha=0.7, rasterized=True)
    for label in labels.unique().tolist():
        axes.scatter([], [], s=30, color=CLASS_COLORS[label % len(CLASS_COLORS)], label=outputs.images.classes[label])
    figure.legend(title="class", frameon=False, fontsize=8, title_fontsize=8, loc="outside right center")
    axes.set_xlabel(axis_labels[0], fontsize=8)
    axes.set_ylabel(axis_labels[1], fontsize=8)
    tidy(axes)
    return figure


def check_projection(projection: Projection) -> None:
    """Raises: InputError if the package that `projection` needs is not installed."""
    if projection == "umap":
        try:
            importlib.import_module("umap")
        except ImportError:
            raise InputError(
                "projection=umap needs the package umap-learn: pip install umap-learn, or take projection=pca"
            ) from None


def project(latents: Tensor, projection: Projection) -> tuple[Tensor, tuple[str, str]]:
    """Points [N, 2] of `latents` [N, K] and the names of the two axes; errors as in `draw_latent_map`."""
    if latents.shape[1] < 2:
        raise ValueError(f"`latents` must have at least 2 dimensions to be mapped, got {latents.shape[1]}")
    if projection == "umap":
        check_projection(projection)
        umap = importlib.import_module("umap")
        embedded = umap.UMAP(random_state=0).fit_transform(latents.numpy())
        return torch.from_numpy(embedded), ("UMAP 1 (no unit)", "UMAP 2 (no unit)")
    centred = latents.double() - latents.double().mean(0)
    variances, directions = torch.linalg.eigh(centred.T @ centred)  # smallest first
    shares = (variances / variances.sum().clamp(min=1e-12)).flip(0).tolist()
    first, second = (
        f"{name} principal component of the latents ({share:.0%} of the variance)"
        for name, share in zip(("first", "second"), shares, strict=False)
    )
    return (centred @ directions.flip(1)[:, :2]).float(), (first, second)
