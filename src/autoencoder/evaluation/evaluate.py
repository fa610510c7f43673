"""What a trained model is worth: the figures of each split, with PCA's and a random encoder's beside them."""

import logging
from collections.abc import Callable, Collection, Iterable
from functools import cache
from typing import NamedTuple, cast, get_args

import torch
from torch import Tensor

from autoencoder.data.datamodule import ImageDataModule
from autoencoder.data.pixels import normalize
from autoencoder.errors import InputError
from autoencoder.evaluation.latents import Latents, collect_latents, dead_dimensions, effective_rank
from autoencoder.evaluation.pca import PCA, fit_pca
from autoencoder.evaluation.probes import knn_accuracy, probe_accuracy, split_held_out
from autoencoder.metrics import Metric
from autoencoder.metrics.reconstruction import image_mse, psnr_db, sum_of_squares
from autoencoder.metrics.ssim import has_ssim, image_ssim
from autoencoder.models.module import AutoencoderModule

log = logging.getLogger(__name__)

QUICK: tuple[Metric, ...] = ("mse", "sse", "psnr", "ssim")  # at the end of each run
RANDOM_SEED = 0  # of the encoder that has learned nothing


class ImageScores(NamedTuple):
    """One value an image: `mse` [N] in [-1, 1], `ssim` [N] or None, `labels` [N]; and the `pixels` of each."""

    mse: Tensor
    ssim: Tensor | None
    labels: Tensor
    pixels: int


def score_images(
    reconstruct: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]], with_ssim: bool = False
) -> ImageScores:
    """How well each image is reconstructed.

    Args:
        reconstruct: from images [B, C, H, W] in [-1, 1] to the same.
        batches: (pixels [B, C, H, W] uint8, labels [B]).
        with_ssim: measure the structural similarity, too.
    Raises: ValueError if there are no images.
    """
    # Lists of numbers: a small tensor kept of each batch would hold the memory of the whole batch's large ones.
    mse, ssim, labels, pixels = [], [], [], 0
    with torch.inference_mode():
        for batch, batch_labels in batches:
            images = normalize(batch)
            reconstructions = reconstruct(images)
            mse += image_mse(reconstructions, images).tolist()
            if with_ssim:
                ssim += image_ssim(reconstructions, images).tolist()
            labels += batch_labels.tolist()
            pixels = images[0].numel()
    if not mse:
        raise ValueError("`batches` holds no images to measure on")
    return ImageScores(torch.tensor(mse), torch.tensor(ssim) if with_ssim else None, torch.tensor(labels), pixels)


def mean_scores(scores: ImageScores, metrics: Collection[str], label: int | None = None) -> dict[str, float]:
    """The means over images of those of mse, sse, psnr and ssim that are in `metrics`; of one class if `label` is set.

    `mse` per pixel in [-1, 1], `sse` per image in [0, 1], `psnr` in dB of each image, then averaged, `ssim` up to 1.
    """
    chosen = slice(None) if label is None else scores.labels == label
    mse = scores.mse[chosen].double()
    figures: dict[str, float] = {}
    if "mse" in metrics:
        figures["mse"] = mse.mean().item()
    if "sse" in metrics:
        figures["sse"] = sum_of_squares(mse.mean().item(), scores.pixels)
    if "psnr" in metrics:
        figures["psnr"] = psnr_db(mse).mean().item()
    if "ssim" in metrics and scores.ssim is not None:
        figures["ssim"] = scores.ssim[chosen].double().mean().item()
    return figures


