"""Panels of images, for loggers and figures: one function per subject, from a model's outputs."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor

from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.samples import (
    first_of_each_class,
    interpolation_latents,
    rank_by_error,
    traversal_latents,
)
from autoencoder.limits import Count, checked

ERROR_UNIT = "mean squared error per pixel, images in [−1, 1]"
LOW, HIGH = 0.01, 0.99  # quantiles between which a traversal moves
FEW = 10  # images per row if there are no classes
MAX_VALUES = 10_000_000  # torch.quantile takes no more than 2 ** 24

Steps = Annotated[int, Ge(2)]  # images between two ends, these included


class Panel(NamedTuple):
    """Images in rows and columns, with labels.

    Attributes:
        images: [R, N, C, H, W] in [-1, 1], C 1 or 3.
        rows, columns: a label for each row and column; empty labels are left out.
        rows_about, columns_about: what the labels mean.
    """

    images: Tensor
    rows: Sequence[str]
    columns: Sequence[str]
    rows_about: str = ""
    columns_about: str = ""


Panels = dict[str, Panel]  # by the tag under which a logger shows them


def tile(images: Tensor) -> Tensor:
    """Tiles `images` [R, N, C, H, W] in [-1, 1] into one image [C, R H, N W] uint8."""
    return to_pixels(images).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)


def to_pixels(images: Tensor) -> Tensor:
    """Images in [-1, 1] (values outside are clipped) as uint8 pixels 0..255, any shape."""
    return images.add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


@checked
def reconstructions(outputs: Outputs, per_class: Count = 1, with_pca: bool = False) -> Panels:
    """The first `per_class` test images of each class, one column per class, over their reconstructions.

    With a single class, the first ten images. A model trained on corrupted images has two more rows: the image
    corrupted, and its reconstruction from that.
    Args: with_pca, add a row of PCA's reconstructions below.
    """
    chosen, names = examples(outputs, per_class)  # [per_class, columns]
    indices = chosen.flatten()
    rows = {"image": outputs.originals(indices), "reconstruction": outputs.reconstructions(indices)}
    if outputs.corrupts:
        rows |= {"corrupted": outputs.corrupted.seen(indices)}
        rows |= {"from corrupted": outputs.corrupted.reconstructions(indices)}
    if with_pca:
        rows |= {"PCA": outputs.pca.reconstructions(indices)}
    images = torch.stack([row.unflatten(0, chosen.shape) for row in rows.values()], dim=1).flatten(0, 1)
    about = "class" if outputs.images.labelled else f"{outputs.title} image"
    return {"reconstructions": Panel(images, [*rows] * len(chosen), names, columns_about=about)}


@checked
def worst_and_median(outputs: Outputs, count: Count = FEW) -> Panels:
    """The `count` test images with the largest errors and those in the middle, over reconstructions and error maps.

    A map shows the absolute error of each pixel, from black (0 %) through red and yellow to white (100 % of the range).
    """
    panels = {}
    groups = rank_by_error(outputs.errors, min(count, len(outputs)))
    for name, chosen in zip(("worst", "median"), groups, strict=True):
        images, reconstructed = outputs.originals(chosen), outputs.reconstructions(chosen)
        errors = [f"{error:.3f}" for error in outputs.errors[chosen].tolist()]
        labels = [f"{name} images", "reconstructions", "errors"]
        panels[f"errors/{name}"] = Panel(
            over_error_maps(images, reconstructed), labels, errors, columns_about=ERROR_UNIT
        )
    return panels


@checked
def traversals(outputs: Outputs, dimensions: Count = 10, steps: Steps = 11) -> Panels:
    """The first test image, with one latent dimension per row moved through the test images' range.

    Args: dimensions, at most how many rows: those with the largest variance, by index; steps, images per row.
    """
    latents = outputs.latents
    rows = latents.var(0, correction=0).argsort(descending=True)[:dimensions].sort().values
    moved = traversal_latents(latents[: MAX_VALUES // latents.shape[1]], latents[0], steps, LOW, HIGH)[rows]
    images = outputs.decode(moved.flatten(0, 1)).unflatten(0, (len(rows), steps))
    ends = [f"{LOW:.0%}", *[""] * (steps - 2), f"{HIGH:.0%}"]
    ends[steps // 2] = "halfway"
    about = f"between these quantiles of the {outputs.title} images' latents"
    return {"latents/traversals": Panel(images, [str(row) for row in rows.tolist()], ends, "latent dimension", about)}


@checked
def interpolations(outputs: Outputs, steps: Steps = 11) -> Panels:
    """One row per class: decoded points on a line in latent space to the next class, with a test image at both ends.

    With a single class, from one image to the next; with a single test image, no panel.
    Args: steps, points per row, both ends included.
    """
    chosen, names = examples(outputs, 1)
    chosen = chosen[0]
    if len(chosen) < 2:
        return {}
    ends, latents = outputs.originals(chosen), outputs.latents[chosen]
    lines = interpolation_latents(latents, latents.roll(-1, dims=0), steps)  # [rows, steps, K]
    between = outputs.decode(lines.flatten(0, 1)).unflatten(0, lines.shape[:2])
    images = torch.cat([ends[:, None], between, ends.roll(-1, dims=0)[:, None]], dim=1)
    rows = [f"{start} to {end}" for start, end in zip(names, names[1:] + names[:1], strict=True)]
    shares = [f"{share:.3g}" for share in torch.linspace(0, 1, steps).tolist()]
    about = "share of the way from one latent to the other"
    return {"latents/interpolations": Panel(images, rows, ["image", *shares, "image"], columns_about=about)}


def over_error_maps(images: Tensor, reconstructed: Tensor) -> Tensor:
    """Rows [3, B, 3, H, W] in [-1, 1] of a panel: images, reconstructions, and the absolute error of each pixel.

    Args: images, reconstructed, [B, C, H, W] in [-1, 1].
    """
    maps = heat((images - reconstructed).abs().mean(1) / 2) * 2 - 1
    return torch.stack([images.expand_as(maps), reconstructed.expand_as(maps), maps])


def heat(values: Tensor) -> Tensor:
    """Values [B, H, W] in [0, 1] as colours [B, 3, H, W] in [0, 1]: black, red, yellow, white."""
    return torch.stack([3 * values, 3 * values - 1, 3 * values - 2], dim=1).clamp(0, 1)


def examples(outputs: Outputs, per_class: int) -> tuple[Tensor, list[str]]:
    """Indices [rows, columns] of the first test images of each class, and the columns' names.

    With a single class, or where one has no image, a row of the first ten images.
    """
    chosen = first_of_each_class(outputs.labels, per_class)
    if chosen.shape[1] > 1:
        return chosen, [outputs.images.class_name(label) for label in outputs.labels[chosen[0]].tolist()]
    few = torch.arange(min(FEW, len(outputs)))[None]
    return few, [str(index) for index in few[0].tolist()]
