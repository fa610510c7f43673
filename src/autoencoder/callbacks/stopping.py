"""Handles Ctrl-C, SIGTERM, SIGHUP and SIGUSR1: training stops between two steps, so that nothing is lost."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from types import FrameType

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)  # the last by `sbatch --signal=USR1@60`
REQUEUE = signal.SIGUSR2  # before a SLURM job's time-out or preemption; submitit's handler puts it into the queue again
GRACE_SECONDS = 600.0  # at most, from SIGTERM to REQUEUE or SIGKILL: a job that ends in this time is not put back
ECHO_SECONDS = 1.0  # a second SIGINT within this time is a copy of the first, as torchrun sends
ASK_EVERY = 10  # steps between two checks whether another process was told to stop


class Stopped(BaseException):
    """The run was told to stop by the signal `signum`; no `Exception`, so that no `except Exception` catches it."""

    def __init__(self, signum: int, between_steps: bool = False) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum
        self.between_steps = between_steps  # where a checkpoint can be taken

    @property
    def exit_code(self) -> int:
        """The shell's convention: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP, 138 for SIGUSR1."""
        return 128 + self.signum


class StopBetweenSteps(Callback):
    """Raises `Stopped` after a step if a signal has arrived since training began.

    During training a signal is only noted, but a second Ctrl-C stops at once. Before and after training, a signal
    raises `Stopped` immediately. A stop waits for the end of an optimiser step (`accumulate_grad_batches`), a
    validation or an epoch, since Lightning cannot resume within these. All processes stop after the same step.

    If someone else handles REQUEUE, as submitit does in a SLURM job, that signal stops the run in the same way, and is
    then passed on. After SIGTERM the process then stays until SLURM sends REQUEUE or kills it: SLURM sends SIGTERM at
    the start of a preempted job's grace time, and would take an exit in that time for the end of the job.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.is_requeued = False
        self.is_training = False
        self._first_at = 0.0  # time of the first signal, seconds

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Handles the signals within this context; outside the main thread it does nothing."""
        before = {}
        requeue = signal.getsignal(REQUEUE)
        try:
            for signum in (*SIGNALS, REQUEUE) if callable(requeue) else SIGNALS:
                before[signum] = signal.signal(signum, self._note)
        except ValueError:  # not the main thread
            before = {}
        try:
            yield
        except SystemExit:
            if callable(requeue) and self.signum in (signal.SIGTERM, REQUEUE):
                deadline = time.monotonic() + GRACE_SECONDS
                while not self.is_requeued and time.monotonic() < deadline:  # or until SLURM kills this process
                    time.sleep(0.1)
                if self.is_requeued:
                    requeue(REQUEUE, None)  # ends the process
            raise
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.is_requeued |= signum == REQUEUE
        if self.signum is None:
            self.signum, self._first_at = signum, time.monotonic()
            if not self.is_training:
                raise Stopped(signum)
        elif signum == signal.SIGINT and time.monotonic() - self._first_at > ECHO_SECONDS:
            raise Stopped(signum)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replaces Lightning's SIGTERM handler, which can wait for other processes forever."""
        self.is_training = True
        if signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGTERM, self._note)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises: Stopped."""
        self._stop_if_told(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Raises: Stopped."""
        asks = self.signum is not None if trainer.world_size == 1 else (batch_idx + 1) % ASK_EVERY == 0
        if asks and is_between_steps(trainer, batch_idx):
            self._stop_if_told(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises: Stopped, for a signal that arrived in the run's last steps."""
        self.is_training = False
        self._stop_if_told(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.is_training = False

    def _stop_if_told(self, trainer: Trainer) -> None:
        signum = self.signum or 0
        if trainer.world_size > 1:
            told = torch.tensor(signum, device=trainer.strategy.root_device)
            signum = int(trainer.strategy.reduce(told, reduce_op="max"))
        if signum:
            raise Stopped(signum, between_steps=True)


def is_between_steps(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a run can resume from a checkpoint taken after this batch: no gradients or validation are pending."""
    index = trainer.fit_loop.total_batch_idx if trainer.check_val_every_n_epoch is None else batch_idx
    validates = (index + 1) % (trainer.val_check_batch or inf) == 0
    accumulates = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
    is_over = trainer.is_last_batch or trainer.should_stop or trainer.global_step == trainer.max_steps
    return not (validates or accumulates or is_over)
