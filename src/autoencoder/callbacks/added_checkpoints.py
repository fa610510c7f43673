"""Keeps checkpoint callbacks that are added to a run away from its own files: best.ckpt, last.ckpt, previous.ckpt."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from autoencoder.errors import InputError
from autoencoder.paths import shown
from autoencoder.runs.folder import RunFolder


def check_added_checkpoints(callbacks: Mapping[str, Callback], trainer: Trainer, folder: RunFolder) -> None:
    """Checks that no `ModelCheckpoint` would write the checkpoints that the run writes itself.

    It would write them between validations, with weights that were not measured, that may be NaN, or without the
    optimiser's state. Lightning avoids a file that exists, but not one that it was the first to write.

    Args: callbacks, by their names in the config; folder, of the run.
    Raises: InputError for the first that would.
    """
    for name, callback in callbacks.items():
        for setting, path in _files_of(callback, trainer):
            if path.resolve() in (own.resolve() for own in (folder.best, folder.last, folder.previous)):
                raise InputError(
                    f"callbacks.{name}.{setting} would overwrite {shown(path)}, which the run writes itself: "
                    f"{'leave it out' if setting == 'save_last' else 'set another filename'}, or set another dirpath"
                )


def _files_of(callback: Callback, trainer: Trainer) -> Iterator[tuple[str, Path]]:
    """The files with a fixed name that a callback writes, each with the setting that names it."""
    if not isinstance(callback, ModelCheckpoint):
        return
    if callback.dirpath is None and trainer.loggers:  # it then writes into a logger's folder
        return
    folder = callback.dirpath or Path(trainer.default_root_dir, "checkpoints")
    if callback.filename:
        yield "filename", Path(folder, callback.filename + callback.FILE_EXTENSION)
    if callback.save_last:
        yield "save_last", Path(folder, callback.CHECKPOINT_NAME_LAST + callback.FILE_EXTENSION)
