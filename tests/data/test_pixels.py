"""Pixels reach the model's range as torchvision would take them there, and come back for a picture."""

import torch
from torchvision.transforms import Compose, Normalize, ToTensor

from autoencoder.data.pixels import normalize
from autoencoder.pictures.panels import to_pixels

ALL_PIXELS = torch.arange(256, dtype=torch.uint8)


def test_normalize_is_torchvisions_to_tensor_and_normalize():
    image = ALL_PIXELS.reshape(16, 16)
    expected = Compose([ToTensor(), Normalize(0.5, 0.5)])(image.numpy())
    torch.testing.assert_close(normalize(image)[None], expected)
    assert normalize(ALL_PIXELS).min() == -1 and normalize(ALL_PIXELS).max() == 1


def test_to_pixels_is_the_inverse_and_clips():
    assert torch.equal(to_pixels(normalize(ALL_PIXELS)), ALL_PIXELS)
    assert to_pixels(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]
