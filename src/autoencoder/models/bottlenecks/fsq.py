"""FSQ: finite scalar quantisation, which rounds each latent to one of a few levels."""

from math import atanh
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from autoencoder.limits import checked
from autoencoder.models.bottlenecks.bottleneck import Bottleneck, Code

SPARE = 1e-3  # the outer levels' share beyond the last level, so that tanh can reach it


class FSQ(Bottleneck):
    """Rounds each latent to one of `levels` values in [-1, 1] (Mentzer et al., 2023, 'Finite scalar quantization').

    Gradients pass the rounding unchanged. An image takes latent_dim * log2(levels) bits.

    Args: latent_dim, as in `Bottleneck`; levels, the number of values of each latent.
    """

    @checked
    def __init__(self, latent_dim: int, levels: Annotated[int, Ge(3)] = 8) -> None:
        super().__init__(latent_dim)
        self.code_sizes = (levels,) * latent_dim
        self.steps = levels // 2  # from 0 to -1; an even number of levels has one step less above 0
        self.outermost = (levels - 1) * (1 + SPARE) / 2
        self.offset = 0.0 if levels % 2 else 0.5

    def forward(self, encoded: Tensor) -> Code:
        """`encoded` [B, latent_dim]; latents of the same shape in [-1, 1], and indices from 0."""
        bounded = (encoded + atanh(self.offset / self.outermost)).tanh() * self.outermost - self.offset  # appendix A.1
        rounded = bounded.round()
        latents = (bounded + (rounded - bounded).detach()) / self.steps
        return Code(latents, details={"indices": rounded.detach().long() + self.steps})
