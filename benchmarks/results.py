"""Rebuilds the tables and pictures of docs/results.md from benchmarks/results/*.csv: `python benchmarks/results.py`.

In the page, a table stands between `<!-- NAME -->` and `<!-- end of NAME -->`; all else is written by hand.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from math import log
from pathlib import Path
from statistics import mean, stdev

from matplotlib.figure import Figure

from autoencoder.metrics import metric_of
from autoencoder.pictures.style import tidy

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
RESULTS = ROOT / "benchmarks" / "results"
RATES = (24, 48, 64, 96, 192, 384, 768)  # of the table, bits per image
CURVES = {  # of the picture: method, colour, line
    "fsq": ("fsq", "#0072B2", "o"),
    "vq": ("vq", "#009E73", "D"),
    "quantised latents": ("a plain model's latents, rounded; the best of all sizes", "#D55E00", "s"),
    "quantised PCA": ("principal components, rounded", "#000000", "^"),
    "WebP, no headers": ("WebP, without its headers", "#CC79A7", "v"),
    "JPEG, no headers": ("JPEG, without its headers", "#E69F00", "<"),
    "WebP": ("WebP files", "#999999", "+"),
    "JPEG": ("JPEG files", "#999999", "x"),
}
TEXTS = ("recipe", "besides", "bottleneck", "method")  # columns of words
Row = dict[str, str]
Table = list[list[str]]


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    draw_rates(read("rate_distortion")).savefig(PAGE.with_name("rate_distortion.png"), dpi=150)


def filled(page: str) -> str:
    """The page with each table rebuilt.

    Raises: ValueError if the page lacks a table's place.
    """
    for name, build in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"{PAGE} needs one place for a table, between {begin.strip()} and {end.strip()}")
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{markdown(build(read(name)))}\n{end}{rest.split(end)[1]}"
    return page


def read(name: str) -> list[Row]:
    """The rows of a CSV file in benchmarks/results, without those of failed runs."""
    with (RESULTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("status", "finished") == "finished"]


def markdown(table: Table) -> str:
    """A table in Markdown; its first row is the header, and columns of numbers are aligned on the right."""
    head, *rows = table
    lines = [head, ["---" if name in ("", *TEXTS) else "--:" for name in head], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def spread(rows: Iterable[Row], name: str, digits: str | None = None, factor: float = 1.0) -> str:
    """Mean ± standard deviation of a metric over the rows, with the metric's digits; empty if they have none."""
    values = [factor * float(row[name]) for row in rows if row.get(name)]
    if not values:
        return ""
    found = metric_of(name)
    form = digits or (found[1].digits if found else ".0f")
    deviation = f" ± {stdev(values):{form}}" if len(values) > 1 else ""
    return f"{mean(values):{form}}{deviation}"


def groups(rows: Iterable[Row], *names: str) -> dict[tuple[str, ...], list[Row]]:
    """The rows by their values of these settings, in the order in which they come."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def errors(rows: list[Row], command: str) -> Table:
    """The errors of one command's runs."""
    head = ["", "seeds", "test mse", "test sse", "train mse", "epochs", "minutes of fitting"]
    cells = [spread(rows, name) for name in ("test/mse", "test/sse", "train/mse")]
    epochs, minutes = rows[0]["epochs"], spread(rows, "fit_seconds", ".0f", 1 / 60)
    return [head, [f"`{command}`", str(len(rows)), *cells, epochs, minutes]]


def recipes(rows: list[Row]) -> Table:
    """Errors by recipe, lowest first, and what else its bottleneck measures."""
    besides = {
        "test/active_share": "of the latents active",
        "test/dead_latents": "dead latents",
        "test/bits_per_image": "bits an image",
        "test/perplexity": "perplexity",
        "test/kl": "nats of KL",
        "test/elbo": "nats of ELBO",
        "test/active_units": "active units",
        "corrupted/test_mse": "from corrupted images",
    }
    table = [["recipe", "test mse", "test sse", "seconds of fitting", "besides"]]
    ranked = sorted(groups(rows, "model").items(), key=lambda item: mean(float(row["test/mse"]) for row in item[1]))
    for (model,), same in ranked:
        facts = [f"{spread(same, name)} {words}" for name, words in besides.items() if spread(same, name)]
        numbers = [spread(same, name) for name in ("test/mse", "test/sse", "fit_seconds")]
        table.append([f"`model={model}`", *numbers, ", ".join(facts)])
    return table


