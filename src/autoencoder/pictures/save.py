"""Saves all figures of a model, as PNG for the screen and as PDF for print."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from autoencoder.evaluation import Projection
from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.projection import check_projection
from autoencoder.pictures.charts import draw_class_errors, draw_loss_curves, draw_roc
from autoencoder.pictures.images import (
    draw_interpolations,
    draw_reconstructions,
    draw_traversals,
    draw_worst_and_median,
)
from autoencoder.pictures.latent_map import draw_latent_map
from autoencoder.pictures.style import save_figure
from autoencoder.runs.history import NAMES, read_history
from autoencoder.runs.left_out import left_out_if_it_fails

log = logging.getLogger(__name__)

DPI = 200  # of the PNGs, and of the points of a map in a PDF
FIGURES: dict[str, Callable[..., Figure]] = {  # by the names of their files; each takes the outputs
    "reconstructions": draw_reconstructions,
    "worst_and_median": draw_worst_and_median,
    "traversals": draw_traversals,
    "interpolations": draw_interpolations,
    "class_errors": draw_class_errors,
    "latent_map": draw_latent_map,
    "loss_curves": draw_loss_curves,
    "roc": draw_roc,
}


def save_figures(
    outputs: Outputs,
    folder: str | Path,
    history: Path | None = None,
    projection: Projection = "tsne",
) -> list[str]:
    """Draws every figure that there is data for, and writes each as NAME.png and NAME.pdf.

    A figure that fails is left out with a warning.

    Args:
        folder: for the files; created if missing.
        history: the run's history.csv; without it, or if it has no numbers, the loss curves are left out.
        projection: of the map of the latents, which is left out for a single latent dimension or test image.
    Returns: the names of the figures.
    Raises: InputError for a projection whose package is not installed.
    """
    check_projection(projection)
    columns = read_history(history) if history and history.is_file() else {}
    settings: dict[str, dict[str, Any]] = {
        "latent_map": {"projection": projection},
        "loss_curves": {"history": columns},
    }
    left_out = set()
    if not any(value == value for name in NAMES for value in columns.get(name, ())):  # no number but NaN
        left_out.add("loss_curves")
    if len(outputs) < 2:
        left_out |= {"interpolations", "latent_map"}
        log.info("figures interpolations and latent_map are left out: there is a single test image")
    if not outputs.images.labelled:  # as the log has said when they were loaded
        left_out.add("class_errors")
    if not outputs.has_anomalies:
        left_out.add("roc")
    if outputs.latents.shape[1] < 2:
        left_out.add("latent_map")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name in [one for one in FIGURES if one not in left_out]:
        with left_out_if_it_fails(f"the figure {name}"):
            figure = FIGURES[name](outputs, **settings.get(name, {}))
            save_figure(figure, folder / f"{name}.png", dpi=DPI)
            with rc_context({"pdf.fonttype": 42}):  # TrueType: many journals refuse matplotlib's default, Type 3
                title = {"Title": figure.get_suptitle().replace("\n", ": "), "CreationDate": None}
                save_figure(figure, folder / f"{name}.pdf", dpi=DPI, metadata=title)
            drawn.append(name)
    return drawn
