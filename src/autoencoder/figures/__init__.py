"""Figures for a paper: one function a figure, each usable from a notebook, and one that saves them all.

    from autoencoder.checkpoints import restore
    from autoencoder.figures import draw_worst_and_median
    draw_worst_and_median(*restore("RUN/checkpoints/best.ckpt"))

Each returns a matplotlib Figure, which a notebook shows; `figure.savefig(path)` writes it.
"""

from autoencoder.figures.charts import draw_class_errors, draw_loss_curves
from autoencoder.figures.images import (
    draw_interpolations,
    draw_reconstructions,
    draw_traversals,
    draw_worst_and_median,
)
from autoencoder.figures.latent_map import Projection, check_projection, draw_latent_map
from autoencoder.figures.save import save_figures

__all__ = [
    "Projection",
    "check_projection",
    "draw_class_errors",
    "draw_interpolations",
    "draw_latent_map",
    "draw_loss_curves",
    "draw_reconstructions",
    "draw_traversals",
    "draw_worst_and_median",
    "save_figures",
]
