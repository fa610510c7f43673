"""Figures of images: reconstructions, the worst and the median, traversals and interpolations."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from autoencoder.data.datamodule import ImageDataModule
from autoencoder.data.pixels import normalize
from autoencoder.evaluation.latents import collect_latents
from autoencoder.evaluation.samples import interpolation_latents, traversal_latents, worst_and_median
from autoencoder.models.module import AutoencoderModule
from autoencoder.pictures.style import ERROR_UNIT, centres, inches, new_figure, show_images, test_errors

LOW, HIGH = 0.01, 0.99  # quantiles between which a traversal moves


def draw_reconstructions(
    module: AutoencoderModule, datamodule: ImageDataModule, errors: Tensor | None = None, per_class: int = 4
) -> Figure:
    """The first `per_class` test images of each class, a column a class, each over its reconstruction.

    Args: errors, of each test image, [N], if they are at hand; else they are computed.
    """
    errors = test_errors(module, datamodule) if errors is None else errors
    labels = datamodule.images.test_labels
    classes = labels.unique().tolist()
    per_class = min(per_class, *(int((labels == label).sum()) for label in classes))
    chosen = torch.stack([(labels == label).nonzero()[:per_class, 0] for label in classes], dim=1)  # [rows, classes]
    images, reconstructions = _reconstruct(module, datamodule, chosen.flatten())
    pairs = torch.stack([part.unflatten(0, chosen.shape) for part in (images, reconstructions)], dim=1).flatten(0, 1)
    height, width = images.shape[2:]
    figure = new_figure(
        0.8 + inches(len(pairs), len(classes), height, width),
        "Test images, each over its reconstruction",
        module,
        datamodule.title,
        errors.mean().item(),
    )
    axes = figure.subplots()
    show_images(axes, pairs)
    axes.set_xticks(centres(len(classes), width), [str(label) for label in classes])
    axes.set_yticks(centres(len(pairs), height), ["image", "reconstruction"] * per_class)
    axes.set_xlabel("class", fontsize=8)
    for row in range(1, per_class):
        axes.axhline(2 * row * height - 0.5, color="white", linewidth=2)
    return figure


def draw_worst_and_median(
    module: AutoencoderModule, datamodule: ImageDataModule, errors: Tensor | None = None, count: int = 10
) -> Figure:
    """The `count` test images with the largest error, and those in the middle of the ranking, with their errors.

    Args: errors, of each test image, [N], if they are at hand; else they are computed.
    """
    errors = test_errors(module, datamodule) if errors is None else errors
    count = min(count, len(errors))
    groups = worst_and_median(errors, count)
    height, width = datamodule.images.test_images.shape[2:]
    figure = new_figure(
        1.2 + 2 * inches(2, count, height, width),
        "The worst and the median reconstructions",
        module,
        datamodule.title,
        errors.mean().item(),
    )
    for axes, name, chosen in zip(figure.subplots(2), ("worst", "median"), groups, strict=True):
        show_images(axes, torch.stack(_reconstruct(module, datamodule, chosen)))
        axes.set_xticks(centres(count, width), [f"{error:.3f}" for error in errors[chosen].tolist()])
        axes.set_yticks(centres(2, height), [f"{name} images", "reconstructions"])
    axes.set_xlabel(ERROR_UNIT, fontsize=8)
    return figure


def draw_traversals(
    module: AutoencoderModule,
    datamodule: ImageDataModule,
    errors: Tensor | None = None,
    dimensions: int = 10,
    steps: int = 11,
) -> Figure:
    """One latent dimension a row, moved through the test images' own range, the others as for the median image.

    Args:
        errors: of each test image, [N], if they are at hand; else they are computed.
        dimensions: rows, at most; those with the largest variance.
        steps: images a row.
    """
    errors = test_errors(module, datamodule) if errors is None else errors
    latents = collect_latents(module.encode, datamodule.evaluation_batches("test")).values
    rows = latents.var(0, correction=0).argsort(descending=True)[:dimensions]
    start = latents[worst_and_median(errors, 1)[1][0]]
    with torch.inference_mode():
        decoded = module.decode(traversal_latents(latents, start, steps, LOW, HIGH)[rows].flatten(0, 1))
    images = decoded.unflatten(0, (len(rows), steps))
    height, width = images.shape[3:]
    figure = new_figure(
        0.9 + inches(len(rows), steps, height, width, 0.88),
        f"Latent traversals of the median test image, {len(rows)} of {latents.shape[1]} dimensions",
        module,
        datamodule.title,
        errors.mean().item(),
    )
    axes = figure.subplots()
    show_images(axes, images)
    ends = centres(steps, width)
    axes.set_xticks([ends[0], ends[steps // 2], ends[-1]], [f"{LOW:.0%}", "halfway", f"{HIGH:.0%}"])
    axes.set_yticks(centres(len(rows), height), [str(row) for row in rows.tolist()])
    axes.set_xlabel("value of the dimension, between these quantiles of the test images' latents", fontsize=8)
    axes.set_ylabel("latent dimension, largest variance first", fontsize=8)
    return figure


def draw_interpolations(
    module: AutoencoderModule,
    datamodule: ImageDataModule,
    errors: Tensor | None = None,
    pairs: int = 5,
    steps: int = 9,
) -> Figure:
    """Straight lines in latent space between test images of different classes, with the images at either end.

    Where there is one class, between its first images.

    Args:
        errors: of each test image, [N], if they are at hand; else they are computed.
        pairs: rows, at most: the first images of classes 0 and 1, of 2 and 3, and so on.
        steps: decoded points a row, both ends included.
    Raises: ValueError for a single test image.
    """
    errors = test_errors(module, datamodule) if errors is None else errors
    labels = datamodule.images.test_labels
    classes = labels.unique().tolist()
    firsts = torch.stack([(labels == label).nonzero()[0, 0] for label in classes])
    if len(classes) == 1:
        firsts = torch.arange(min(2 * pairs, len(labels)))
        classes = classes * len(firsts)
    pairs = min(pairs, len(firsts) // 2)
    if pairs == 0:
        raise ValueError("`datamodule` must have at least 2 test images to draw lines between, got 1")
    start, end = (normalize(datamodule.images.test_images[firsts[side : 2 * pairs : 2]]) for side in (0, 1))
    with torch.inference_mode():
        between = interpolation_latents(module.encode(start), module.encode(end), steps)
        decoded = module.decode(between.flatten(0, 1)).unflatten(0, (pairs, steps))
    images = torch.cat([start[:, None], decoded, end[:, None]], dim=1)
    height, width = images.shape[3:]
    figure = new_figure(
        1.0 + inches(pairs, steps + 2, height, width, 0.88),
        "Interpolations between two test images",
        module,
        datamodule.title,
        errors.mean().item(),
    )
    axes = figure.subplots()
    show_images(axes, images)
    for edge in (width, (steps + 1) * width):
        axes.axvline(edge - 0.5, color="white", linewidth=3)
    shares = [f"{share:.3g}" for share in torch.linspace(0, 1, steps).tolist()]
    axes.set_xticks(centres(steps + 2, width), ["image", *shares, "image"])
    names = [f"{classes[2 * row]} to {classes[2 * row + 1]}" for row in range(pairs)]
    axes.set_yticks(centres(pairs, height), names)
    axes.set_xlabel("share of the way from the one latent to the other", fontsize=8)
    axes.set_ylabel("classes", fontsize=8)
    return figure


def _reconstruct(module: AutoencoderModule, datamodule: ImageDataModule, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The test images of these indices and their reconstructions, two [B, C, H, W] in [-1, 1]."""
    images = normalize(datamodule.images.test_images[chosen.to(datamodule.images.test_images.device)])
    with torch.inference_mode():
        return images, module(images)
