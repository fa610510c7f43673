"""Pixels reach the model's range as torchvision would take them there, and come back."""

import torch
from torchvision.transforms import Compose, Normalize, ToTensor

from autoencoder.data.pixels import denormalize, normalize

ALL_PIXELS = torch.arange(256, dtype=torch.uint8)


def test_normalize_is_torchvisions_to_tensor_and_normalize():
    image = ALL_PIXELS.reshape(16, 16)
    expected = Compose([ToTensor(), Normalize(0.5, 0.5)])(image.numpy())
    torch.testing.assert_close(normalize(image)[None], expected)
    assert normalize(ALL_PIXELS).min() == -1 and normalize(ALL_PIXELS).max() == 1


def test_denormalize_is_the_inverse_and_clips():
    assert torch.equal(denormalize(normalize(ALL_PIXELS)), ALL_PIXELS)
    assert denormalize(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]
