"""Numbers of images and their reconstructions, and the names of all that can be measured."""

from typing import Literal

Metric = Literal["mse", "sse", "psnr", "ssim", "per_class", "knn", "probe", "latents"]