def bottlenecks(rows: list[Row]) -> Table:
    """Each bottleneck with as many latents."""
    names = ("test/mse", "test/bits_per_image", "test/knn_accuracy", "test/probe_accuracy", "generated/pca_frechet")
    table = [["latents", "bottleneck", "test mse", "bits", "nearest neighbours", "linear probe", "Fréchet distance"]]
    for (latent_dim, bottleneck), same in sorted(
        groups(rows, "model.latent_dim", "model/bottleneck").items(),
        key=lambda item: (int(item[0][0]), mean(float(row["test/mse"]) for row in item[1])),
    ):
        cells = [spread(same, name, ".0f" if name == "test/bits_per_image" else None) for name in names]
        cells[1] = cells[1].partition(" ")[0]  # the same for all seeds
        table.append([latent_dim, f"`{bottleneck}`", *cells])
    return table


def one_class(rows: list[Row]) -> Table:
    """AUROC in % by the digit that a model was trained on, beside the published ones."""
    percent = partial(spread, digits=".1f", factor=100.0)
    by_digit = groups(rows, "data.train_classes")
    table = [["trained on", "`model=conv`", "PCA", "published: DCAE", "Deep SVDD"]]
    for published in read("ruff2018"):
        same = by_digit[(f"[{published['digit']}]",)]
        dcae = f"{published['DCAE']} ± {published['DCAE deviation']}"
        measured = [percent(same, "test/auroc"), percent(same[:1], "pca/test_auroc")]  # PCA has no seeds
        table.append([published["digit"], *measured, dcae, published["Deep SVDD"]])
    columns = list(zip(*table[1:], strict=True))[1:]
    return [*table, ["mean", *(f"{mean(float(cell.split()[0]) for cell in column):.1f}" for column in columns)]]


def rate_distortion(rows: list[Row]) -> Table:
    """The error of each method at a few rates; for files of other rates, between those of two qualities."""
    table = [["method", *(f"{rate} bits" for rate in RATES)]]
    for method in CURVES:
        points = curve(rows, method)
        is_file = method.startswith(("JPEG", "WebP"))
        cells = [interpolated(points, rate) if is_file else points.get(rate) for rate in RATES]
        if any(cells):
            table.append([method, *("" if cell is None else f"{cell:.4f}" for cell in cells)])
    return table


def curve(rows: list[Row], method: str) -> dict[float, float]:
    """The lowest error of a method's settings, averaged over seeds, by bits per image in ascending order."""
    by_rate = groups((row for row in rows if row["method"] == method), "bits_per_image")
    return dict(
        sorted((float(rate), min(map(mean_mse, groups(same, "setting").values()))) for (rate,), same in by_rate.items())
    )


def interpolated(points: dict[float, float], rate: float) -> float | None:
    """The error at a rate, linear between the logarithms of its neighbours; None outside the points."""
    for (low, above), (high, below) in pairwise(points.items()):
        if low <= rate <= high:
            share = log(rate / low) / log(high / low)
            return above ** (1 - share) * below**share
    return None


def mean_mse(rows: Sequence[Row]) -> float:
    return mean(float(row["test/mse"]) for row in rows)


def draw_rates(rows: list[Row]) -> Figure:
    """Error by bits per image, a curve for each method."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for method, (label, color, marker) in CURVES.items():
        points = list(curve(rows, method).items())
        lowest = [point for number, point in enumerate(points) if all(point[1] < p[1] for p in points[:number])]
        axes.plot(*zip(*lowest, strict=True), marker=marker, color=color, label=label, markersize=4, linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("bits per image")
    axes.set_ylabel("test mse, per pixel in [−1, 1]")
    axes.set_title("Bits per image and error, MNIST", fontsize=10)
    axes.legend(frameon=False, fontsize=7)
    tidy(axes)
    return figure


TABLES: dict[str, Callable[[list[Row]], Table]] = {  # by the name of the CSV file
    "recipes": recipes,
    "hinton2006": partial(errors, command="experiment=hinton2006"),
    "best32": partial(errors, command="experiment=best32"),
    "bottlenecks": bottlenecks,
    "one_class": one_class,
    "rate_distortion": rate_distortion,
}

if __name__ == "__main__":
    main()
