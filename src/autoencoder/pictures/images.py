"""Figures that show images: draws the panels of `autoencoder.pictures.panels` with matplotlib."""

from pathlib import Path

from matplotlib.figure import Figure

from autoencoder.evaluation.outputs import Outputs
from autoencoder.pictures.panel_figures import draw_panels
from autoencoder.pictures.panels import FEW, interpolations, reconstructions, traversals, worst_and_median
from autoencoder.pictures.style import save_figure


def draw_reconstructions(outputs: Outputs, per_class: int = 3) -> Figure:
    """The first `per_class` test images of each class, one column per class, over their reconstructions and PCA's."""
    (panel,) = reconstructions(outputs, per_class, with_pca=True).values()
    title = f"{outputs.title.capitalize()} images, their reconstructions, and those of PCA"
    return draw_panels(outputs, title, [panel], rows_together=len(set(panel.rows)))


def draw_worst_and_median(outputs: Outputs, count: int = FEW) -> Figure:
    """The `count` test images with the largest error, and those in the middle of the ranking, with their errors."""
    panels = list(worst_and_median(outputs, count).values())
    return draw_panels(outputs, "The worst and the median reconstructions", panels)


def draw_traversals(outputs: Outputs, dimensions: int = 10, steps: int = 11) -> Figure:
    """The first test image, with one latent dimension per row moved through the test images' range.

    Args: dimensions, at most how many rows: those with the largest variance; steps, images per row.
    """
    (panel,) = traversals(outputs, dimensions, steps).values()
    rows, width = len(panel.rows), outputs.latents.shape[1]
    return draw_panels(
        outputs, f"Latent traversals of the first {outputs.title} image, {rows} of {width} dimensions", [panel]
    )


def draw_interpolations(outputs: Outputs, steps: int = 11) -> Figure:
    """One row per class: decoded points on a line in latent space to the next class, and the images at both ends.

    Args: steps, decoded points per row, both ends included.
    Raises: ValueError for a single test image.
    """
    panels = list(interpolations(outputs, steps).values())
    if not panels:
        raise ValueError("`outputs` must have at least 2 test images to interpolate between, got 1")
    return draw_panels(outputs, f"Interpolations between two {outputs.title} images", panels)


def save_reconstructions(outputs: Outputs, path: Path) -> None:
    """Writes `draw_reconstructions` with one image of each class as a PNG."""
    save_figure(draw_reconstructions(outputs, per_class=1), path, dpi=200)
