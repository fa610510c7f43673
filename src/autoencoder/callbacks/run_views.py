"""Views of what is run: the network's graph, and the config as text."""

import warnings
from copy import deepcopy
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger

from autoencoder.callbacks.step_hooks import idle_in_steps
from autoencoder.models.module import AutoencoderModule
from autoencoder.runs.left_out import left_out_if_it_fails


@idle_in_steps
class NetworkGraph(Callback):
    """Shows the network's graph in TensorBoard, traced on a copy before training."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if loggers and trainer.is_global_zero and isinstance(pl_module, AutoencoderModule):
            with left_out_if_it_fails("the network's graph"), warnings.catch_warnings():
                # TensorBoard's graphs have no source but torch.jit.trace
                warnings.filterwarnings("ignore", r"`torch\.jit\.trace", category=FutureWarning)
                network = deepcopy(pl_module.network).cpu().float().eval()
                for logger in loggers:
                    logger.experiment.add_graph(network, torch.zeros(1, *pl_module.image_shape))


@idle_in_steps
class ConfigText(Callback):
    """Shows the run's config as text.

    Args: path, the YAML file; nothing is shown if there is none.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not (trainer.is_global_zero and self.path.is_file()):
            return
        with left_out_if_it_fails("the config as text"):
            text = self.path.read_text(encoding="utf-8")
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_text("config", f"```yaml\n{text}\n```")
                elif isinstance(logger, MLFlowLogger) and logger.run_id:
                    logger.experiment.log_text(logger.run_id, text, "config.yaml")
