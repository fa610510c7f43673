"""Progress: a progress bar in a terminal, and a line of errors after each epoch everywhere."""

import logging
import sys
from math import isfinite
from typing import TextIO

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from autoencoder.data.base import DataModule
from autoencoder.models.module import AutoencoderModule

log = logging.getLogger(__name__)

ERRORS = ("train/mse", "val/mse")
STEPS_A_MOVE = 10  # batches between two updates of the bar: updating it in every step would slow short steps down
DRAWN_A_SECOND = 4  # rich's default of ten takes about 3 % of the training's time


class Progress(Callback):
    """Shows a bar for the whole run if the output is a terminal, and logs a line with the errors after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Bar | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not (trainer.is_global_zero and sys.stdout and sys.stdout.isatty()):
            return
        datamodule = getattr(trainer, "datamodule", None)
        batch_size = datamodule.batch_size * trainer.world_size if isinstance(datamodule, DataModule) else None
        self._bar = make_bar(Console(), batch_size)
        self._bar.add_task(
            _epoch_of(trainer, trainer.current_epoch + 1),
            total=_batches_of_run(trainer),
            completed=trainer.fit_loop.epoch_loop.total_batch_idx + 1,
            errors="",
        )
        terminal = sys.stdout
        self._bar.start()
        _send_log_lines(terminal, sys.stdout)  # the bar has replaced sys.stdout, to draw itself below the lines

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar:
            self._bar.update(self._bar.task_ids[0], description=_epoch_of(trainer, trainer.current_epoch + 1))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        if self._bar and trainer.fit_loop.epoch_loop.total_batch_idx % STEPS_A_MOVE == 0:
            self._bar.update(self._bar.task_ids[0], completed=trainer.fit_loop.epoch_loop.total_batch_idx + 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        measured = pl_module.epoch_errors() if isinstance(pl_module, AutoencoderModule) else {}  # in all processes
        if not trainer.is_global_zero:
            return
        errors = {name: f"{measured[name]:.4f}" for name in ERRORS if name in measured}
        if self._bar:
            short = " ".join(f"{name.partition('/')[0]} {error}" for name, error in errors.items())
            completed = trainer.fit_loop.epoch_loop.total_batch_idx + 1
            self._bar.update(self._bar.task_ids[0], completed=completed, errors=short)
        epoch = _epoch_of(trainer, trainer.current_epoch + 1)
        log.info("  ".join([epoch, *(f"{name} {error}" for name, error in errors.items())]))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar:
            above_bar = sys.stdout
            self._bar.stop()
            _send_log_lines(above_bar, sys.stdout)
            self._bar = None


class Speed(ProgressColumn):
    """Recent images per second; batches per second if `batch_size` is None."""

    def __init__(self, batch_size: int | None) -> None:
        super().__init__(Column(no_wrap=True))
        self.batch_size = batch_size

    def render(self, task: Task) -> Text:
        unit = "images/s" if self.batch_size else "batches/s"
        speed = f"{task.speed * (self.batch_size or 1):,.0f}" if task.speed else "–"
        return Text(f"{speed:>7} {unit}", style="cyan")


class TimeLeft(ProgressColumn):
    """The time until the run's last batch, as 0:09 or 1:02:03."""

    def render(self, task: Task) -> Text:
        seconds = task.time_remaining
        if seconds is None:
            return Text("–:–– left")
        minutes, seconds = divmod(int(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{hours}:{minutes:02d}:{seconds:02d} left" if hours else f"{minutes}:{seconds:02d} left")


def make_bar(console: Console, batch_size: int | None) -> Bar:
    """The progress bar, on `console`: epoch, bar, percentage, speed, time left and last errors; removed at the end.

    Its tasks count batches and have a field `errors`, a short text. Nothing wraps at 80 columns.
    """
    return Bar(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None),  # fills the rest of the line
        TextColumn("{task.percentage:>3.0f}%", table_column=Column(no_wrap=True)),
        Speed(batch_size),
        TimeLeft(Column(no_wrap=True)),
        TextColumn("{task.fields[errors]}", style="green", table_column=Column(no_wrap=True)),
        console=console,
        transient=True,
        refresh_per_second=DRAWN_A_SECOND,
    )


def _epoch_of(trainer: Trainer, epoch: int) -> str:
    """`epoch  3/10`, or `epoch 3` if max_epochs is not set."""
    last = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
    return f"epoch {epoch:>{len(str(last))}}/{last}" if last else f"epoch {epoch}"


def _batches_of_run(trainer: Trainer) -> float | None:
    """The number of batches in the whole run, None if it has no limit."""
    epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else float("inf")
    steps = trainer.max_steps * trainer.accumulate_grad_batches if trainer.max_steps > 0 else float("inf")
    batches = min(epochs * trainer.num_training_batches, steps)
    return batches if isfinite(batches) else None


def _send_log_lines(before: TextIO, after: TextIO) -> None:
    """Redirects log handlers from the stream `before` to `after`."""
    for handler in logging.root.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(after)
