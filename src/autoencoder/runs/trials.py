"""The study of a search: a journal file in its folder, which the search and its jobs read and write at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

JOURNAL = "study.journal"  # in the search's folder
NAME = "search"
PRUNED = "pruned_after_epoch"  # a trial's attribute: the epoch after which its job was stopped, None if it was not
FEWEST_TRIALS = 5  # that have finished before a trial is compared with them
FIRST_EPOCH = 2  # after which a trial can be pruned


class SearchStudy:
    """The trials of a search: the settings of each, its validation error after each epoch, and how it ended.

    Trial N is the job in the folder N. The study is created if there is none.

    Args: folder, of the search.
    """

    def __init__(self, folder: Path) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces each trial
        self.storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
        pruner = optuna.pruners.MedianPruner(n_startup_trials=FEWEST_TRIALS, n_warmup_steps=FIRST_EPOCH)
        self.optuna = optuna.create_study(
            study_name=NAME, storage=self.storage, direction="minimize", pruner=pruner, load_if_exists=True
        )

    def trials(self) -> list["FrozenTrial"]:
        """All trials, as they are now, in the order of their numbers."""
        return self.optuna.get_trials(deepcopy=False)

    def note(self, number: int, key: str, value: Any) -> None:
        """Sets an attribute of a trial that is running."""
        self.storage.set_trial_user_attr(self._id(number), key, value)

    def report(self, number: int, epoch: int, val_mse: float) -> None:
        """Records the validation error of a running trial after an epoch, again if the trial was killed since."""
        self.storage.set_trial_intermediate_value(self._id(number), epoch, val_mse)

    def is_hopeless(self, number: int) -> bool:
        """Whether a trial's lowest error so far is above the median of the finished trials after as many epochs."""
        return self.optuna.pruner.prune(self.optuna, self.trials()[number])

    def _id(self, number: int) -> int:
        study = self.storage.get_study_id_from_name(NAME)
        return self.storage.get_trial_id_from_study_id_trial_number(study, number)
