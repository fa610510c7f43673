"""Checkpoints: plain data that a run leaves behind, and what has to hold before one is used."""

import pickle
import shutil
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

import autoencoder
from autoencoder.datamodule import ImageDataModule
from autoencoder.errors import InputError
from autoencoder.module import AutoencoderModule
from autoencoder.step_hooks import idle_in_steps


@idle_in_steps
class BestAndLast(ModelCheckpoint):
    """Keeps `best.ckpt` by validation error, and `last.ckpt`, also of a run that fails or is stopped.

    Without validation images the last epoch counts as the best.

    Args: dirpath, the folder.
    """

    on_train_batch_end = None  # type: ignore[assignment]  # it saves after epochs, never after steps

    def __init__(self, dirpath: str) -> None:
        super().__init__(
            dirpath,
            filename="best",
            monitor="val/mse",
            mode="min",
            save_last=True,
            enable_version_counter=False,
        )
        self._has_begun = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        datamodule = getattr(trainer, "datamodule", None)
        has_none = isinstance(datamodule, ImageDataModule) and datamodule.val_size == 0
        if has_none or trainer.limit_val_batches == 0:
            self.monitor = None
        super().setup(trainer, pl_module, stage)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._has_begun = True

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Saves `last.ckpt`; Lightning's own `save_on_exception` would write the same state over `best.ckpt`."""
        if self._has_begun and self.dirpath:
            trainer.save_checkpoint(Path(self.dirpath, "last.ckpt"))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over the best checkpoint of the run that this one goes on from; in a new folder, as a copy."""
        best = Path(state_dict["best_model_path"])
        if state_dict["dirpath"] != self.dirpath and best.is_file() and self.dirpath:
            copy = Path(self.dirpath, best.name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(best, copy)
            state_dict = state_dict | {
                "dirpath": self.dirpath,
                "best_model_path": str(copy),
                "best_k_models": {str(copy): state_dict["best_model_score"]} if self.monitor else {},
                "kth_best_model_path": str(copy),
                "last_model_path": "",
            }
        super().load_state_dict(state_dict)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint's content: tensors and plain values only, on the CPU.

    Raises:
        InputError: if there is no file, or none that this project wrote whole.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"ckpt_path={path}: there is no such file; a run's are in RUN/checkpoints/best.ckpt, last.ckpt"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        plain = isinstance(checkpoint, dict)
    except (RuntimeError, EOFError, OSError, KeyError, pickle.UnpicklingError, UnicodeDecodeError) as error:
        reason = shorten(str(error), 100, placeholder=" …")
        raise InputError(f"ckpt_path={path} is broken or not a checkpoint ({reason}): take another one") from None
    if not plain or not {"state_dict", "hyper_parameters", "ImageDataModule", "model"} <= checkpoint.keys():
        raise InputError(f"ckpt_path={path} is not a checkpoint of this project: take RUN/checkpoints/best.ckpt")
    return checkpoint


def load_best(trainer: Trainer, module: AutoencoderModule) -> None:
    """Gives `module` the weights of the best checkpoint of a finished fit, if there is one.

    Raises: InputError if training diverged.
    """
    best = getattr(trainer.checkpoint_callback, "best_model_path", None)
    if best:
        module.load_state_dict(read_checkpoint(best)["state_dict"])
    if not all(parameter.isfinite().all() for parameter in module.parameters()):
        raise InputError("training diverged, its weights are no numbers any more: lower optimizer.lr and run again")


def check_resumable(
    path: str | Path, module: AutoencoderModule, datamodule: ImageDataModule, max_epochs: int | None = None
) -> None:
    """Holds a checkpoint against the run that is to go on from it, up to `max_epochs` if that is set.

    Raises:
        InputError: if it was trained with another network, other images, batches of another size or another optimiser,
            or has all its epochs behind it.
    """
    checkpoint = read_checkpoint(path)
    for name, value in module.hparams.items():
        trained = checkpoint["hyper_parameters"].get(name)
        if trained != value:
            raise InputError(
                f"checkpoint {path} was trained with {name} {trained}, this model has {value}: "
                f"set model.{name}={str(trained).replace(' ', '')} or start a new run"
            )
    datamodule.setup()
    datamodule.load_state_dict(checkpoint["ImageDataModule"])
    batch_size = checkpoint["datamodule_hyper_parameters"]["batch_size"]
    if batch_size != datamodule.batch_size:
        raise InputError(
            f"checkpoint {path} was trained with data.batch_size {batch_size}, this run has {datamodule.batch_size}, "
            f"and a schedule counts steps: set data.batch_size={batch_size} or start a new run"
        )
    optimizer = type(module.make_optimizer(module)).__name__
    if checkpoint["optimizer"] != optimizer:
        raise InputError(
            f"checkpoint {path} was trained with the optimizer {checkpoint['optimizer']}, this run has {optimizer}: "
            f"set optimizer={checkpoint['optimizer'].lower()} or start a new run"
        )
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    if max_epochs is not None and 0 <= max_epochs <= epochs:
        raise InputError(
            f"checkpoint {path} has {epochs} epochs behind it, and trainer.max_epochs is {max_epochs}: "
            f"set trainer.max_epochs={2 * epochs} to go on, or measure it again with src/evaluate.py"
        )


def restore(path: str | Path, data_dir: str | None = None) -> tuple[AutoencoderModule, ImageDataModule]:
    """The model and the data of a checkpoint, as its run had them, from the file alone.

    Args: path, the checkpoint; data_dir, where the images are, if no longer where the run had them.
    Raises: InputError if the checkpoint is missing or broken, or its images are not to be had.
    """
    checkpoint = read_checkpoint(path)
    model_class = getattr(autoencoder, checkpoint["model"], None)
    if not (isinstance(model_class, type) and issubclass(model_class, AutoencoderModule)):
        raise InputError(
            f"ckpt_path={path} holds a {checkpoint['model']}, which the package autoencoder does not export: "
            "add its name to _HOMES in src/autoencoder/__init__.py"
        )
    module = model_class.load_from_checkpoint(path, map_location="cpu")
    settings = dict(checkpoint["datamodule_hyper_parameters"]) | checkpoint["ImageDataModule"]
    settings |= {"offline_fallback": False} | ({"data_dir": data_dir} if data_dir else {})
    datamodule = ImageDataModule(**settings)
    datamodule.setup()
    return module, datamodule
