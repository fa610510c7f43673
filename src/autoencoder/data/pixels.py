"""Converts the pixels of an image file, 0 to 255, to the model's range, [-1, 1]."""

import torch
from torch import Tensor


def normalize(pixels: Tensor) -> Tensor:
    """Pixels 0..255 (uint8, any shape) as float32 in [-1, 1].

    The same as torchvision's ToTensor followed by Normalize(0.5, 0.5): (x / 255 - 0.5) / 0.5.
    """
    return pixels.to(torch.float32).div_(127.5).sub_(1.0)
