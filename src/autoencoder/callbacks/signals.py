"""Curves of the optimisation: learning rate and gradient norm, now and then, under the same tags in every run."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from autoencoder.callbacks.step_hooks import idle_in_steps
from autoencoder.callbacks.views import log_scalars
from autoencoder.limits import Count, checked


@idle_in_steps
class Signal(Callback):
    """Logs a number just before every `every_n_steps`th step of the optimiser.

    Args: every_n_steps; each look costs as much as a tenth of a step.
    """

    @checked
    def __init__(self, every_n_steps: Count = 50) -> None:
        super().__init__()
        self.every_n_steps = every_n_steps

    def measure(self, module: LightningModule, optimizer: Optimizer) -> dict[str, float]:
        """The number by its tag."""
        raise NotImplementedError

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if trainer.global_step % self.every_n_steps == 0 and trainer.is_global_zero and trainer.loggers:
            log_scalars(trainer, self.measure(pl_module, optimizer))


class LearningRate(Signal):
    """Logs the learning rate of the optimiser's first group of parameters.

    Lightning's own LearningRateMonitor names its curves after the optimiser, so that runs would not share a chart.
    """

    def measure(self, module: LightningModule, optimizer: Optimizer) -> dict[str, float]:
        return {"optimizer/learning_rate": optimizer.param_groups[0]["lr"]}


class GradientNorm(Signal):
    """Logs the norm of all gradients, before any clipping."""

    def measure(self, module: LightningModule, optimizer: Optimizer) -> dict[str, float]:
        gradients: Any = [one.grad for one in module.parameters() if one.grad is not None]
        return {"optimizer/gradient_norm": torch.nn.utils.get_total_norm(gradients).item()}
