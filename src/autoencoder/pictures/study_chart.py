"""Decides what the chart of a study shows: which axes, points and lines; for matplotlib and for the page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import log, nan
from statistics import fmean, pstdev
from typing import Any, Literal

from autoencoder.metrics import label_of
from autoencoder.runs.job_values import count_statuses, seed_of, text_of, value_of
from autoencoder.runs.jobs import Job
from autoencoder.runs.study import Setting, Study

LATENT_DIM = "model.latent_dim"
MOST_NAMES = 20  # rows of a chart of names
MOST_LINES = 8  # categories that are drawn as lines
LOG_RATIO = 4  # a metric that spans more is drawn on a logarithmic axis
FULL_SHARE = 0.5  # of a grid's cells that have a value; if fewer have one, the settings are drawn as points


@dataclass(frozen=True)
class Point:
    """A setting, or a run, in a chart.

    Attributes: label, of the setting; name, in a chart of names, its values alone; x, y, its place on numeric axes, NaN
        on others; mean, sd, n, over the seeds, mean NaN for a failed job; runs, the values of the single runs.
    """

    label: str
    name: str = ""
    x: float = nan
    y: float = nan
    mean: float = nan
    sd: float | None = None
    n: int = 0
    runs: Sequence[float] = ()


@dataclass(frozen=True)
class Series:
    """Points of one colour; the name is empty if there is only one series."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Chart:
    """A chart of the metric `label`.

    Attributes:
        kind: `curve`, the metric over the numeric key `x_label`; `seeds`, over the seeds of a single setting; `grid`, a
            heat map over two numeric keys; `points`, the same for values on no grid; `names`, one row per setting.
        log_x, log_y, log_metric: which axes, or colours, are logarithmic.
        baseline: PCA's curve.
        failed: a point for each failed job.
        left_out: how many settings are not shown.
    """

    kind: Literal["curve", "seeds", "grid", "points", "names"]
    title: str
    label: str
    x_label: str
    y_label: str
    log_x: bool
    log_y: bool
    log_metric: bool
    series: Sequence[Series]
    baseline: Sequence[Point] = field(default_factory=list)
    failed: Sequence[Point] = field(default_factory=list)
    left_out: int = 0


def chart_of(study: Study) -> Chart | None:
    """The chart of a study's metric; None if no finished job has it."""
    measured = [one for one in study.settings if one.statistic(study.metric)]
    if not measured:
        return None
    numeric = [key for key in study.keys if all(_is_number(one.values[key]) for one in measured)]
    named = [key for key in study.keys if key not in numeric]
    categories = dict.fromkeys(text_of(one.values[key]) for one in measured for key in named)
    if not study.keys:
        return _seeds(study, measured[0])
    if len(numeric) == 1 and (not named or (len(named) == 1 and len(categories) <= MOST_LINES)):
        return _curve(study, measured, numeric[0], named)
    if len(numeric) == 2 and not named:
        return _grid(study, measured, *numeric)
    return _names(study, measured)


def is_geometric(values: Sequence[float]) -> bool:
    """Whether values ask for a logarithmic axis: all positive, and the gaps of their logarithms are more even."""
    ordered = sorted(set(values))
    if len(ordered) < 3 or ordered[0] <= 0:
        return False
    return _unevenness([log(value) for value in ordered]) < _unevenness(ordered)


def _unevenness(ordered: Sequence[float]) -> float:
    """The standard deviation of the gaps between values, as a share of their mean."""
    gaps = [high - low for low, high in pairwise(ordered)]
    return pstdev(gaps) / fmean(gaps)


def _curve(study: Study, measured: Sequence[Setting], key: str, named: Sequence[str]) -> Chart:
    lines: dict[str, list[Point]] = {}
    for one in measured:
        name = " ".join(f"{other}={text_of(one.values[other])}" for other in named)
        lines.setdefault(name, []).append(_point(study, one, x=one.values[key]))
    series = [Series(name, sorted(points, key=lambda point: point.x)) for name, points in lines.items()]
    baseline = _pca_curve(study, measured) if key == LATENT_DIM and len(study.datasets) < 2 else []
    values = _values(series) + [point.mean for point in baseline]
    failed = [
        Point(one.label, x=one.values[key])
        for one in study.settings
        for _ in _failed(one)
        if _is_number(one.values[key])
    ]
    xs = [point.x for line in series for point in line.points]
    title = _title(study, f"over {key}")
    log_x = is_geometric([*xs, *(point.x for point in failed)])
    return Chart(
        "curve", title, label_of(study.metric), key, "", log_x, False, _spans(values), series, baseline, failed
    )


