"""Bottleneck, the base of all bottlenecks, and Code, what they give."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn

from autoencoder.errors import InputError

NONE: Mapping[str, Tensor] = MappingProxyType({})


class Code(NamedTuple):
    """What a bottleneck makes of a batch.

    Attributes:
        latents: [B, latent_dim], for the decoder.
        penalties: terms of the loss by name: weighted scalars in the loss's unit, logged as `train/NAME`.
        details: what metrics are computed from, one row per image, by name: `kl` [B, latent_dim] in nats and `samples`
            [B, latent_dim] of the posterior; `active` [B, latent_dim], whether a latent is used; `indices` [B, G], the
            codes of a quantiser, whose numbers of values are the bottleneck's `code_sizes`.
    """

    latents: Tensor
    penalties: Mapping[str, Tensor] = NONE
    details: Mapping[str, Tensor] = NONE


class Bottleneck(nn.Module):
    """Turns the encoder's output [B, encoded_dim] into a `Code`; subclasses define `forward`.

    It samples in training and takes the mode in evaluation. The module calls `NAME(latent_dim, …)` with the
    bottleneck's own settings, then sets `loss_per_nat`.

    Args: latent_dim, width of the latents.
    Attributes:
        encoded_dim: width of the encoder's output; `latent_dim` unless a subclass sets another.
        loss_per_nat: what one nat per image counts in the loss, which is a mean over pixels; see `Loss`.
        warmup: share of a run over which penalties grow from 0.
        progress: share of the run that is done, in [0, 1]; the module sets it in each step if there is a `warmup`.
        code_sizes: a quantiser's number of values of each index; empty for others.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoded_dim = latent_dim
        self.loss_per_nat = 1.0
        self.warmup = 0.0
        self.progress = 1.0
        self.code_sizes: tuple[int, ...] = ()

    def sample(self, count: int) -> Tensor:
        """Latents [count, latent_dim] drawn from the prior.

        Raises: InputError if there is no prior.
        """
        raise InputError(f"the bottleneck {type(self).__name__} has no prior to sample from")

    def make_traceable(self) -> None:
        """Replaces what torch.export cannot trace by layers that compute the same in evaluation mode."""
