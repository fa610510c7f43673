"""Principal component analysis: the best linear autoencoder, and so the baseline of every run."""

import torch
from torch import Tensor, nn

from autoencoder.data.images import AnySplit

EXACT_PIXELS = 3_072  # 3 x 32 x 32: ten seconds on a CPU; time grows with the cube of the number of pixels
SPARE_DIRECTIONS, ROUNDS = 16, 5


class PCA(nn.Module):
    """Encodes into the first principal components of the training images, and decodes back.

    Args:
        mean: of the training images, [P] pixels in [-1, 1].
        components: orthonormal, largest variance first, [K, P].
        image_shape: channels, height and width, with P pixels in all.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, mean: Tensor, components: Tensor, image_shape: torch.Size) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)
        self.image_shape = image_shape

    def encode(self, images: Tensor) -> Tensor:
        """Encodes `images` [B, C, H, W] in [-1, 1] into latents [B, K]."""
        return (images.flatten(1) - self.mean) @ self.components.T

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes `latents` [B, K] into images [B, C, H, W], which are not clipped to [-1, 1]."""
        return (latents @ self.components + self.mean).unflatten(1, self.image_shape)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructs `images` [B, C, H, W] in [-1, 1]."""
        return self.decode(self.encode(images))


def fit_pca(split: AnySplit, latent_dim: int) -> PCA:
    """Fits PCA to the images of a split, from the eigenvectors of their covariance, summed batch by batch.

    For images of more than `EXACT_PIXELS`, the covariance would take minutes or too much memory. Their components come
    from a few rounds of subspace iteration instead; the error is within a percent of the exact one.

    Args:
        split: needs at least one image.
        latent_dim: components to keep; all of them if there are fewer pixels.
    """
    total, products = torch.zeros(()), torch.zeros(())
    image_shape = torch.Size(split.image_shape)
    for images, _ in split.batches():
        flat = images.flatten(1)
        total = total.to(flat.device) + flat.sum(0, dtype=torch.float64)
        if image_shape.numel() <= EXACT_PIXELS:
            products = products.to(flat.device) + (flat.T @ flat).double()
    mean = total / len(split)
    if image_shape.numel() <= EXACT_PIXELS:
        covariance = products / len(split) - mean.outer(mean)
        components = torch.linalg.eigh(covariance).eigenvectors.flip(1).T[:latent_dim]  # eigh: smallest first
    else:
        components = _first_components(split, mean, latent_dim)
    return PCA(mean.float(), components.float(), image_shape)


def _first_components(split: AnySplit, mean: Tensor, latent_dim: int) -> Tensor:
    """The first components, [latent_dim, P], approximately.

    Each multiplication by the covariance turns a random subspace towards them. With a few spare directions, a few
    rounds are enough (Halko, Martinsson and Tropp, 2011).
    """
    generator = torch.Generator().manual_seed(0)
    width = min(latent_dim + SPARE_DIRECTIONS, len(mean))
    basis = torch.linalg.qr(torch.randn(len(mean), width, generator=generator)).Q.to(mean.device)  # [P, width]
    for _ in range(ROUNDS):
        turned = torch.zeros_like(basis)
        for images, _ in split.batches():
            centred = images.flatten(1) - mean.float()
            turned += centred.T @ (centred @ basis)
        basis, lengths = torch.linalg.qr(turned)
    return (basis @ torch.linalg.svd(lengths).U).T[:latent_dim]
