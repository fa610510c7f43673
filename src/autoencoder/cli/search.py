"""Searches for the best settings: Optuna chooses those of each trial, a launcher runs it as a job of the sweep."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.plugins.launcher import Launcher

from autoencoder.cli.parallel import KILLED
from autoencoder.cli.search_space import Space
from autoencoder.cli.sweeps import in_folder, write_plan
from autoencoder.errors import InputError
from autoencoder.runs.folder import RunFolder
from autoencoder.runs.jobs import find_jobs
from autoencoder.runs.trials import PRUNED, SearchStudy

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

PRUNING = "+callbacks.pruning._target_=autoencoder.callbacks.pruning.Pruning"
MAX_KILLS = 2  # of a trial's job by someone else, after which it is begun again
MAX_FAILED = 3  # trials that may fail before the first one finishes
WORKER, KILLS, ERROR = "worker", "kills", "error"  # attributes of a trial
LOOK_EVERY = 1.0  # seconds between two looks at the trials of other processes


@dataclass
class Search:
    """The part of a process in a search, whose trials it shares with other processes.

    Attributes:
        folder: of the search.
        worker: the name of this process in it; it locks a file of this name as long as it lives.
        lock: held while trials are begun, so that no two processes begin the same.
        begun: the number of trials that this process has begun.
        errors: those of the trials that failed in this process.
    """

    folder: Path
    study: SearchStudy
    space: Space
    n_trials: int
    seed: int
    prune: bool
    worker: str
    lock: Any
    begun: int = 0
    errors: list[str] = field(default_factory=list)

    def begin(self, slots: int) -> list[int]:
        """Begins up to `slots` trials, those that were killed first; returns their numbers.

        If there are none left, it waits for those of other processes, which may be killed, and for the jobs of a search
        that was killed, which may still be saving their state.
        """
        has_said = False
        while True:
            with self.lock:
                numbers = self._take_lost(slots)
                while len(numbers) < slots and (known := len(self.study.trials())) < self.n_trials:
                    numbers.append(self._ask(known))
                for number in numbers:
                    self.study.note(number, WORKER, self.worker)
                if numbers:
                    plan = {str(trial.number): self.space.overrides(trial.params) for trial in self.study.trials()}
                    write_plan(RunFolder(self.folder), plan)
            self.begun += len(numbers)
            if numbers or not (others := self.in_state("RUNNING")):
                return numbers
            if not has_said:
                names = ", ".join(str(trial.number) for trial in others)
                print(f"waiting for trials of other processes: {names}", flush=True)
            has_said = True
            time.sleep(LOOK_EVERY)

    def job(self, number: int) -> list[str]:
        """The overrides of a trial's job."""
        own = self.space.overrides(self.study.trials()[number].params)
        return [*own, *[PRUNING] * self.prune, in_folder(str(number))]

    def end(self, number: int) -> None:
        """Tells the study how the job of a trial ended; one that was killed is left to be begun again."""
        from optuna.trial import TrialState

        folder = self.folder / str(number)
        job = next(iter(find_jobs(folder)), None) if folder.is_dir() else None
        val_mse = job.metrics.get("val/mse") if job else None
        notes = self.study.trials()[number].user_attrs
        was_killed = job is not None and (job.status == "interrupted" or job.error.startswith(KILLED))
        kills = notes.get(KILLS, 0)
        if job and job.status == "finished" and isinstance(val_mse, float) and isfinite(val_mse):
            if notes.get(PRUNED):
                self.study.optuna.tell(number, state=TrialState.PRUNED)
            else:
                self.study.optuna.tell(number, val_mse)
        elif was_killed and kills < MAX_KILLS:
            self.study.note(number, KILLS, kills + 1)
            self.study.note(number, WORKER, None)
        else:
            self._fail(number, (job and job.error) or "it has no val/mse")

    def check_progress(self) -> None:
        """Raises: InputError if only failed trials have come of the search so far."""
        if len(self.errors) >= min(MAX_FAILED, self.n_trials) and not self.in_state("COMPLETE", "PRUNED"):
            raise InputError(
                f"the first {len(self.errors)} trials of the search failed, the last one: {self.errors[-1]}"
            )

    def in_state(self, *states: str) -> list["FrozenTrial"]:
        """The trials in one of these states of Optuna's: RUNNING, COMPLETE, PRUNED, FAIL."""
        return [trial for trial in self.study.trials() if trial.state.name in states]

    def _take_lost(self, slots: int) -> list[int]:
        """Up to `slots` trials whose process has ended before they did."""
        lost = []
        for trial in self.in_state("RUNNING"):
            if self._is_alive(trial.user_attrs.get(WORKER)) or RunFolder(self.folder / str(trial.number)).is_held():
                continue
            if trial.params.keys() == self.space.ranges.keys():
                lost.append(trial.number)
            else:
                self._fail(trial.number, "the search was killed while it chose the settings")
        return lost[:slots]

    def _is_alive(self, worker: str | None) -> bool:
        """Whether the process of this name still works on the search; removes what is left of one that was killed."""
        from filelock import FileLock, Timeout

        path = lock_file(self.folder, worker) if worker else None
        if path is None or not path.is_file():
            return False
        try:
            with FileLock(path, blocking=False):
                path.unlink(missing_ok=True)
                return False
        except Timeout:
            return True

    def _ask(self, number: int) -> int:
        """Lets Optuna choose the settings of a trial; each has a seed of its own, so that stops change nothing."""
        from optuna.samplers import TPESampler

        self.study.optuna.sampler = TPESampler(seed=(self.seed * 1_000_003 + number) % 2**32)
        return self.study.optuna.ask(dict(self.space.ranges)).number

    def _fail(self, number: int, error: str) -> None:
        from optuna.trial import TrialState

        self.errors.append(error)
        self.study.note(number, ERROR, error)
        self.study.optuna.tell(number, state=TrialState.FAIL)


def run_trials(search: Search, launcher: Launcher) -> None:
    """Runs trials, as many at once as the launcher does, until there are as many as the search should have.

    Raises: InputError if the first trials fail.
    """
    count: Callable[[list[str]], int] | None = getattr(launcher, "count_slots", None)
    slots = count(search.space.examples()[0]) if count else 1
    while numbers := search.begin(slots):
        launcher.launch([search.job(number) for number in numbers], initial_job_idx=numbers[0])
        for number in numbers:
            search.end(number)
        search.check_progress()


def lock_file(folder: Path, name: str) -> Path:
    """The file that a process locks, of its own or while it begins trials."""
    return folder / f".{name}.lock"
