"""RunDescription: logs the network's graph, the config and TensorBoard's projector, each once per run."""

import warnings
from copy import deepcopy
from math import ceil, prod, sqrt
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger
from torch import Tensor
from torch.nn.functional import pad

from autoencoder.callbacks.views import outputs_of
from autoencoder.models.module import AutoencoderModule
from autoencoder.models.reconstructor import Reconstructor
from autoencoder.runs.folder import write_whole, written_whole
from autoencoder.runs.left_out import left_out_if_it_fails

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


class RunDescription(Callback):
    """Describes the run in its loggers: the graph and the config before training, the projector after it.

    Args:
        config: a YAML file to show as text; skipped if it is None or does not exist.
        graph: show the network's graph, traced on a copy, in TensorBoard.
        projector: show the trained network's latents of the test images in TensorBoard's Projector tab.
    """

    def __init__(self, config: str | None = None, graph: bool = True, projector: bool = True) -> None:
        self.config = Path(config) if config else None
        self.graph = graph
        self.projector = projector

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        if self.graph and isinstance(pl_module, AutoencoderModule):
            with left_out_if_it_fails("the network's graph"):
                show_graph(trainer, pl_module)
        if self.config and self.config.is_file():
            with left_out_if_it_fails("the config as text"):
                show_config(trainer, self.config.read_text(encoding="utf-8"))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        outputs = outputs_of(trainer, pl_module) if self.projector else None
        folders = [Path(logger.log_dir) for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if outputs is None or not folders:
            return
        with left_out_if_it_fails("the projector"):
            images = outputs.split.raw(slice(MAX_SIDE**2 // prod(outputs.images.image_shape[1:])))  # no more would fit
            labels = outputs.labels if outputs.images.labelled else None
            for folder in folders:
                write_projector(folder, outputs.latents, outputs.errors, images, labels)


def show_graph(trainer: Trainer, module: AutoencoderModule) -> None:
    """Shows the graph of the module's network, from images to reconstructions, in TensorBoard."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    if not loggers:
        return
    network = deepcopy(Reconstructor(module.network, module.bottleneck)).cpu().float().eval()
    with warnings.catch_warnings():
        # torch.jit.trace is TensorBoard's only way to draw a graph
        warnings.filterwarnings("ignore", r"`torch\.jit\.trace", category=FutureWarning)
        for logger in loggers:
            logger.experiment.add_graph(network, torch.zeros(1, *module.image_shape))


def show_config(trainer: Trainer, text: str) -> None:
    """Shows a YAML file's `text` in the loggers that support text."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text("config", f"```yaml\n{text}\n```")
        elif isinstance(logger, MLFlowLogger) and logger.run_id:
            logger.experiment.log_text(logger.run_id, text, "config.yaml")


def write_projector(folder: Path, latents: Tensor, errors: Tensor, images: Tensor, labels: Tensor | None) -> None:
    """Writes the Projector tab's files into a run's `folder`, for as many images as fit into a sprite of 8192 pixels.

    Args:
        latents: [N, K].
        errors: [N], mse.
        images: [N, C, H, W] uint8, C 1 or 3; those that do not fit may be missing.
        labels: [N]; None to number the images instead.
    """
    from PIL import Image

    height, width = images.shape[2:]
    per_row = min(ceil(sqrt(len(images))), MAX_SIDE // max(height, width))
    count = min(len(images), per_row**2)
    rows = pad(latents[:count], (0, max(0, 3 - latents.shape[1]))).tolist()  # the tab needs at least 3 dimensions
    line = "\t".join(["%.5g"] * len(rows[0])) + "\n"
    (folder / "projector").mkdir(parents=True, exist_ok=True)
    write_whole(folder / "projector" / "latents.tsv", "".join(line % tuple(row) for row in rows))
    named = torch.arange(count) if labels is None else labels[:count]  # the tab wants no header above one column alone
    pairs = zip(named.tolist(), errors[:count].tolist(), strict=True)
    heading = "image" if labels is None else "label"
    table = f"{heading}\tmse\n" + "".join(f"{name}\t{error:.4f}\n" for name, error in pairs)
    write_whole(folder / "projector" / "labels.tsv", table)
    sprite = thumbnails(images[:count].cpu(), per_row).permute(1, 2, 0).squeeze(-1).numpy()
    with written_whole(folder / "projector" / "sprite.png") as scratch:
        Image.fromarray(sprite).save(scratch, format="PNG", compress_level=1)
    write_whole(folder / "projector_config.pbtxt", CONFIG.format(width=width, height=height))


def thumbnails(images: Tensor, per_row: int) -> Tensor:
    """Tiles `images` [N, C, H, W] uint8 row by row into a square image [C, per_row H, per_row W] uint8, then black."""
    square = torch.zeros(per_row**2, *images.shape[1:], dtype=torch.uint8)
    square[: len(images)] = images
    return square.unflatten(0, (per_row, per_row)).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