def measure(reconstruct: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """mse, sse and psnr of reconstructions, exact over all the images in `batches`; see `score_images`."""
    return mean_scores(score_images(reconstruct, batches), ("mse", "sse", "psnr"))


def evaluate(
    module: AutoencoderModule, datamodule: ImageDataModule, metrics: Collection[Metric] = QUICK
) -> dict[str, float | None]:
    """The figures asked for, named as in `metrics.json`: the model's, and beside them those of its baselines.

    What these images do not allow is left out, and the log says why.
    Test images take no part in any choice: PCA, neighbours and probes are fitted on the training images, the
    probes' C is chosen on the validation images.

    Args:
        metrics: of the test images, what to compute, and nothing else is:
            mse, sse, psnr, ssim, with PCA's beside each (mse of the training and validation images, too);
            per_class: those of the four that are asked for, for each class;
            knn, probe: accuracy of nearest neighbours and of a linear probe on the latents, with those on PCA's
            latents and on a random encoder's beside them;
            latents: dead dimensions and effective rank, with those of PCA's latents beside them.
    Raises: ValueError for a metric that is none of these, or for per_class alone.
    """
    if unknown := sorted(set(metrics) - set(get_args(Metric))):
        raise ValueError(f"`metrics` must be some of {', '.join(get_args(Metric))}, got {', '.join(unknown)}")
    if "per_class" in metrics and not set(QUICK) & set(metrics):
        raise InputError(f"per_class is of each class what {', '.join(QUICK)} are of all: ask for one of these, too")
    module.eval().to(datamodule.images.test_images.device)
    metrics = measurable(metrics, datamodule)
    batches = datamodule.evaluation_batches
    pca = cache(lambda: fit_pca(batches("train"), module.latent_dim))  # fitted at most once, if at all
    figures: dict[str, float | None] = {}
    if "mse" in metrics:
        figures["train/mse"] = measure(module, batches("train"))["mse"]
        figures["val/mse"] = measure(module, batches("val"))["mse"] if datamodule.val_size else None
    if set(QUICK) & set(metrics):
        figures |= _reconstruction_figures(module, "test/", datamodule, metrics)
        figures |= _reconstruction_figures(pca(), "pca/test_", datamodule, metrics)
    if "latents" in metrics:
        figures |= _latent_figures(module, "test/", datamodule)
        figures |= _latent_figures(pca(), "pca/test_", datamodule)
    if {"knn", "probe"} & set(metrics):
        figures |= _class_figures(module, "test/", datamodule, metrics)
        figures |= _class_figures(pca(), "pca/test_", datamodule, metrics)
        figures |= _class_figures(random_encoder(module), "random/test_", datamodule, metrics)
    return figures


def measurable(metrics: Collection[Metric], datamodule: ImageDataModule) -> tuple[Metric, ...]:
    """Those of `metrics` that make sense on these images; the log says in a line each which do not, and why."""
    images = datamodule.images
    obstacles: dict[Metric, str] = {}
    height, width = images.test_images.shape[2:]
    if not has_ssim(height, width):
        obstacles["ssim"] = f"images of {height} x {width} pixels are too small for its windows"
    if len(images.test_images) < 2:
        obstacles["latents"] = "a single test image has no spread"
    labels = images.train_labels[datamodule.train_indices]
    for name, fitted in (("knn", labels), ("probe", labels if datamodule.val_size else split_held_out(labels)[0])):
        if len(fitted.unique()) < 2:
            obstacles[cast(Metric, name)] = "the images that it learns from are of one class"
    for name in metrics:
        if name in obstacles:
            log.info("%s is left out: %s", name, obstacles[name])
    return tuple(name for name in metrics if name not in obstacles)


def random_encoder(module: AutoencoderModule) -> AutoencoderModule:
    """A module of the same sizes, on the same device, as it would start training from one fixed seed."""
    with torch.random.fork_rng(devices=[]):  # weights start on the CPU
        torch.manual_seed(RANDOM_SEED)
        return type(module)(**module.hparams).eval().to(module.device)


def _reconstruction_figures(
    model: AutoencoderModule | PCA, prefix: str, datamodule: ImageDataModule, metrics: Collection[str]
) -> dict[str, float]:
    scores = score_images(model, datamodule.evaluation_batches("test"), "ssim" in metrics)
    figures = {f"{prefix}{name}": value for name, value in mean_scores(scores, metrics).items()}
    if "per_class" in metrics:
        for label in scores.labels.unique().tolist():
            means = mean_scores(scores, metrics, label)
            figures |= {f"{prefix}{name}_class_{label}": value for name, value in means.items()}
    return figures


def _latent_figures(model: AutoencoderModule | PCA, prefix: str, datamodule: ImageDataModule) -> dict[str, float]:
    latents = collect_latents(model.encode, datamodule.evaluation_batches("test")).values
    return {f"{prefix}dead_dimensions": dead_dimensions(latents), f"{prefix}effective_rank": effective_rank(latents)}


def _class_figures(
    model: AutoencoderModule | PCA, prefix: str, datamodule: ImageDataModule, metrics: Collection[str]
) -> dict[str, float]:
    train, test = (collect_latents(model.encode, datamodule.evaluation_batches(split)) for split in ("train", "test"))
    figures = {}
    if "knn" in metrics:
        figures[f"{prefix}knn_accuracy"] = knn_accuracy(train, test)
    if "probe" in metrics:
        val: Latents | None = None
        if datamodule.val_size:
            val = collect_latents(model.encode, datamodule.evaluation_batches("val"))
        figures[f"{prefix}probe_accuracy"] = probe_accuracy(train, val, test)
    return figures
