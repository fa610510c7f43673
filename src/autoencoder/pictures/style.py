"""The style of all figures: size, title, and colours suitable for colour-blind readers; imports no torch."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from autoencoder.runs.folder import written_whole

WIDTH = 6.5  # inches: the text width of a one-column page
BLUE, ORANGE = "#0072B2", "#D55E00"  # from Okabe and Ito's palette (2008)
CLASS_COLORS = (  # Paul Tol's muted scheme (2021), its grey made darker
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#777777"),
)


def empty_figure(height: float, title: str, width: float = WIDTH) -> Figure:
    """An empty figure of `width` by `height` inches, with its title."""
    figure = Figure(figsize=(width, height), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    figure.suptitle(title, fontsize=9)
    return figure


def save_figure(figure: Figure, path: Path, **settings: Any) -> None:
    """Writes a figure, completely or not at all, in the format of the path's suffix; settings as of `savefig`."""
    with written_whole(path) as scratch:
        figure.savefig(scratch, format=path.suffix.removeprefix("."), **settings)


def make_logarithmic(axis: Any) -> None:
    """Gives a chart's x or y axis a logarithmic scale with plain numbers at 1, 2 and 5."""
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())


def tidy(axes: Axes) -> None:
    """Removes the top and right borders of a chart, and sets the size of its tick labels."""
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
