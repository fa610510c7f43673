"""Curves of the optimisation: learning rate and gradient norm, now and then, under the same tags in every run."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from autoencoder.views import log_scalars


class LearningRate(Callback):
    """Logs the first parameter group's learning rate every `trainer.log_every_n_steps` steps.

    Lightning's own LearningRateMonitor names its curves after the optimiser, so that runs do not share a chart.
    """

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if trainer.global_step % trainer.log_every_n_steps == 0 and trainer.is_global_zero:  # type: ignore[attr-defined]
            log_scalars(trainer, {"optimizer/learning_rate": optimizer.param_groups[0]["lr"]})


class GradientNorm(Callback):
    """Logs the norm of all gradients, before any clipping, every `trainer.log_every_n_steps` steps."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if trainer.global_step % trainer.log_every_n_steps == 0 and trainer.is_global_zero:  # type: ignore[attr-defined]
            gradients: Any = [one.grad for one in pl_module.parameters() if one.grad is not None]
            log_scalars(trainer, {"optimizer/gradient_norm": torch.nn.utils.get_total_norm(gradients).item()})
