"""OptimizerMonitor: logs learning rate and gradient norm every few steps, under the same tags in every run."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from autoencoder.limits import Count, checked


class OptimizerMonitor(Callback):
    """Logs the learning rate of the first parameter group, and the norm of all gradients before clipping.

    Lightning's LearningRateMonitor names its curves after the optimiser, so that runs would not share a chart.

    Args: every_n_steps, between two measurements; each costs a fifth of a step.
    """

    @checked
    def __init__(self, every_n_steps: Count = 50) -> None:
        self.every_n_steps = every_n_steps

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if trainer.global_step % self.every_n_steps or not trainer.is_global_zero or not trainer.loggers:
            return
        gradients: Any = [one.grad for one in pl_module.parameters() if one.grad is not None]
        measured = {
            "optimizer/learning_rate": optimizer.param_groups[0]["lr"],
            "optimizer/gradient_norm": get_total_norm(gradients).item(),
        }
        for logger in trainer.loggers:
            logger.log_metrics(measured, trainer.global_step)
