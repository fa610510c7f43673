"""Figures of panels of images, and the title of a figure about a model."""

from collections.abc import Sequence
from math import ceil, sqrt
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from autoencoder.evaluation.evaluate import mean
from autoencoder.evaluation.outputs import Outputs
from autoencoder.pictures.panels import Panel, tile
from autoencoder.pictures.style import WIDTH, empty_figure

PANEL_SHARE = 0.86  # of the width; the rest is for the rows' labels
HIGHEST_PANEL, LARGEST_IMAGE = 8.0, 1.2  # inches
LOWEST_ROW = 0.15  # inches, for a label beside it
MOST_IN_GRID = 1_024  # images: in a grid of 32 x 32 they can still be told apart
LONG_NAME = 8  # letters: longer column names are rotated


def new_figure(height: float, subject: str, outputs: Outputs) -> Figure:
    """An empty figure of `height` inches; its title has the subject, data set, latent dimensions and test error."""
    return empty_figure(height, _title(subject, outputs))


def _title(subject: str, outputs: Outputs) -> str:
    dimensions = outputs.latents.shape[1]
    facts = f"{outputs.images.title}, {dimensions} latent dimension{'s' * (dimensions != 1)}"
    return f"{subject}\n{facts}, {outputs.title} mse {mean(outputs.errors):.4f}"


def draw_panels(outputs: Outputs, subject: str, panels: Sequence[Panel], rows_together: int = 0) -> Figure:
    """Draws panels below each other, with their labels, and a title as in `new_figure`; arguments as below."""
    return lay_out_panels(_title(subject, outputs), panels, rows_together)


def lay_out_panels(title: str, panels: Sequence[Panel], rows_together: int = 0) -> Figure:
    """Draws panels below each other, with their labels.

    Args: rows_together, draw a white line after every so many rows; 0 for no lines.
    """
    heights = [_inches(panel) for panel in panels]
    labels = sum(0.6 if _has_long_names(panel) else 0.25 for panel in panels)
    figure = empty_figure(0.8 + sum(heights) + labels, title)
    figures = figure.subplots(len(panels), squeeze=False, height_ratios=heights)
    for (axes,), panel in zip(figures, panels, strict=True):
        show_panel(axes, panel)
        if panel is not panels[-1] and panel.columns_about == panels[-1].columns_about:
            axes.set_xlabel("")
        height = panel.images.shape[3]
        for row in range(rows_together, len(panel.images), rows_together) if rows_together else ():
            axes.axhline(row * height - 0.5, color="white", linewidth=2)
    return figure


def draw_grid(pixels: Tensor, title: str) -> Figure:
    """Draws images, [N, C, H, W] uint8, row by row in a square grid, without labels; at most the first `MOST_IN_GRID`.

    If there are more, the title says so.
    """
    images = pixels[:MOST_IN_GRID].float() / 127.5 - 1
    if len(images) < len(pixels):
        title += f"\nThe first {len(images):,} of {len(pixels):,} are shown."
    columns = ceil(sqrt(len(images)))
    rows = ceil(len(images) / columns)
    cells = torch.ones(rows * columns, *images.shape[1:])  # white, as the page
    cells[: len(images)] = images
    panel = Panel(cells.unflatten(0, (rows, columns)), [""] * rows, [""] * columns)
    figure = empty_figure(0.6 + _inches(panel), title)
    show_panel(figure.subplots(), panel)
    return figure


def show_panel(axes: Axes, panel: Panel) -> None:
    """Draws the images of a panel as one image; a pixel's centre is at its index."""
    height, width = panel.images.shape[3:]
    picture = tile(panel.images).permute(1, 2, 0).squeeze(-1).numpy()
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.tick_params(length=0, labelsize=7)
    for side in axes.spines.values():
        side.set_visible(False)
    turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if _has_long_names(panel) else {}
    columns = {_centre(column, width): label for column, label in enumerate(panel.columns) if label}
    axes.set_xticks(list(columns), list(columns.values()), **turned)
    axes.set_yticks([_centre(row, height) for row in range(len(panel.rows))], panel.rows)
    axes.set_xlabel(panel.columns_about, fontsize=8)
    axes.set_ylabel(panel.rows_about, fontsize=8)


def _has_long_names(panel: Panel) -> bool:
    return max(map(len, panel.columns)) > LONG_NAME


def _inches(panel: Panel) -> float:
    """The height of a panel in the figure.

    A panel fills `PANEL_SHARE` of the figure's width, but is no higher than `HIGHEST_PANEL`, and its images are no
    larger than `LARGEST_IMAGE`; a narrower panel is centred.
    """
    rows, columns, _, height, width = panel.images.shape
    pixel = min(WIDTH * PANEL_SHARE / (columns * width), LARGEST_IMAGE / max(height, width))
    return rows * max(min(pixel, HIGHEST_PANEL / (rows * height)) * height, LOWEST_ROW)


def _centre(index: int, size: int) -> float:
    """The centre, in pixels, of the image at that index, in a line of images of `size` pixels each."""
    return (index + 0.5) * size - 0.5
