"""A map of the latents in two dimensions, coloured by class."""

from matplotlib.figure import Figure

from autoencoder.evaluation import Projection
from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.projection import MAP_IMAGES, spread_evenly
from autoencoder.pictures.panel_figures import new_figure
from autoencoder.pictures.style import CLASS_COLORS, tidy


def draw_latent_map(outputs: Outputs, projection: Projection = "tsne") -> Figure:
    """The latents of test images in two dimensions, one point per image, coloured by class, if there are any.

    At most `MAP_IMAGES` test images are shown, evenly spaced; the title says how many.

    Args: projection, `tsne`, `pca` or `umap`, as in `autoencoder.evaluation.projection.project`.
    Raises: InputError for `umap` if it is not installed.
    """
    shown = spread_evenly(len(outputs), MAP_IMAGES)
    points, axis_labels = outputs.map(projection, shown)
    labels = outputs.labels[shown]
    of_all = f" of {len(outputs):,}" if len(shown) < len(outputs) else ""
    figure = new_figure(4.6, f"Map of the latents of {len(shown):,}{of_all} {outputs.title} images", outputs)
    axes = figure.subplots()
    # One call for all classes, in the order of the images, so that no class hides the others.
    colors = [CLASS_COLORS[label % len(CLASS_COLORS)] for label in labels.tolist()]
    size = min(30.0, max(3.0, 8_000 / len(points)))  # in square points; larger if there are few
    axes.scatter(points[:, 0], points[:, 1], s=size, c=colors, linewidths=0, alpha=0.7, rasterized=True)
    for label in labels.unique().tolist() if outputs.images.labelled else ():
        axes.scatter(
            [], [], s=30, color=CLASS_COLORS[label % len(CLASS_COLORS)], label=outputs.images.class_name(label)
        )
    if outputs.images.labelled:
        figure.legend(title="class", frameon=False, fontsize=8, title_fontsize=8, loc="outside right center")
    axes.set_xlabel(axis_labels[0], fontsize=8)
    axes.set_ylabel(axis_labels[1], fontsize=8)
    tidy(axes)
    return figure
