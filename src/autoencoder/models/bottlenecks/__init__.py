"""Bottlenecks: from the encoder's output to the latents that the decoder gets, one kind per file."""

from autoencoder.models.bottlenecks.bottleneck import Bottleneck as Bottleneck
from autoencoder.models.bottlenecks.bottleneck import Code as Code
