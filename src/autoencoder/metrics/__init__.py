"""Metrics computed from tensors, and METRICS, the table of them that every report reads."""

from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Any, Literal, NamedTuple


class Metric(NamedTuple):
    """A row of `METRICS`. To add a metric, write a function and a row.

    Attributes:
        label: its name in reports, with the unit.
        heading: a short name, for column headings in the console.
        digits: the format of its values.
        of: what the function takes and returns.
            `reconstructions`: takes (reconstructions, images), two [B, C, H, W] in [-1, 1], and returns one value per
            image, [B], which is averaged over all images, or for `per_class` over those of each class.
            `latents`: takes latents [N, K] of the test images and returns a number.
            `codes`: takes the `Codes` of the test images (see `autoencoder.metrics.codes`) and returns a number.
            `errors`: takes the mse [N] of the test images, and whether the class of each was trained on, [N] bool, and
            returns a number; it needs test images of both kinds.
            `classes`: takes the labelled latents of the training, validation and test images (see
            `autoencoder.metrics.classes`) and returns a number.
            `features`: takes features of generated and of test images, two [N, F], and returns a number.
        function_name: `module:function`; a name, so that the command line knows all metrics without importing torch.
        group: the name used to request it, as in `metrics=[knn]`.
        higher_is_better: whether a model with a higher value is better.
        needs: the detail of a code that a bottleneck must give, of a metric of `codes`.
    """

    label: str
    heading: str
    digits: str
    of: Literal["reconstructions", "latents", "codes", "errors", "classes", "features"]
    function_name: str
    group: str
    higher_is_better: bool = False
    needs: str = ""

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself; imports its module."""
        function: Callable[..., Any] = resolve_name(f"autoencoder.metrics.{self.function_name}")
        return function


METRICS: dict[str, Metric] = {  # by the name in metrics.json, after `test/`, `pca/test_` or `random/test_`
    "mse": Metric("mse, per pixel in [-1, 1]", "mse", ".4f", "reconstructions", "reconstruction:image_mse", "mse"),
    "sse": Metric("sse, per image in [0, 1]", "sse", ".2f", "reconstructions", "reconstruction:image_sse", "sse"),
    "psnr": Metric("psnr, dB", "psnr dB", ".2f", "reconstructions", "reconstruction:image_psnr", "psnr", True),
    "ssim": Metric("ssim", "ssim", ".4f", "reconstructions", "ssim:image_ssim", "ssim", True),
    "auroc": Metric("anomalies by mse, AUROC", "auroc", ".4f", "errors", "anomaly:auroc", "auroc", True),
    "elbo": Metric("ELBO, nats per image", "elbo", ".1f", "codes", "codes:elbo", "codes", True, "elbo"),
    "kl": Metric("KL, nats per image", "kl", ".2f", "codes", "codes:kl", "codes", needs="kl"),
    "active_units": Metric("active units", "active", ".0f", "codes", "codes:active_units", "codes", True, "kl"),
    "active_share": Metric("active latents", "active", ".1%", "codes", "codes:active_share", "codes", needs="active"),
    "dead_latents": Metric("dead latents", "dead", ".0f", "codes", "codes:dead_latents", "codes", needs="active"),
    "codebook_use": Metric("codebook use", "use", ".1%", "codes", "codes:codebook_use", "codes", True, "indices"),
    "perplexity": Metric("perplexity", "perpl.", ".1f", "codes", "codes:perplexity", "codes", True, "indices"),
    "bits_per_image": Metric(
        "bits per image", "bits", ".0f", "codes", "codes:bits_per_image", "codes", needs="indices"
    ),
    "knn_accuracy": Metric(
        "nearest neighbours, accuracy", "knn", ".2%", "classes", "classes:knn_accuracy", "knn", True
    ),
    "probe_accuracy": Metric(
        "linear probe, accuracy", "probe", ".2%", "classes", "classes:probe_accuracy", "probe", True
    ),
    "dead_dimensions": Metric("dead dimensions", "dead", ".0f", "latents", "latents:dead_dimensions", "latents"),
    "effective_rank": Metric("effective rank", "rank", ".2f", "latents", "latents:effective_rank", "latents", True),
}
GENERATED: dict[str, Metric] = {  # what generate.py measures; in metrics.json after `generated/` or `train/`
    "pca_frechet": Metric(
        "Fréchet distance, in PCA features", "Fréchet", ".2f", "features", "generation:frechet_distance", "generation"
    ),
    "pca_precision": Metric(
        "precision, in PCA features", "precision", ".3f", "features", "generation:precision", "generation", True
    ),
    "pca_recall": Metric(
        "recall, in PCA features", "recall", ".3f", "features", "generation:recall", "generation", True
    ),
    "pca_density": Metric(
        "density, in PCA features", "density", ".3f", "features", "generation:density", "generation", True
    ),
    "pca_coverage": Metric(
        "coverage, in PCA features", "coverage", ".3f", "features", "generation:coverage", "generation", True
    ),
}
MODELS = {  # by prefix of their metrics
    **{"test/": "autoencoder", "corrupted/test_": "from corrupted images"},
    **{"pca/test_": "PCA", "random/test_": "random encoder"},
}
MEASURED_ON = {  # by prefix of a key in metrics.json
    **{"val/": "validation", "train/": "training", "test/": "test"},
    **{"corrupted/test_": "corrupted test", "pca/test_": "PCA's test", "random/test_": "random encoder's test"},
    "generated/": "generated",
}
PER_CLASS = "per_class"
GROUPS = (*dict.fromkeys(metric.group for metric in METRICS.values()), PER_CLASS)
MetricName = Literal[GROUPS]  # type: ignore[valid-type]  # the names that can be requested


def measured_in(metrics: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The rows of `METRICS` and the prefixes of `MODELS` that a run's metrics have values for."""
    names = [name for name in METRICS if metrics.get(f"test/{name}") is not None]
    return names, [prefix for prefix in MODELS if any(f"{prefix}{name}" in metrics for name in names)]


