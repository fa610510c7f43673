"""Networks: an encoder from images to numbers and a decoder from latents back to images, one kind per file."""

from autoencoder.models.networks.network import Network as Network
