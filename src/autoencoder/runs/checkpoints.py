"""Reads checkpoints, which hold only tensors and plain values, and checks them before they are used."""

import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from lightning.pytorch import Trainer
from pydantic import ValidationError

from autoencoder.data.base import DataModule
from autoencoder.data.datamodule import ImageDataModule
from autoencoder.data.folder_module import FolderDataModule
from autoencoder.data.sources import DOWNLOADED, TITLES, folder_with_files, idx_folder
from autoencoder.errors import InputError
from autoencoder.models.divergence import DivergenceError
from autoencoder.models.module import AutoencoderModule
from autoencoder.paths import absolute, expand_home
from autoencoder.runs.archive import DamagedError, read_archive
from autoencoder.runs.checkpoint_format import Checkpoint, Data, check_entries, check_version
from autoencoder.runs.folder import RunFolder
from autoencoder.runs.history import read_history
from autoencoder.runs.model_of_checkpoint import build_model, has_finite_weights
from autoencoder.runs.weights import SUFFIX, read_weights

log = logging.getLogger(__name__)

DATA_MODULES = (ImageDataModule, FolderDataModule)  # whose state and settings a checkpoint may hold


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint's content: tensors and plain values only, on the CPU, all of the right types.

    Raises:
        InputError: if there is no file, or it is broken, of a later version, or not a checkpoint of this project.
    """
    path = expand_home(path)
    name = f"ckpt_path={path}"
    if path.is_dir():
        inside = next((best for best in (path / "best.ckpt", RunFolder(path).best) if best.is_file()), None)
        raise InputError(f"{name} is a folder: use a checkpoint" + (f", {inside}" if inside else ""))
    if not path.is_file():
        raise InputError(f"{name}: there is no such file; use RUN/checkpoints/best.ckpt or last.ckpt")
    if path.suffix == SUFFIX:
        raise InputError(f"{name} is an export, which does not know its data: use the run's checkpoint")
    try:
        checkpoint = read_archive(path)
    except DamagedError as error:
        reason = shorten(str(error), 150, placeholder=" …")
        raise InputError(f"{name} is broken or not a checkpoint ({reason}): use another one") from None
    known = isinstance(checkpoint, dict) and {"state_dict", "hyper_parameters", "model"} <= checkpoint.keys()
    if not known or not any(kind.__qualname__ in checkpoint for kind in DATA_MODULES):
        raise InputError(f"{name} is not a checkpoint of this project: use RUN/checkpoints/best.ckpt")
    check_version(checkpoint, name)
    check_entries(checkpoint, Checkpoint, name)
    check_entries(trained_data(checkpoint), Data, name)
    return checkpoint


def trained_data(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a checkpoint's data module: which images it was trained on, and the position in the epoch."""
    state: dict[str, Any] = next(
        checkpoint[kind.__qualname__] for kind in DATA_MODULES if kind.__qualname__ in checkpoint
    )
    return state


def load_best(trainer: Trainer, module: AutoencoderModule) -> None:
    """Loads the weights of a finished fit's best checkpoint into `module`, if there is one.

    Raises: DivergenceError if weights are infinite or NaN.
    """
    best = getattr(trainer.checkpoint_callback, "best_model_path", None)
    if best:
        module.load_state_dict(read_checkpoint(best)["state_dict"])
    if not has_finite_weights(module):
        raise DivergenceError(trainer)


def load(path: str | Path, allow_packages: Collection[str] = ()) -> AutoencoderModule:
    """The trained model of a checkpoint or an export, in evaluation mode on the CPU; only the file is needed.

    Args:
        path: of the checkpoint, or of the `.safetensors` file that src/export.py writes.
        allow_packages: names of packages beside this one that its classes may be from.
    Raises: InputError if the file is missing or broken, or needs a class that is not there or not allowed.
    """
    path = expand_home(path)
    content = read_weights(path) if path.suffix == SUFFIX else read_checkpoint(path)
    return build_model(path, content, allow_packages).eval()


def restore(
    path: str | Path, data_dir: str | None = None, allow_packages: Collection[str] = ()
) -> tuple[AutoencoderModule, DataModule]:
    """Restores the model and the data of a checkpoint's run; only the file is needed.

    Args:
        path: the checkpoint.
        data_dir: folder with the images; None for the folder that the run used, or else the one in DATA_DIR.
        allow_packages: names of packages beside this one that the model's classes may be from.
    Raises: InputError if the checkpoint is missing or broken, or its images are not available.
    """
    path = expand_home(path)
    checkpoint = read_checkpoint(path)
    module = build_model(path, checkpoint, allow_packages)
    try:
        datamodule = _restored_data(path, checkpoint, data_dir)
    except ValidationError as error:
        reason = shorten(str(error), 200, placeholder=" …")
        raise InputError(f"ckpt_path={path} has wrong settings of its data ({reason}): use another one") from None
    if datamodule.image_shape != module.image_shape:
        raise InputError(
            f"ckpt_path={path} was trained on images of {list(module.image_shape)} (channels, height, width), "
            f"those in {datamodule.place_of(datamodule.images)[0]} are {list(datamodule.image_shape)}: "
            "set data_dir to another folder"
        )
    return module, datamodule


