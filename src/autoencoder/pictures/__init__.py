"""Figures of a model: one function per figure, for use in a notebook, and one that saves them all.

    from autoencoder.evaluation.outputs import Outputs
    from autoencoder.pictures import draw_worst_and_median
    from autoencoder.runs.checkpoints import restore
    module, data = restore("RUN/checkpoints/best.ckpt")
    draw_worst_and_median(Outputs(module, data.images))

Each function returns a matplotlib Figure, which a notebook shows; `figure.savefig(path)` writes it. The names below
are imported on first use, so that a training run does not import matplotlib.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "draw_class_errors": "charts",
    "draw_interpolations": "images",
    "draw_latent_map": "latent_map",
    "draw_loss_curves": "charts",
    "draw_roc": "charts",
    "draw_reconstructions": "images",
    "draw_traversals": "images",
    "draw_worst_and_median": "images",
    "save_figures": "save",
    "save_reconstructions": "images",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
