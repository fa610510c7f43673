"""DivergenceError: training has led to values that are no numbers."""

from lightning.pytorch import Trainer

from autoencoder.errors import InputError


class DivergenceError(InputError):
    """The loss or the weights have become infinite or NaN."""

    def __init__(self, trainer: Trainer) -> None:
        group = trainer.optimizers[0].param_groups[0]
        rate, peak = group["lr"], group.get("initial_lr", group["lr"])
        super().__init__(
            f"training diverged in epoch {trainer.current_epoch + 1}, step {trainer.global_step}, at a learning rate "
            f"of {rate:.3g}, {peak:.3g} at its peak: values are infinite or NaN; lower optimizer.lr and run again"
        )