def metric_rows(metrics: Mapping[str, Any]) -> list[list[str]]:
    """The table of test metrics, header first; a row has a label and one cell per model. Empty without metrics."""
    names, prefixes = measured_in(metrics)
    rows = [[METRICS[name].label, *(formatted(metrics, prefix, name) for prefix in prefixes)] for name in names]
    return [["test images", *(MODELS[prefix] for prefix in prefixes)], *rows] if rows else []


def formatted(metrics: Mapping[str, Any], prefix: str, name: str) -> str:
    """A value of a run's metrics, formatted with the digits of its row; empty if there is none."""
    value = metrics.get(f"{prefix}{name}")
    return "" if value is None else format(value, METRICS[name].digits)


def metric_of(key: str) -> tuple[str, Metric] | None:
    """What a key of metrics.json was measured on, and its row: `pca/test_mse` gives PCA's test, and the row of mse.

    None for a key that no row stands for, such as `fit_seconds`, or the value of one class.
    """
    for prefix, images in MEASURED_ON.items():
        if key.startswith(prefix) and (row := (METRICS | GENERATED).get(key.removeprefix(prefix))):
            return images, row
    return None


def label_of(key: str) -> str:
    """The label of a key of metrics.json, with its unit: `test mse, per pixel in [-1, 1]`. Without a row, the key."""
    found = metric_of(key)
    return f"{found[0]} {found[1].label}" if found else key


def format_value(key: str, value: float) -> str:
    """A value of metrics.json with the digits of its row, or with four digits; one digit where that would give 0."""
    found = metric_of(key)
    text = format(value, found[1].digits if found else ".4g")
    return text if value == 0 or text.strip("-0.%") else format(value, ".1g")


def is_higher_better(key: str) -> bool:
    """Whether a higher value of a key of metrics.json is better."""
    found = metric_of(key)
    return found is not None and found[1].higher_is_better
