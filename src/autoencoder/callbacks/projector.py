"""TensorBoard's projector: the test images as points in the latents, with their labels and thumbnails."""

from math import ceil, sqrt
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.nn.functional import pad

from autoencoder.callbacks.views import View, look_at_test_images
from autoencoder.data.datamodule import ImageDataModule
from autoencoder.models.module import AutoencoderModule

MAX_SIDE = 8192  # pixels of a sprite, TensorBoard's limit
CONFIG = """embeddings {{
  tensor_name: "latents of the test images"
  tensor_path: "projector/latents.tsv"
  metadata_path: "projector/labels.tsv"
  sprite {{
    image_path: "projector/sprite.png"
    single_image_dim: {width}
    single_image_dim: {height}
  }}
}}
"""


class Projector(View):
    """Writes the finished network's latents of the test images for TensorBoard's Projector tab."""

    def looks_after(self, epoch: int) -> bool:
        """Never: the projector shows one state of the network, the last."""
        return False

    def show(self, trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule, epoch: int) -> None:
        look = look_at_test_images(trainer, module, datamodule)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                images, labels = datamodule.images.test_images, datamodule.images.test_labels
                write_projector(Path(logger.log_dir), look.latents, look.errors, images, labels)


def write_projector(folder: Path, latents: Tensor, errors: Tensor, images: Tensor, labels: Tensor) -> None:
    """Writes what the Projector tab reads from a run's `folder`; as many images as fit into a sprite of 8192 px.

    Args:
        latents: [N, K].
        errors: [N], mse.
        images: [N, C, H, W] uint8, C 1 or 3.
        labels: [N].
    """
    from PIL import Image

    height, width = images.shape[2:]
    per_row = min(ceil(sqrt(len(images))), MAX_SIDE // max(height, width))
    count = min(len(images), per_row**2)
    rows = pad(latents[:count], (0, max(0, 3 - latents.shape[1]))).tolist()  # the tab draws no fewer than 3 dimensions
    line = "\t".join(["%.5g"] * len(rows[0])) + "\n"
    (folder / "projector").mkdir(parents=True, exist_ok=True)
    (folder / "projector" / "latents.tsv").write_text("".join(line % tuple(row) for row in rows), encoding="utf-8")
    pairs = zip(labels[:count].tolist(), errors[:count].tolist(), strict=True)
    table = "label\tmse\n" + "".join(f"{label}\t{error:.4f}\n" for label, error in pairs)
    (folder / "projector" / "labels.tsv").write_text(table, encoding="utf-8")
    sprite = thumbnails(images[:count].cpu(), per_row).permute(1, 2, 0).squeeze(-1).numpy()
    Image.fromarray(sprite).save(folder / "projector" / "sprite.png", compress_level=1)
    (folder / "projector_config.pbtxt").write_text(CONFIG.format(width=width, height=height), encoding="utf-8")


def thumbnails(images: Tensor, per_row: int) -> Tensor:
    """One square picture [C, per_row H, per_row W] uint8 of `images` [N, C, H, W] uint8, row by row, then black."""
    square = torch.zeros(per_row**2, *images.shape[1:], dtype=torch.uint8)
    square[: len(images)] = images
    return square.unflatten(0, (per_row, per_row)).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
