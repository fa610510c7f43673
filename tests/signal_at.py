"""A callback that sends its process a signal, for runs in processes of their own; imports nothing of the tests."""

import os
import signal

from lightning.pytorch import Callback


class SignalAt(Callback):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, step: int, name: str = "SIGINT") -> None:
        self.step, self.signal = step, signal.Signals[name]

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.signal)
