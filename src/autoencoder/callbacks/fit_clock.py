"""Measures the wall time of a run's training, over all sessions of a resumed run."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class FitClock(Callback):
    """Measures the time of the training loop, including validation, and keeps it in the checkpoint.

    Lightning's Timer cannot be used: `trainer.max_time` adds one, and a Trainer accepts only one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._earlier = 0.0  # seconds before the last start
        self._start: float | None = None  # None while stopped

    @property
    def seconds(self) -> float:
        """How long training took, or has taken so far."""
        return self._earlier + (0.0 if self._start is None else time.monotonic() - self._start)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        self._earlier, self._start = self.seconds, None

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._earlier = state_dict["seconds"]