def _restored_data(path: Path, checkpoint: Mapping[str, Any], data_dir: str | None) -> DataModule:
    """The data module of a checkpoint, set up; arguments and errors as in `restore`."""
    trained = trained_data(checkpoint)
    settings = dict(checkpoint.get("datamodule_hyper_parameters", {}))
    if FolderDataModule.__qualname__ in checkpoint:
        own = {"path": data_dir or settings.get("path"), "title": trained["dataset"]}
        in_folder = FolderDataModule(**settings | own)
        in_folder.expect(trained)
        in_folder.setup()
        return in_folder
    name = idx_folder(trained["dataset"], settings.get("folder"))
    if name is None and trained["dataset"] not in TITLES:
        raise InputError(
            f"ckpt_path={path} was trained on {trained['dataset']}, which is not stored in files: in Python, load it "
            "with AutoencoderModule.load_from_checkpoint and measure it with autoencoder.evaluation.evaluate.evaluate"
        )
    if data_dir and name is None:
        raise InputError(
            f"data_dir={data_dir}: the images of {trained['dataset']} are not in a folder: leave out data_dir"
        )
    settings |= {"dataset": trained["dataset"], "val_size": trained["val_size"], "offline_fallback": False}
    if name is not None:
        settings |= {"data_dir": _folder_with_images(name, trained, settings.get("data_dir", "data"), data_dir)}
    return _with_images_of(trained, settings, None if data_dir else os.environ.get("DATA_DIR"))


def _with_images_of(trained: dict[str, Any], settings: dict[str, Any], environment: str | None) -> ImageDataModule:
    """The data module of `settings`, set up; with the images in `environment` if its own folder now has others.

    Raises: InputError if the images are not those of the checkpoint, `trained`.
    """
    datamodule = ImageDataModule(**settings)
    datamodule.expect(trained)
    elsewhere = environment and absolute(environment) != absolute(settings["data_dir"])
    try:
        datamodule.setup()
    except InputError:
        if not elsewhere:
            raise
        datamodule = ImageDataModule(**settings | {"data_dir": environment})
        datamodule.expect(trained)
        datamodule.setup()
    else:
        if elsewhere and idx_folder(trained["dataset"], settings.get("folder")):
            log.info("using the run's images in %s, not those in DATA_DIR", settings["data_dir"])
    return datamodule


def history_of(path: str | Path) -> Path | None:
    """RUN/history.csv of a checkpoint RUN/checkpoints/NAME.ckpt, if it agrees with the checkpoint's epochs.

    None if the checkpoint is outside a run's folder, or in the folder of another run.
    """
    folder = RunFolder.of_checkpoint(path)
    if folder is None or not folder.history.is_file():
        return None
    callbacks = read_checkpoint(path).get("callbacks", {})
    rows: list[dict[str, float]] = next(
        (state["rows"] for name, state in callbacks.items() if name.startswith("History")), []
    )
    columns = read_history(folder.history)
    for epoch, row in enumerate(rows):
        for name, value in row.items():
            written = columns.get(name, [])[epoch : epoch + 1]
            if value == value and written != [value]:  # NaN is not equal to itself
                return None
    return folder.history if rows else None


def _folder_with_images(name: str, trained: Mapping[str, Any], run_had: str, data_dir: str | None) -> str:
    """The folder with a checkpoint's images: `data_dir` if given, else the first that has them of the run's own and
    DATA_DIR. If none has them, DATA_DIR, for a download.

    Raises: InputError if `data_dir` does not have the images, or if no folder has them and their number is not that
        of a download.
    """
    environment = os.environ.get("DATA_DIR")
    folders = [data_dir] if data_dir else [folder for folder in (run_had, environment) if folder]
    if found := folder_with_files(name, folders):
        return found
    if data_dir or trained.get("train_images", DOWNLOADED) != DOWNLOADED:
        raise InputError(
            f"the images that the checkpoint was trained on are not in {' or '.join(folders)}: "
            f"set data_dir to the folder that has them or their {name}/raw"
        )
    return environment or run_had
