"""Pruning: stops a trial of a search whose validation error is hopeless."""

from math import isfinite
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from autoencoder.models.module import AutoencoderModule
from autoencoder.runs.trials import JOURNAL, PRUNED, SearchStudy


class Pruning(Callback):
    """Reports `val/mse` to the search's study after each epoch, and stops the run if it is worse than the median.

    Trial N is the run in the folder SEARCH/N, which is the trainer's `default_root_dir`. The callback does nothing in a
    run whose trial has ended, such as the best one resumed for more epochs, or that is not in the folder of a search.
    """

    def __init__(self) -> None:
        self.reason: str | None = None  # why it stopped the run
        self._study: SearchStudy | None = None
        self._number = -1

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = Path(trainer.default_root_dir)
        if not trainer.is_global_zero or not (folder.parent / JOURNAL).is_file() or not folder.name.isdecimal():
            return
        study, number = SearchStudy(folder.parent), int(folder.name)
        if not all(trial.state.is_finished() for trial in study.trials()[number : number + 1]):
            study.note(number, PRUNED, None)  # set by a run that was killed before it had finished
            self._study, self._number = study, number

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        errors = pl_module.epoch_errors() if isinstance(pl_module, AutoencoderModule) else {}
        epoch, val_mse = trainer.current_epoch + 1, errors.get("val/mse")
        is_hopeless = False
        if self._study is not None and val_mse is not None and isfinite(val_mse):
            self._study.report(self._number, epoch, float(val_mse))
            is_last = epoch == trainer.max_epochs or trainer.should_stop
            can_stop = not is_last and epoch >= (trainer.min_epochs or 0)
            is_hopeless = can_stop and self._study.is_hopeless(self._number)
            if is_hopeless:
                self._study.note(self._number, PRUNED, epoch)
        if trainer.strategy.broadcast(is_hopeless):
            self.reason = f"pruned: after epoch {epoch}, val/mse was above the median of the search's trials"
            trainer.should_stop = True