def _pca_curve(study: Study, measured: Sequence[Setting]) -> list[Point]:
    """PCA's value of the metric for each number of latent dimensions; empty if it was not measured."""
    metric = study.metric.replace("test/", "pca/test_", 1) if study.metric.startswith("test/") else ""
    values: dict[float, float] = {}
    for one in measured:
        if statistic := one.statistic(metric):
            values[one.values[LATENT_DIM]] = statistic.mean
    return [Point(f"PCA, {int(x)} components", x=x, mean=values[x], n=1) for x in sorted(values)]


def _seeds(study: Study, setting: Setting) -> Chart:
    points = []
    for index, job in enumerate(setting.jobs):
        value, seed = value_of(job, study.metric), seed_of(job)
        if value is not None:
            x = float(seed) if _is_number(seed) else float(index)
            label = job.name if seed is None else f"job {job.name}, seed={seed}"
            points.append(Point(label, x=x, mean=value, n=1, runs=[value]))
    failed = [Point(job.name, x=float(seed_of(job))) for job in _failed(setting) if _is_number(seed_of(job))]
    points.sort(key=lambda point: point.x)
    title = _title(study, "of each seed")
    return Chart(
        "seeds", title, label_of(study.metric), "seed", "", False, False, False, [Series("", points)], (), failed
    )


def _grid(study: Study, measured: Sequence[Setting], x: str, y: str) -> Chart:
    points = [_point(study, one, x=one.values[x], y=one.values[y]) for one in measured]
    xs, ys = {point.x for point in points}, {point.y for point in points}
    kind: Literal["grid", "points"] = "grid" if len(points) >= FULL_SHARE * len(xs) * len(ys) else "points"
    failed = [
        Point(one.label, x=one.values[x], y=one.values[y])
        for one in study.settings
        for _ in _failed(one)
        if _is_number(one.values[x]) and _is_number(one.values[y])
    ]
    series = [Series("", points)]
    log_x, log_y = (is_geometric([one.values[key] for one in measured]) for key in (x, y))
    title = _title(study, f"over {x} and {y}")
    metric_axis = _spans(_values(series))
    return Chart(kind, title, label_of(study.metric), x, y, log_x, log_y, metric_axis, series, (), failed)


def _names(study: Study, measured: Sequence[Setting]) -> Chart:
    def name(one: Setting) -> str:
        return ", ".join(map(text_of, one.values.values()))

    shown = measured[:MOST_NAMES]
    series = [Series("", [_point(study, one, name=name(one)) for one in shown])]
    failed = [Point(one.label, name(one)) for one in study.settings for _ in _failed(one)]
    title = _title(study, f"by {', '.join(study.keys[:3])}" + ", …" * (len(study.keys) > 3))
    y_label = ", ".join(study.keys)
    left_out = len(measured) - len(shown)
    log_metric = _spans(_values(series))
    return Chart(
        "names", title, label_of(study.metric), "", y_label, False, False, log_metric, series, (), failed, left_out
    )


def _point(study: Study, setting: Setting, name: str = "", **place: float) -> Point:
    statistic, runs = setting.statistic(study.metric), list(setting.by_seed(study.metric).values())
    assert statistic is not None
    return Point(setting.label, name, mean=statistic.mean, sd=statistic.sd, n=statistic.n, runs=runs, **place)


def _title(study: Study, what: str) -> str:
    """Two lines: the metric and over what; the data set, the jobs, and what the bars are."""
    seeds = {len(one.by_seed(study.metric)) for one in study.settings} - {0}
    spread = f", mean and standard deviation of {'-'.join(map(str, sorted({min(seeds), max(seeds)})))} seeds"
    facts = f"{', '.join(study.datasets)}{', ' * bool(study.datasets)}{count_statuses(study.jobs)}"
    return f"{study.metric} {what}\n{facts}{spread if max(seeds) > 1 else ''}"


def _failed(setting: Setting) -> list[Job]:
    return [job for job in setting.jobs if job.status == "failed"]


def _values(series: Sequence[Series]) -> list[float]:
    return [value for line in series for point in line.points for value in point.runs]


def _spans(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > LOG_RATIO * min(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
