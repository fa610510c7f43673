"""Computes the requested metrics of a trained model, and those of PCA and a random encoder for comparison."""

import logging
from collections.abc import Collection

from torch import Tensor

from autoencoder.errors import InputError
from autoencoder.evaluation.outputs import Outputs
from autoencoder.metrics import GROUPS, METRICS, PER_CLASS
from autoencoder.metrics.classes import split_held_out
from autoencoder.metrics.ssim import has_ssim

log = logging.getLogger(__name__)

SCORES = tuple(name for name, metric in METRICS.items() if metric.of == "reconstructions")
QUICK = (*SCORES, "auroc", "codes")  # at the end of each run
COLLAPSED = 0.25  # share of latent dimensions that are active, at most


def evaluate(outputs: Outputs, metrics: Collection[str] = QUICK) -> dict[str, float | None]:
    """The requested metrics of the model and its baselines, named as in `metrics.json`.

    Metrics that cannot be computed on these images are left out, and the log says why.
    The test set is never used for selection: PCA, neighbours and probes are fitted on the training images, and the
    probes' C is chosen on the validation images.

    Args:
        outputs: of the model on the test images.
        metrics: what to compute on the test images:
            mse, sse, psnr, ssim: of the model and of PCA (mse of the training and validation images, too), and of the
            model from corrupted images if it was trained on these;
            auroc: of each image's mse, of the model and of PCA: test images of the classes trained on against those of
            other classes, see `data.train_classes`; left out without a word from `QUICK` and `GROUPS` if all classes
            were trained on;
            codes: what the bottleneck has, such as KL and ELBO, active latents, or the use of a codebook;
            per_class: the requested metrics among these four, for each class;
            knn, probe: accuracy of nearest neighbours and of a linear probe on the latents of the model, of PCA and of
            a random encoder;
            latents: dead dimensions and effective rank of the latents of the model and of PCA.
    Raises: ValueError for any other metric, for per_class alone, or for outputs on another split.
    """
    if outputs.name != "test":
        raise ValueError(f"`outputs` must be those of the test images, got the {outputs.title} images")
    if isinstance(metrics, str):
        raise ValueError(f"`metrics` must be a list: [{metrics!r}]")
    if unknown := sorted(set(metrics) - set(GROUPS)):
        raise ValueError(f"`metrics` must be some of {', '.join(GROUPS)}, got {', '.join(unknown)}")
    if PER_CLASS in metrics and not set(SCORES) & set(metrics):
        raise InputError(f"per_class gives {', '.join(SCORES)} for each class: also ask for one of these")
    asked = measurable(metrics, outputs)
    rows = {name: metric for name, metric in METRICS.items() if metric.group in asked}
    scored = [name for name, metric in rows.items() if metric.of == "reconstructions"]
    measured: dict[str, float | None] = {}
    if "mse" in scored:
        measured["train/mse"] = mean(outputs.on("train").errors)
        measured["val/mse"] = mean(outputs.on("val").errors) if len(outputs.images.val) else None
    for prefix, model in (*_baselines(outputs), *_corrupted(outputs)) if scored else ():
        measured |= _means(model, prefix, scored, PER_CLASS in asked)
    for name, metric in rows.items():
        if metric.of == "errors":
            measured |= {
                f"{prefix}{name}": metric.function(model.errors, outputs.is_normal)
                for prefix, model in _baselines(outputs)
            }
    for name, metric in rows.items():
        if metric.of == "codes" and metric.needs in outputs.codes.details:
            measured[f"test/{name}"] = metric.function(outputs.codes)
    if "test/active_units" in measured:
        _warn_of_collapse(measured["test/active_units"], outputs.latents.shape[1])
    for name, metric in rows.items():
        if metric.of == "latents":
            measured |= {f"{prefix}{name}": metric.function(model.latents) for prefix, model in _baselines(outputs)}
    for name, metric in rows.items():
        if metric.of == "classes":
            for prefix, model in (*_baselines(outputs), ("random/test_", outputs.random)):
                val = model.on("val").labelled_latents if len(outputs.images.val) else None
                measured[f"{prefix}{name}"] = metric.function(
                    model.on("train").labelled_latents, val, model.labelled_latents
                )
    return measured


def mean(values: Tensor) -> float:
    """The mean of `values` [N], summed in 64 bits."""
    return values.double().mean().item()


def mean_of_each_class(values: Tensor, labels: Tensor) -> dict[int, float]:
    """The mean of `values` [N] over the images of each label in `labels` [N]."""
    return {label: mean(values[labels == label]) for label in labels.unique().tolist()}


def measurable(metrics: Collection[str], outputs: Outputs) -> set[str]:
    """The part of `metrics` that can be computed on these images; the log names the others, and says why."""
    images = outputs.images
    obstacles: dict[str, str] = {}
    height, width = images.image_shape[1:]
    if not has_ssim(height, width):
        obstacles["ssim"] = f"images of {height} x {width} pixels are too small for its windows"
    if len(images.test) < 2:
        obstacles["latents"] = "a single test image has no spread"
    if not outputs.has_anomalies:
        obstacles["auroc"] = "the test images have no classes beside those trained on"
        if tuple(metrics) in (QUICK, GROUPS):  # nobody has asked for it
            metrics = set(metrics) - {"auroc"}
    labels = images.train.labels
    if not images.labelled:  # as the log has said when they were loaded
        metrics = set(metrics) - {PER_CLASS, *(each.group for each in METRICS.values() if each.of == "classes")}
    for name, fitted in (("knn", labels), ("probe", labels if len(images.val) else split_held_out(labels)[0])):
        if len(fitted.unique()) < 2:
            obstacles[name] = "its training images all have the same class"
    for name in metrics:
        if name in obstacles:
            log.info("%s is left out: %s", name, obstacles[name])
    return set(metrics) - set(obstacles)


def _baselines(outputs: Outputs) -> tuple[tuple[str, Outputs], ...]:
    return ("test/", outputs), ("pca/test_", outputs.pca)


def _corrupted(outputs: Outputs) -> tuple[tuple[str, Outputs], ...]:
    return (("corrupted/test_", outputs.corrupted),) if outputs.corrupts else ()


def _warn_of_collapse(active: float | None, latent_dim: int) -> None:
    """Logs a warning if the posterior of most latent dimensions is the prior, whatever the image."""
    if active is not None and active <= COLLAPSED * latent_dim:
        log.warning(
            "the posterior has collapsed: %d of %d latent dimensions are active; lower model.bottleneck.beta, or set "
            "warmup or free_bits",
            active,
            latent_dim,
        )


def _means(outputs: Outputs, prefix: str, names: Collection[str], per_class: bool) -> dict[str, float]:
    scores = outputs.score(*names)
    means = {f"{prefix}{name}": mean(values) for name, values in scores.items()}
    if per_class:
        for name, values in scores.items():
            for label, value in mean_of_each_class(values, outputs.labels).items():
                means[f"{prefix}{name}_class_{label}"] = value
    return means
