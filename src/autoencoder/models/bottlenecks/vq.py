"""VQ: vector quantisation, which replaces groups of latents by the nearest vectors of learned codebooks."""

from pydantic import NonNegativeFloat
from torch import Tensor

from autoencoder.errors import InputError
from autoencoder.limits import Count, checked
from autoencoder.models.bottlenecks.bottleneck import Bottleneck, Code


class VQ(Bottleneck):
    """The bottleneck of a VQ-VAE (van den Oord et al., 2017), from the package vector-quantize-pytorch.

    The latents are divided into groups, each with a codebook of its own, which follows the encoder's outputs by running
    averages (appendix A.1); vectors that are hardly used are replaced by an image's. An image takes
    groups * log2(codebook_size) bits. The penalty is the commitment loss, which draws the encoder's outputs to the
    codebook.

    Args:
        latent_dim: as in `Bottleneck`.
        groups: of latents, with latent_dim / groups dimensions each.
        codebook_size: vectors in the codebook of each group.
        commitment_weight: of the penalty, `beta` in the paper's eq. 3.
    Raises: InputError if `latent_dim` is not a multiple of `groups`, or if the package is not installed.
    """

    @checked
    def __init__(
        self,
        latent_dim: int,
        groups: Count = 8,
        codebook_size: Count = 256,
        commitment_weight: NonNegativeFloat = 0.25,
    ) -> None:
        super().__init__(latent_dim)
        if latent_dim % groups:
            raise InputError(
                f"model.latent_dim must be a multiple of model.bottleneck.groups, {groups}, got {latent_dim}: "
                "change one of them"
            )
        try:
            from vector_quantize_pytorch import VectorQuantize
        except ImportError:
            raise InputError(
                "model/bottleneck=vq needs the package vector-quantize-pytorch: pip install -e '.[vq]'"
            ) from None
        self.code_sizes = (codebook_size,) * groups
        self.quantizer = VectorQuantize(
            dim=latent_dim,
            codebook_size=codebook_size,
            heads=groups,
            codebook_dim=latent_dim // groups,
            separate_codebook_per_head=True,
            threshold_ema_dead_code=1,
            commitment_weight=commitment_weight,
        )

    def forward(self, encoded: Tensor) -> Code:
        """`encoded` [B, latent_dim]; latents of the same shape, and the index of each group's vector, from 0."""
        latents, indices, commitment = self.quantizer(encoded)
        indices = indices.reshape(encoded.shape[0], len(self.code_sizes))
        return Code(latents, {"commitment": commitment.sum()}, {"indices": indices})

    def make_traceable(self) -> None:
        """Makes the codebook's flag `initted` a constant: it is a tensor, and the package branches on it.

        It is always true: only with a start from k-means, which is not used here, do the vectors come later.
        """
        codebook = self.quantizer._codebook
        del codebook.initted
        codebook.initted = True
