"""Projects latents to two dimensions with t-SNE, principal components or UMAP."""

import importlib

import torch
from torch import Tensor

from autoencoder.errors import InputError
from autoencoder.evaluation import Projection

MAP_IMAGES = 1_300  # at most in a map: t-SNE takes 3.5 s for them on one core, and 45 s for MNIST's 10,000
PERPLEXITY = 30.0  # of t-SNE, roughly the number of neighbours considered; at most a third of the number of points


def spread_evenly(total: int, count: int) -> Tensor:
    """`count` evenly spaced indices [count] of `total` images, from the first to the last; all if there are fewer.

    MNIST's first 5,000 test images are easier than its last, so a map of the first ones would flatter the model.
    """
    return torch.linspace(0, total - 1, min(count, total)).round().long()


def check_projection(projection: Projection) -> None:
    """Raises: InputError if the package that `projection` needs is not installed."""
    if projection == "umap":
        try:
            importlib.import_module("umap")
        except ImportError:
            raise InputError(
                "projection=umap needs the package umap-learn: pip install umap-learn, or use projection=tsne"
            ) from None


def project(latents: Tensor, projection: Projection) -> tuple[Tensor, tuple[str, str]]:
    """Projects `latents` to two dimensions; the result does not depend on the number of threads.

    Args:
        latents: [N, K] on the CPU, N and K at least 1; a single dimension is shown as a line.
        projection: `tsne` (van der Maaten and Hinton, 2008) keeps neighbours together, so classes are apart; `pca`
            shows the two directions of largest variance; `umap` (McInnes, Healy and Melville, 2018) is like t-SNE and
            needs the package umap-learn.
    Returns: points [N, 2], float32, and the names of the two axes.
    Raises: InputError if a latent is infinite or NaN, or for `umap` if it is not installed.
    """
    if not latents.isfinite().all():
        raise InputError("the latents cannot be mapped: some are not finite numbers; use another checkpoint")
    if latents.shape[1] == 1:
        return torch.cat([latents, torch.zeros_like(latents)], 1).float(), ("the one latent dimension", "")
    if projection == "tsne":
        return _tsne(latents), ("t-SNE 1 (no unit)", "t-SNE 2 (no unit)")
    if projection == "umap":
        check_projection(projection)
        umap = importlib.import_module("umap")
        embedded = umap.UMAP(random_state=0).fit_transform(latents.numpy())
        return torch.from_numpy(embedded), ("UMAP 1 (no unit)", "UMAP 2 (no unit)")
    return _principal_components(latents)


def principal_axes(latents: Tensor) -> tuple[Tensor, Tensor]:
    """The principal axes of `latents` [N, K] on the CPU, which must be finite, largest variance first.

    Returns: orthonormal directions [K, K], one a row, and their shares of the variance [K], both float64.
    """
    centred = latents.double() - latents.double().mean(0)
    variances, directions = torch.linalg.eigh(centred.T @ centred)  # smallest first
    return directions.flip(1).T, (variances / variances.sum().clamp(min=1e-12)).flip(0).clamp(min=0)


def _tsne(latents: Tensor) -> Tensor:
    """Points [N, 2] from t-SNE, initialised with principal components; all 0 if all latents are equal."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    offsets = latents.double() - latents[0].double()
    largest = offsets.abs().max()
    if largest == 0:
        return torch.zeros(len(latents), 2)
    perplexity = min(PERPLEXITY, (len(latents) - 1) / 3)
    # t-SNE ignores the scale, but its squared distances would overflow at 1e19.
    scaled = (offsets / largest).float().numpy()
    # One thread: two save a second, but on a busy machine take ten times as long, and they give other points.
    with threadpool_limits(1):
        points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(scaled)
    return torch.from_numpy(points)


def _principal_components(latents: Tensor) -> tuple[Tensor, tuple[str, str]]:
    """Points [N, 2] along the two directions of largest variance, and axis names with the share of the variance."""
    directions, shares = principal_axes(latents)
    first, second = (
        f"{name} principal component of the latents ({share:.0%} of the variance)"
        for name, share in zip(("first", "second"), shares.tolist(), strict=False)
    )
    centred = latents.double() - latents.double().mean(0)
    return (centred @ directions[:2].T).float(), (first, second)
