"""Draws the chart of a study with matplotlib: summary.png."""

from collections.abc import Sequence
from statistics import fmean, stdev
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from autoencoder.metrics import format_value
from autoencoder.pictures.study_chart import Chart, Point
from autoencoder.pictures.style import BLUE, CLASS_COLORS, ORANGE, empty_figure, make_logarithmic, tidy

GREY, COLOURS = "#666666", (BLUE, ORANGE, *CLASS_COLORS[2:])
MOST_TICKS = 10  # values of a key that each get a tick
MOST_NUMBERS = 150  # cells of a heat map that have their number inside
NAME_WIDTH = 44  # letters of a name in one line


def draw_study(chart: Chart, metric: str) -> Figure:
    """The chart of a study.

    Args: chart, see `autoencoder.pictures.study_chart.chart_of`; metric, its key in metrics.json, for the digits.
    """
    if chart.kind in ("curve", "seeds"):
        return _draw_curve(chart)
    return _draw_names(chart) if chart.kind == "names" else _draw_cells(chart, metric)


def _draw_curve(chart: Chart) -> Figure:
    figure = empty_figure(3.6, chart.title)
    axes = figure.subplots()
    for number, series in enumerate(chart.series):
        colour = COLOURS[number % len(COLOURS)]
        xs, means = [point.x for point in series.points], [point.mean for point in series.points]
        for point in series.points:
            if point.n > 1:
                axes.scatter([point.x] * point.n, point.runs, s=10, color=colour, alpha=0.35, linewidths=0)
        style: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.2, "capsize": 3, "elinewidth": 1}
        bars = [point.sd or 0.0 for point in series.points] if any(point.sd for point in series.points) else None
        line = "none" if chart.kind == "seeds" else "-"
        axes.errorbar(
            xs,
            means,
            bars,
            color=colour,
            linestyle=line,
            label=series.name or "autoencoder" * bool(chart.baseline),
            **style,
        )
    if chart.kind == "seeds":
        _draw_mean(axes, chart.series[0].points)
    if chart.baseline:
        values = [point.mean for point in chart.baseline]
        axes.plot([point.x for point in chart.baseline], values, "--", color=GREY, linewidth=1.2, label="PCA")
    if chart.failed:
        xs = [point.x for point in chart.failed]
        axes.plot(
            xs, [0.97] * len(xs), "x", color="black", transform=axes.get_xaxis_transform(), label=_failures(chart)
        )
    _set_scale(axes.yaxis, chart.log_metric)
    points = [point for series in chart.series for point in series.points] + list(chart.failed)
    _set_ticks(axes.xaxis, [point.x for point in points], chart.log_x)
    axes.set_xlabel(chart.x_label, fontsize=8)
    axes.set_ylabel(chart.label, fontsize=8)
    tidy(axes)
    if chart.kind == "seeds":
        figure.legend(frameon=False, fontsize=8, ncols=3, loc="outside lower center")
    elif axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_mean(axes: Axes, points: Sequence[Point]) -> None:
    """A line at the mean of the points, and a band of one standard deviation."""
    values = [point.mean for point in points]
    axes.axhline(fmean(values), color=BLUE, linewidth=0.8, linestyle=":", label="mean")
    if len(values) > 1:
        low, high = fmean(values) - stdev(values), fmean(values) + stdev(values)
        axes.axhspan(low, high, color=BLUE, alpha=0.1, linewidth=0, label="± standard deviation")


def _draw_names(chart: Chart) -> Figure:
    (series,) = chart.series
    names = [point.name for point in series.points]
    names += list(dict.fromkeys(point.name for point in chart.failed if point.name not in names))[:5]
    labels = [fill(name, NAME_WIDTH) for name in names]
    lines = sum(1 + 0.6 * label.count("\n") for label in labels)
    figure = empty_figure(1.2 + 0.22 * max(lines, 3), chart.title)
    axes = figure.subplots()
    for row, point in enumerate(series.points):
        if point.n > 1:
            axes.scatter(point.runs, [row] * len(point.runs), s=10, color=BLUE, alpha=0.35, linewidths=0)
        axes.errorbar([point.mean], [row], xerr=point.sd, fmt="o", color=BLUE, markersize=4, capsize=3)
    rows = [names.index(point.name) for point in chart.failed if point.name in names]
    if rows:
        transform = axes.get_yaxis_transform()
        axes.plot([0.98] * len(rows), rows, "x", color="black", transform=transform, label=_failures(chart))
        figure.legend(frameon=False, fontsize=8, loc="outside lower center")
    axes.set_yticks(range(len(names)), labels)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    _set_scale(axes.xaxis, chart.log_metric)
    more = (
        f"\nthe best {len(series.points)} of {len(series.points) + chart.left_out} settings" if chart.left_out else ""
    )
    axes.set_xlabel(chart.label + more, fontsize=8)
    axes.set_ylabel(fill(chart.y_label, 60), fontsize=8)
    tidy(axes)
    return figure


