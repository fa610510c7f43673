"""Reports a fit that ended early, in the console and in metrics.json."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer

from autoencoder.callbacks.pruning import Pruning
from autoencoder.callbacks.stopping import Stopped
from autoencoder.data.base import DataModule
from autoencoder.errors import InputError
from autoencoder.models.divergence import DivergenceError
from autoencoder.paths import assignment, shown
from autoencoder.runs.folder import RunFolder, write_metrics

log = logging.getLogger(__name__)


@contextmanager
def noted_if_it_ends_early(folder: RunFolder, trainer: Trainer, datamodule: DataModule, seed: int) -> Iterator[None]:
    """Wraps a fit and what follows: if it is stopped or diverges, metrics.json and the log say where.

    Raises:
        SystemExit: after a stop, with the signal's exit code; with 0 in all processes but the first, since Lightning
            kills the first if another one ends with an error.
        InputError: after a fit that diverged; names the last good checkpoint.
    """
    try:
        yield
    except (Stopped, DivergenceError) as end:
        if not trainer.is_global_zero:
            raise SystemExit(0) from None
        known = {name: trainer.callback_metrics.get(name) for name in ("train/mse", "val/mse")}
        metrics = {
            "status": "interrupted",
            "dataset": datamodule.images.name,
            "seed": seed,
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
        } | {name: value.item() for name, value in known.items() if value is not None}
        if folder.last.is_file():
            write_metrics(metrics, folder.metrics)
        if isinstance(end, DivergenceError):
            kept = f"; the last good state is in {folder.last}" if folder.last.is_file() else ""
            raise InputError(f"{end}{kept}") from None
        log.info("%s", _say_where_it_stopped(folder, trainer))
        raise SystemExit(end.exit_code) from None


def _say_where_it_stopped(folder: RunFolder, trainer: Trainer) -> str:
    last = trainer.max_epochs
    if not folder.last.is_file():
        return "stopped before the first checkpoint: there is nothing to resume"
    if last is not None and 0 <= last <= trainer.current_epoch:
        where = "stopped after its last epoch, before it was measured"
    else:
        where = f"stopped in epoch {trainer.current_epoch + 1}" + (f" of {last}" if last and last > 0 else "")
    return f"{where}; resume with: python src/train.py {assignment('resume', shown(folder.path))}"


def why_it_ended(trainer: Trainer) -> str | None:
    """Names and logs what ended a fit before its last epoch, and why; None if nothing did."""
    reasons = []
    if trainer.should_stop:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it elsewhere
            if isinstance(callback, EarlyStopping) and callback.stopping_reason_message:
                reasons.append(f"EarlyStopping: {callback.stopping_reason_message}")
            elif isinstance(callback, Timer):
                left = callback.time_remaining()
                reasons += ["time limit reached"] if left is not None and left <= 0 else []
            elif isinstance(callback, Pruning) and callback.reason:
                reasons.append(callback.reason)
        reasons = reasons or ["a callback stopped it"]
        log.info("ended in epoch %d: %s", trainer.current_epoch, "; ".join(reasons))
    if trainer.global_step == 0:
        log.warning("no step was trained: the metrics are of the initial weights")
        reasons.append("no step was trained")
    return "; ".join(reasons) or None
