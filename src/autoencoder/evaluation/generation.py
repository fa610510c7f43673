"""Generates images: draws latents from a prior or a mixture, decodes them, and measures them against test images."""

import logging
import warnings
from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from autoencoder.data.images import AnySplit, ImageSet
from autoencoder.data.pixels import eval_batch_size
from autoencoder.errors import InputError
from autoencoder.evaluation import Source
from autoencoder.evaluation.outputs import Outputs, evaluating
from autoencoder.evaluation.pca import fit_pca
from autoencoder.evaluation.projection import spread_evenly
from autoencoder.limits import memory_in_bytes
from autoencoder.metrics import GENERATED
from autoencoder.metrics.generation import FEWEST
from autoencoder.models.module import AutoencoderModule

log = logging.getLogger(__name__)

PCA_FEATURES = 64  # principal components that images are compared by; all of them if images have fewer pixels


def check_count(count: int, module: AutoencoderModule) -> None:
    """Raises: InputError if `count` images of 8 bits and their latents, with intermediate copies, exceed the memory."""
    needed = count * (2 * module.image_shape.numel() + 28 * module.latent_dim)  # bytes
    there = memory_in_bytes()
    if there is not None and needed > there:
        raise InputError(
            f"n={count}: so many images need {needed / 1e9:,.0f} GB of memory, and this machine has "
            f"{there / 1e9:,.0f} GB: set a smaller n, and several seeds"
        )


def count_measured(images: ImageSet, most: int) -> int:
    """How many images of each kind are measured: at most `most`, and no more than there are test or training images.

    0 if that is too few for the metrics; the log says so.
    """
    count = min(most, len(images.test), len(images.train))
    if 0 < count < FEWEST:
        log.info("metrics of generated images are left out: they need %d test and training images", FEWEST)
    return count if count >= FEWEST else 0


def sample_latents(
    outputs: Outputs, count: int, source: Source = "auto", mixture_components: int = 10, seed: int = 0
) -> tuple[Tensor, str]:
    """Draws latents for new images, the same for the same seed.

    Args:
        outputs: of an `AutoencoderModule`.
        count: how many latents.
        source: `prior`, that of the bottleneck; `mixture`, see `sample_mixture`; `auto`, the prior if there is one.
        mixture_components: of the mixture.
        seed: of the draw, and of the mixture's fit.
    Returns: latents [count, K] float32 on the CPU, and their source, `prior` or `mixture`.
    Raises: InputError for `prior` if there is none, and as `sample_mixture`.
    """
    if source != "mixture":
        try:
            with evaluating(outputs.model):
                torch.manual_seed(seed)
                return _module(outputs).bottleneck.sample(count).float().cpu(), "prior"
        except InputError as error:
            if source == "prior":
                raise InputError(f"source=prior: {error}: set source=mixture") from None
    return sample_mixture(outputs, count, mixture_components, seed), "mixture"


def sample_mixture(outputs: Outputs, count: int, components: int, seed: int) -> Tensor:
    """Draws latents [count, K] from a Gaussian mixture fitted after training (Ghosh et al., 2020, section 4).

    The mixture has full covariances, and is fitted to the encoder's outputs for the training images: in a plain
    autoencoder, its latents. What is drawn passes through the bottleneck in evaluation mode, so that the decoder gets
    valid latents: the nearest codes of a quantiser, the k largest of a top-k bottleneck.

    Raises: InputError for more components than training images, or if the encoder's outputs cannot be fitted.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    train, module = outputs.images.train, _module(outputs)
    if components > len(train):
        raise InputError(
            f"mixture_components must be at most {len(train)}, the number of training images, got {components}"
        )
    encoded = encodings(module, train).double().numpy()
    mixture = GaussianMixture(components, random_state=seed)
    # One thread: the result then depends neither on their number nor on what else runs.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the log says so below
        try:
            mixture.fit(encoded)
        except ValueError as error:
            raise InputError(
                f"no mixture of {components} Gaussians fits the latents of the training images "
                f"({' '.join(str(error).split())}): set fewer mixture_components, or use another checkpoint"
            ) from None
        drawn = torch.from_numpy(mixture.sample(count)[0])
    if not mixture.converged_:
        log.info("the mixture's fit was stopped after %d rounds, before it had converged", mixture.n_iter_)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))  # drawn one component after the other
    parameter = next(module.parameters())
    with evaluating(module):
        parts = drawn[order].to(parameter.dtype).split(eval_batch_size(outputs.images.image_shape))
        return torch.cat([module.bottleneck(part.to(parameter.device)).latents.float().cpu() for part in parts])


def encodings(module: AutoencoderModule, split: AnySplit) -> Tensor:
    """What the bottleneck gets for the images of a split, [N, encoded_dim] on the CPU."""
    inputs: list[Tensor] = []
    dtype = next(module.parameters()).dtype
    # A hook, since a subclass may have a `code` of its own.
    hook = module.bottleneck.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0].float().cpu()))
    try:
        with evaluating(module):
            for images, _ in split.batches():
                module.code(images.to(dtype))
    finally:
        hook.remove()
    return torch.cat(inputs)


def decoded(outputs: Outputs, latents: Tensor) -> Iterator[Tensor]:
    """The images of `latents` [N, K], batch by batch, [B, C, H, W] in [-1, 1] on the CPU."""
    return map(outputs.decode, latents.split(eval_batch_size(outputs.images.image_shape)))


def measure_generated(
    outputs: Outputs, latents: Tensor, metrics: Collection[str] = tuple(GENERATED)
) -> dict[str, float]:
    """Metrics of `GENERATED` for the images of `latents`, and for real training images as a reference.

    Images are compared by their first `PCA_FEATURES` principal components, fitted to the training images. Both sets are
    measured against as many test images; training and test images are evenly spread over their splits.

    Args: latents, [N, K] with N from `FEWEST` to the number of test and of training images; metrics, their names.
    Returns: values named as in `metrics.json`: `generated/pca_frechet` …, `train/pca_frechet` ….
    """
    images, count = outputs.images, len(latents)
    pca = fit_pca(images.train, PCA_FEATURES)
    device = images.test.device

    def features_of(split: AnySplit) -> Tensor:
        chosen = spread_evenly(len(split), count).to(device)
        return torch.cat([pca.encode(part) for part in split.each(chosen.split(eval_batch_size(images.image_shape)))])

    test = features_of(images.test)
    generated = torch.cat([pca.encode(part.to(device)) for part in decoded(outputs, latents)])
    sets = {"generated/": generated, "train/": features_of(images.train)}
    return {
        f"{prefix}{name}": GENERATED[name].function(features, test)
        for prefix, features in sets.items()
        for name in metrics
    }


def _module(outputs: Outputs) -> AutoencoderModule:
    """Raises: TypeError for the outputs of another model, such as PCA."""
    if not isinstance(outputs.model, AutoencoderModule):
        raise TypeError(f"`outputs` must be those of an AutoencoderModule, got {type(outputs.model).__name__}")
    return outputs.model
