"""Converts the pixels of an image file, 0 to 255, to the model's range, [-1, 1], and says how many fit in a batch."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

EVAL_BATCH_SIZE = 1_000
EVAL_VALUES = 16_777_216  # in a batch at most: 64 MB as float32


def eval_batch_size(image_shape: Sequence[int]) -> int:
    """The images in a batch for evaluation: 1,000, or fewer if they are larger than 128 x 128 pixels."""
    return max(1, min(EVAL_BATCH_SIZE, EVAL_VALUES // prod(image_shape)))


def normalize(pixels: Tensor) -> Tensor:
    """Pixels 0..255 (uint8, any shape) as float32 in [-1, 1].

    The same as torchvision's ToTensor followed by Normalize(0.5, 0.5): (x / 255 - 0.5) / 0.5.
    """
    return pixels.to(torch.float32).div_(127.5).sub_(1.0)