def _draw_cells(chart: Chart, metric: str) -> Figure:
    """A heat map, or for values on no grid, coloured points."""
    (series,) = chart.series
    frame: dict[str, Any] = {"facecolor": "none", "edgecolor": ORANGE, "linewidth": 2}
    means = [point.mean for point in series.points]
    norm = (LogNorm if chart.log_metric else Normalize)(min(means), max(means))
    every = (*series.points, *chart.failed)
    xs = sorted({point.x for point in every})
    ys = sorted({point.y for point in every})
    figure = empty_figure(4.2 if chart.kind == "points" else min(8.0, 1.4 + 0.42 * max(len(ys), 4)), chart.title)
    axes = figure.subplots()
    columns, rows = [xs.index(point.x) for point in series.points], [ys.index(point.y) for point in series.points]
    if chart.kind == "grid":
        cells = [[float("nan")] * len(xs) for _ in ys]
        for column, row, mean in zip(columns, rows, means, strict=True):
            cells[row][column] = mean
        drawn: Any = axes.imshow(cells, cmap="viridis", norm=norm, origin="lower", aspect="auto")
        axes.set_xticks(range(len(xs)), [f"{x:g}" for x in xs], rotation=30 if len(xs) > 8 else 0)
        axes.set_yticks(range(len(ys)), [f"{y:g}" for y in ys])
        if len(xs) * len(ys) <= MOST_NUMBERS:
            for column, row, mean in zip(columns, rows, means, strict=True):
                colour = "black" if norm(mean) > 0.6 else "white"
                size = 7 if len(xs) <= 9 else 5.5
                axes.text(
                    column, row, format_value(metric, mean), ha="center", va="center", fontsize=size, color=colour
                )
    else:
        drawn = axes.scatter(
            [point.x for point in series.points],
            [point.y for point in series.points],
            c=means,
            cmap="viridis",
            norm=norm,
            s=28,
        )
        _set_ticks(axes.xaxis, xs, chart.log_x)
        _set_ticks(axes.yaxis, ys, chart.log_y)
    if chart.kind == "grid":  # the study ranks its settings: the first is the best
        axes.add_patch(Rectangle((columns[0] - 0.5, rows[0] - 0.5), 1, 1, clip_on=False, label="best", **frame))
    else:
        axes.scatter([series.points[0].x], [series.points[0].y], s=90, marker="s", label="best", **frame)
    if chart.failed:
        is_grid = chart.kind == "grid"
        across = [xs.index(point.x) if is_grid else point.x for point in chart.failed]
        up = [ys.index(point.y) if is_grid else point.y for point in chart.failed]
        axes.plot(across, up, "x", color="black", label=_failures(chart), linestyle="none")
    figure.legend(frameon=False, fontsize=8, ncols=2, loc="outside lower center")
    bar = figure.colorbar(drawn, ax=axes)
    _set_scale(bar.ax.yaxis, chart.log_metric)
    bar.ax.tick_params(labelsize=8)
    bar.set_label(chart.label, fontsize=8)
    axes.set_xlabel(chart.x_label, fontsize=8)
    axes.set_ylabel(chart.y_label, fontsize=8)
    tidy(axes)
    return figure


def _set_scale(axis: Any, is_log: bool) -> None:
    """A metric's axis: logarithmic with plain numbers, or linear."""
    if is_log:
        make_logarithmic(axis)


def _set_ticks(axis: Any, values: Sequence[float], is_log: bool) -> None:
    """A key's axis: with a tick at each value if they are few."""
    _set_scale(axis, is_log)
    distinct = sorted(set(values))
    if len(distinct) <= MOST_TICKS:
        axis.set_major_locator(FixedLocator(distinct))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    elif all(float(value).is_integer() for value in distinct) and not is_log:
        axis.set_major_locator(MaxNLocator(integer=True))


def _failures(chart: Chart) -> str:
    return f"{len(chart.failed)} failed job{'s' * (len(chart.failed) > 1)}"
