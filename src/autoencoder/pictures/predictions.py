"""Pictures of images that stream by: a file for each reconstruction, and the images with the largest errors."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import torch
from matplotlib.figure import Figure
from PIL import Image

from autoencoder.evaluation.predictions import Case, Predictions
from autoencoder.pictures.panel_figures import lay_out_panels
from autoencoder.pictures.panels import ERROR_UNIT, Panel, over_error_maps, to_pixels

LONGEST_NAME = 20  # letters under an image; of a longer name, the end


def write_reconstructions(batch: Predictions, folder: Path) -> None:
    """Writes each reconstruction as a PNG under the name of its image; `.png` is added to other names."""
    for name, image in zip(batch.names, to_pixels(batch.reconstructions), strict=True):
        path = folder / (name if PurePosixPath(name).suffix.lower() == ".png" else f"{name}.png")
        while path.exists():  # a.jpg beside a.jpg.png
            path = path.with_name(f"{path.name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy()).save(path, format="PNG")


def draw_worst(cases: Sequence[Case], title: str) -> Figure:
    """Images over their reconstructions and error maps, as in `worst_and_median`, with the names of their files."""
    images, reconstructed = torch.stack([c.image for c in cases]), torch.stack([c.reconstruction for c in cases])
    labels = [f"{_literal(_end_of(PurePosixPath(case.name).name))}\n{case.mse:.3f}" for case in cases]
    rows = over_error_maps(images, reconstructed)
    panel = Panel(rows, ["images", "reconstructions", "errors"], labels, columns_about=ERROR_UNIT)
    return lay_out_panels(_literal(title), [panel])


def _literal(text: str) -> str:
    """Text in which matplotlib sees no formula."""
    return text.replace("$", r"\$")


def _end_of(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"…{name[-LONGEST_NAME + 1 :]}"
