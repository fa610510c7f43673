"""Learning-rate schedules, made from an optimiser and the run's number of steps (None for a run without a limit)."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil, isinf
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from autoencoder.errors import InputError
from autoencoder.limits import Share, checked


def steps_of_run(trainer: Trainer) -> int | None:
    """How many steps the optimiser will take in the Trainer's run; None if there is no fixed number."""
    steps = trainer.estimated_stepping_batches
    plans = [
        callback
        for callback in getattr(trainer, "callbacks", [])
        if isinstance(callback, GradientAccumulationScheduler)
    ]
    if isinf(steps) or not trainer.max_epochs or trainer.max_epochs < 0 or not plans:
        return None if isinf(steps) else int(steps)
    # Lightning assumes that every epoch accumulates as many batches as the first.
    epochs = (plans[-1].get_accumulate_grad_batches(epoch) for epoch in range(trainer.max_epochs))
    planned = sum(ceil(trainer.num_training_batches / batches) for batches in epochs)
    return min(planned, trainer.max_steps) if trainer.max_steps > 0 else planned


def keep_settings(trainer: Trainer, settings: Sequence[Mapping[str, Any]]) -> None:
    """Restores the rates and decays of this run's config, which a checkpoint's optimiser state overwrote.

    Args: trainer, of a resumed run; settings, of each of its optimiser's parameter groups.
    """
    schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
    if not schedulers or not isinstance(schedulers[0], LambdaLR):  # others change rates and decays in their own way
        return
    scheduler = schedulers[0]
    scheduler.base_lrs = [own["lr"] for own in settings]
    for group, own, factor in zip(trainer.optimizers[0].param_groups, settings, scheduler.lr_lambdas, strict=True):
        group.update({**own, "initial_lr": own["lr"], "lr": own["lr"] * factor(scheduler.last_epoch)})


def of_run(make: Callable[..., Any]) -> Callable[[Optimizer, int | None], LRScheduler]:
    """Turns `make`, such a function or a torch class, into one that makes a schedule from an optimiser and the steps.

    Raises: InputError, when the returned function is called, if an argument of the torch class is missing.
    """
    kind = getattr(make, "func", make)  # of a functools.partial
    if not (isinstance(kind, type) and issubclass(kind, LRScheduler)):
        return make

    def make_of_class(optimizer: Optimizer, total_steps: int | None) -> LRScheduler:
        try:
            return make(optimizer)
        except TypeError as error:
            raise InputError(f"scheduler={kind.__name__}: {error}; it counts steps, not epochs") from None

    return make_of_class


@checked
def linear(optimizer: Optimizer, total_steps: int | None, warmup: Share = 0.02, floor: Share = 0.0) -> LambdaLR:
    """Linear warm-up, then linear decay to the run's last step.

    Args:
        optimizer: its learning rates are the peak.
        total_steps: of the whole run; None if it has no fixed number.
        warmup: share of the steps during which the rate rises to its peak.
        floor: the final rate, as a share of the peak.
    Raises:
        InputError: if the run has no fixed number of steps.
    """
    if total_steps is None:
        raise InputError(
            "scheduler=linear needs the run's length: set trainer.max_epochs or +trainer.max_steps, "
            "or use scheduler=constant"
        )
    warmup_steps = max(1, round(warmup * total_steps))
    decay_steps = max(1, total_steps - warmup_steps)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return floor + (1 - floor) * max(0.0, (total_steps - step) / decay_steps)

    return LambdaLR(optimizer, factor)


@checked
def constant(optimizer: Optimizer, total_steps: int | None) -> LambdaLR:
    """Keeps the optimiser's learning rates constant."""
    return LambdaLR(optimizer, lambda step: 1.0)
