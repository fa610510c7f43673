"""Draws the same test images as reconstructed by each job of a study: comparison.png."""

from collections.abc import Collection, Mapping
from textwrap import fill, shorten

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from autoencoder.metrics import format_value
from autoencoder.pictures.panel_figures import show_panel
from autoencoder.pictures.panels import FEW, Panel, examples
from autoencoder.pictures.style import empty_figure
from autoencoder.runs.job_values import seed_of, text_of
from autoencoder.runs.jobs import Job
from autoencoder.runs.same_images import on_same_images, spread_by_rank
from autoencoder.runs.study import Study

LETTER_INCHES, IMAGE_INCHES = 0.063, 0.46
LABEL_WIDTH, LONGEST_LABEL = 38, 108  # letters: of a line, and of the settings of a row


def draw_comparison(study: Study, allow_packages: Collection[str] = ()) -> Figure | None:
    """The originals in the first row, then a row per job, worst to best; None if fewer than two can be restored.

    At most `MOST_JOBS` jobs are shown, evenly spaced by rank; one image of each class, or the first ten.
    """
    ranked = study.comparable
    has_seeds = len({str(seed_of(job)) for job in ranked}) > 1
    values = {id(job): setting.values for setting in study.settings for job in setting.jobs}
    rows: list[Tensor] = []
    labels: list[str] = []
    columns: list[str] = []
    title, chosen = "", torch.empty(0)
    for job, outputs in on_same_images(spread_by_rank(ranked), allow_packages):
        if not rows:
            indices, columns = examples(outputs, 1)
            chosen, columns = indices[0, :FEW], columns[:FEW]
            rows, labels, title = [outputs.originals(chosen)], ["test images"], outputs.images.title
        rows.insert(1, outputs.reconstructions(chosen))
        labels.insert(1, _label(job, values[id(job)], has_seeds, study.metric))
    if len(rows) < 3:
        return None
    panel = Panel(torch.stack(rows), labels, columns, columns_about="class" if columns[0] != "0" else "")
    shown = f"{len(rows) - 1} of {len(ranked):,} jobs, evenly spaced by rank" if len(ranked) > len(rows) - 1 else ""
    facts = ", ".join(filter(None, [title, study.metric, shown]))
    figure, axes = _figure_around(panel, f"The same test images, reconstructed by each job, worst to best\n{facts}")
    show_panel(axes, panel)
    axes.axhline(panel.images.shape[3] - 0.5, color="white", linewidth=3)  # below the originals
    return figure


def _figure_around(panel: Panel, title: str) -> tuple[Figure, Axes]:
    """A figure as large as the panel's images and labels need, with axes for its images."""
    count, columns, _, high, wide = panel.images.shape
    left = 0.3 + LETTER_INCHES * max(len(line) for label in panel.rows for line in label.split("\n"))
    image_width, image_height = columns * IMAGE_INCHES, count * IMAGE_INCHES * high / wide
    width, height = left + image_width + 0.2, 0.5 + image_height + 0.5
    figure = empty_figure(height, title, width)
    figure.set_layout_engine("none")
    figure.suptitle(title, fontsize=9, y=1 - 0.1 / height)
    return figure, figure.add_axes((left / width, 0.45 / height, image_width / width, image_height / height))


def _label(job: Job, values: Mapping[str, object], has_seeds: bool, metric: str) -> str:
    settings = {**values, "seed": seed_of(job)} if has_seeds else values
    words = " ".join(f"{key}={text_of(value)}" for key, value in settings.items()) or f"job {job.name}"
    shortened = fill(shorten(words, LONGEST_LABEL, placeholder=" …"), LABEL_WIDTH)
    return f"{shortened}\n{format_value(metric, job.metrics[metric])}"
