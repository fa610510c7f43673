"""Checkpoints: plain data that a run leaves behind, and what has to hold before one is used."""

import logging
import os
import pickle
import random
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, Timer
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from autoencoder.datamodule import ImageDataModule
from autoencoder.errors import InputError
from autoencoder.history import read_history
from autoencoder.module import AutoencoderModule, DivergenceError
from autoencoder.paths import absolute, expand_home
from autoencoder.run_logs import log_lengths, logger_runs
from autoencoder.runs import RunFolder
from autoencoder.sources import DOWNLOADED, FOLDERS, TITLES, find_files
from autoencoder.step_hooks import idle_in_steps
from autoencoder.stopping import Stopped

log = logging.getLogger(__name__)


class WholeFiles(TorchCheckpointIO):
    """Writes each checkpoint whole or not at all: beside its place, to the disk, then renamed.

    Lightning's own way leads through `$TMPDIR`, and across file systems a rename is a copy, which can be torn.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.tmp")  # a run has its folder for itself
        try:
            with scratch.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


@idle_in_steps
class BestAndLast(Checkpoint):
    """Keeps `best.ckpt` by `val/mse`, and `last.ckpt`: the state after the last epoch, or where the run was stopped.

    A run without validation has its last state as its best. `last.ckpt` holds all that it takes to go on as if never
    stopped: random states and the logs' lengths, too. Neither file is ever written with weights that are no numbers.

    Args: dirpath, the folder.
    """

    def __init__(self, dirpath: str) -> None:
        self.best_path = Path(dirpath, "best.ckpt")
        self.last_path = Path(dirpath, "last.ckpt")
        self.best_score: float | None = None  # val/mse of best.ckpt
        self._is_best = False  # the network as it is now
        self._saved_step = 0
        self.validated_step = 0  # of the last validation
        self._max_steps = -1
        self._random_states: dict[str, Any] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # With a limit of steps Lightning takes each checkpoint for one within an epoch, and would run a whole epoch's
        # end once more. It restores its loops between this hook and the next.
        self._max_steps = trainer.fit_loop.epoch_loop.max_steps
        if self._random_states is not None:  # it goes on
            trainer.fit_loop.epoch_loop.max_steps = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.fit_loop.epoch_loop.max_steps = self._max_steps
        self._saved_step = trainer.global_step
        if self._random_states is not None:
            set_random_states(self._random_states)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves a new best; at an epoch's end that is left to `on_train_epoch_end`, so as to save once."""
        score = trainer.callback_metrics.get("val/mse")
        self.validated_step = trainer.global_step
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING or score is None or not score.isfinite():
            return
        if self.best_score is None or score < self.best_score:
            self.best_score = float(score)
            self._is_best = True
            if not trainer.is_last_batch:
                self._save(trainer, pl_module, self.best_path)
                self._is_best = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer, pl_module, self.last_path)
        if trainer.is_global_zero and self.last_path.is_file() and (self._is_best or self.best_score is None):
            replace_by_copy(self.last_path, self.best_path)
        self._is_best = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Saves where the run was told to stop; an error leaves the state after the last whole epoch."""
        can_save = isinstance(exception, Stopped) and exception.between_steps
        if can_save and trainer.global_step > self._saved_step:
            self._save(trainer, pl_module, self.last_path)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["logs"] = log_lengths(trainer)
        checkpoint["logger_runs"] = logger_runs(trainer)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        reopen_cut_epoch(checkpoint)

    @property
    def best_model_path(self) -> str:
        """Where best.ckpt is, as Lightning asks for it; empty where there is none."""
        return str(self.best_path) if self.best_path.is_file() else ""

    def state_dict(self) -> dict[str, Any]:
        return {
            "best_score": self.best_score,
            "validated_step": self.validated_step,
            "random_states": random_states(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"] if self.best_path.is_file() else None
        self.validated_step = state_dict.get("validated_step", 0)
        self._random_states = state_dict["random_states"]

    def _save(self, trainer: Trainer, pl_module: LightningModule, path: Path) -> None:
        """Raises: DivergenceError for weights that are no numbers."""
        if getattr(trainer, "fast_dev_run", False):
            return
        if not has_finite_weights(pl_module):
            raise DivergenceError(trainer)
        trainer.save_checkpoint(path, False)  # not the weights alone
        if path == self.last_path:
            self._saved_step = trainer.global_step


def has_finite_weights(module: nn.Module) -> bool:
    """Whether no parameter is infinite or NaN."""
    return all(bool(parameter.isfinite().all()) for parameter in module.parameters())


def replace_by_copy(source: Path, target: Path) -> None:
    """Makes `target` the same as `source`, whole or not at all; on most file systems without copying a byte."""
    scratch = target.with_name(f".{target.name}.tmp")
    scratch.unlink(missing_ok=True)
    try:
        os.link(source, scratch)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, scratch)
    scratch.replace(target)


def reopen_cut_epoch(checkpoint: dict[str, Any]) -> None:
    """Takes back, in place, the end of an epoch that a limit cut short, so that its remaining images come next.

    Lightning counts an epoch that max_steps or max_time has ended within as a whole one. Its row in the history goes,
    too: it is written anew at the epoch's real end.
    """
    if not ends_in_cut_epoch(checkpoint):
        return
    for part in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
        part["processed"] -= 1
        part["completed"] = min(part["completed"], part["processed"])
    if rows := checkpoint["callbacks"].get("History", {}).get("rows"):
        rows.pop()


def ends_in_cut_epoch(checkpoint: Mapping[str, Any]) -> bool:
    """Whether the last epoch of a checkpoint counts as a whole one but has images left."""
    loops = checkpoint["loops"]["fit_loop"]
    current = loops["epoch_progress"]["current"]
    return current["processed"] == current["started"] and not loops["epoch_loop.batch_progress"]["is_last_batch"]


def random_states() -> dict[str, Any]:
    """The states of all random generators, as tensors and plain values."""
    state: Any = np.random.get_state()
    kind, keys, *rest = state
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Sets all random generators to `random_states()` of before; those of GPUs where there are as many."""
    random.setstate(states["python"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint's content: tensors and plain values only, on the CPU.

    Raises:
        InputError: if there is no file, or none that this project wrote whole.
    """
    path = expand_home(path)
    if not path.is_file():
        raise InputError(
            f"ckpt_path={path}: there is no such file; a run's are in RUN/checkpoints/best.ckpt, last.ckpt"
        )
    if not is_zipfile(path):
        raise InputError(f"ckpt_path={path} is broken or not a checkpoint (not a zip archive): take another one")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        plain = isinstance(checkpoint, dict)
    except (RuntimeError, EOFError, OSError, KeyError, pickle.UnpicklingError, UnicodeDecodeError) as error:
        reason = shorten(str(error), 100, placeholder=" …")
        raise InputError(f"ckpt_path={path} is broken or not a checkpoint ({reason}): take another one") from None
    if not plain or not {"state_dict", "hyper_parameters", "ImageDataModule", "model"} <= checkpoint.keys():
        raise InputError(f"ckpt_path={path} is not a checkpoint of this project: take RUN/checkpoints/best.ckpt")
    return checkpoint


def read_last(folder: RunFolder) -> dict[str, Any]:
    """The checkpoint that a run goes on from.

    Raises: InputError if it is broken, with what can be done then.
    """
    try:
        checkpoint = read_checkpoint(folder.last)
        if not {"loops", "optimizer_states", "optimizer", "global_step"} <= checkpoint.keys():
            raise InputError(f"ckpt_path={folder.last} holds weights alone")
        return checkpoint
    except InputError as error:
        remedy = f"a new run may start from {folder.best}, with ckpt_path" if folder.best.is_file() else "start anew"
        raise InputError(f"{error}; {folder.path} cannot go on: {remedy}") from None


def load_best(trainer: Trainer, module: AutoencoderModule) -> None:
    """Gives `module` the weights of the best checkpoint of a finished fit, if there is one.

    Raises: DivergenceError if these are no numbers.
    """
    best = getattr(trainer.checkpoint_callback, "best_model_path", None)
    if best:
        module.load_state_dict(read_checkpoint(best)["state_dict"])
    if not has_finite_weights(module):
        raise DivergenceError(trainer)


def check_goes_on(
    path: Path,
    checkpoint: dict[str, Any],
    module: AutoencoderModule,
    datamodule: ImageDataModule,
    trainer: Trainer,
    callbacks: Mapping[str, Callback],
    changed: Collection[str],
) -> None:
    """Holds a run's last checkpoint against what is to go on from it.

    Args:
        path: where it is.
        datamodule: set up.
        callbacks: of this run, by their names in the config.
        changed: the names of the settings that are not as they were.
    Raises: InputError if it was trained with another network, on other images or with another optimiser, if it is
        beyond the Trainer's limits, or if a setting has changed that a callback or schedule keeps in its own state.
    """
    if not any(isinstance(callback, BestAndLast) for callback in callbacks.values()):
        raise InputError(
            "a run that goes on writes its checkpoints anew: take callbacks.checkpoints back, or start a new run with "
            f"ckpt_path={path}"
        )
    _check_best(path.with_name("best.ckpt"))
    datamodule.load_state_dict(checkpoint["ImageDataModule"])
    _check_network(path, checkpoint, module)
    optimizer = _check_optimizer(path, checkpoint, module)
    had_finished = (RunFolder(path.parents[1]).read_metrics() or {}).get("status") == "finished"
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
    whole_epochs = epochs["processed"] - ends_in_cut_epoch(checkpoint)
    limits = [
        ("trainer.max_epochs", trainer.max_epochs, epochs["started"], whole_epochs),
        ("trainer.max_steps", trainer.max_steps, checkpoint["global_step"], checkpoint["global_step"]),
    ]
    for key, limit, begun, _ in limits:
        if limit is not None and 0 <= limit < begun:
            raise InputError(f"{key}={limit} is less than the {begun} that the run has behind it: set {begun} or more")
    for key, limit, _, done in limits:
        if had_finished and limit is not None and 0 <= limit <= done:
            raise InputError(f"the run has finished with {key}={limit}, and nothing is left to train: set more")
    states = checkpoint.get("callbacks", {})
    _check_time_is_left(states, trainer)
    for key in changed:
        group, name, setting = (*key.split("."), "", "")[:3]
        state = states.get(callbacks[name].state_key, {}) if group == "callbacks" and name in callbacks else {}
        if setting in state:
            raise InputError(
                f"{key} cannot be changed on the way, since the callback keeps it in its state: leave it out, take the "
                f"callback away with ~callbacks.{name}, or start a new run with ckpt_path={path}"
            )
    scheduler = module.make_scheduler(optimizer, 1)
    of_schedule = [key for key in changed if key.startswith(("optimizer.", "scheduler.", "trainer.max_"))]
    if of_schedule and not isinstance(scheduler, LambdaLR):
        raise InputError(
            f"{of_schedule[0]} cannot be changed on the way, since {type(scheduler).__name__} keeps it in its state: "
            f"leave it out, or start a new run with ckpt_path={path}"
        )


def data_of_run(checkpoint: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The data's config for a run that goes on: the set that it began with, from where it was if not from there."""
    trained, run_had = checkpoint["ImageDataModule"], checkpoint.get("datamodule_hyper_parameters", {})
    if "data_dir" not in data or trained["dataset"] not in TITLES:  # a data module of the user's own
        return dict(data)
    settings = {**data, "offline_fallback": False, "dataset": trained["dataset"], "val_size": trained["val_size"]}
    if trained["dataset"] in FOLDERS:
        for folder in (data["data_dir"], run_had.get("data_dir", data["data_dir"])):
            with suppress(OSError):  # a folder that must not be searched
                if find_files(trained["dataset"], absolute(folder)):
                    settings["data_dir"] = folder
                    break
    return settings


def _check_best(path: Path) -> None:
    """Raises: InputError for a broken best.ckpt: a run that went on would have no weights of its best epoch."""
    try:
        if path.is_file():
            read_checkpoint(path)
    except InputError as error:
        raise InputError(
            f"{error}; the run can only go on without it: delete it, and the best of the epochs to come is kept"
        ) from None


def _check_time_is_left(states: Mapping[str, Any], trainer: Trainer) -> None:
    """Raises: InputError if a run has had all the time that `trainer.max_time` gives it."""
    for callback in getattr(trainer, "callbacks", []):
        elapsed = states.get(callback.state_key, {}).get("time_elapsed", {}).get("train")
        if isinstance(callback, Timer) and elapsed is not None:
            left = callback.time_remaining()  # all of it: its state is not loaded yet
            if left is not None and left <= elapsed:
                raise InputError(
                    f"the run has trained for {elapsed:.0f} s, and trainer.max_time gives it {left:.0f} s in all: "
                    "set trainer.max_time to more, or to null"
                )


def start_from(path: str | Path, module: AutoencoderModule) -> None:
    """Gives a new run the weights and the optimiser's state of a checkpoint, and nothing else of it.

    Of a checkpoint of weights alone, the optimiser starts anew. The log says which.
    Raises: InputError if it was trained with another network or another optimiser.
    """
    checkpoint = read_checkpoint(path)
    _check_network(path, checkpoint, module)
    states = checkpoint.get("optimizer_states")
    if states:
        _check_optimizer(path, checkpoint, module)
        module.first_optimizer_state = states[0]["state"]
    module.load_state_dict(checkpoint["state_dict"])
    log.info("a new run, from the weights %sof %s", "and the optimiser's state " if states else "", path)


def _check_network(path: str | Path, checkpoint: dict[str, Any], module: AutoencoderModule) -> None:
    for name, value in module.hparams.items():
        trained = checkpoint["hyper_parameters"].get(name)
        if trained != value:
            setting = f"set model.{name}={str(trained).replace(' ', '')}"
            remedy = "take such images" if name == "image_shape" else setting
            raise InputError(
                f"checkpoint {path} was trained with {name} {trained}, this model has {value}: "
                f"{remedy} or start a new run"
            )
    _check_layers(path, checkpoint["state_dict"], module)


def _check_layers(path: str | Path, weights: Mapping[str, Tensor], module: AutoencoderModule) -> None:
    """Raises: InputError for weights of other layers than the module's: its class has changed since."""
    theirs, ours = ({name: list(one.shape) for name, one in each.items()} for each in (weights, module.state_dict()))
    for name in [*ours, *theirs]:
        if theirs.get(name) != ours.get(name):
            raise InputError(
                f"checkpoint {path} has {name} {theirs.get(name, 'not at all')}, the {type(module).__name__} of now "
                f"{ours.get(name, 'not at all')}: it is of another version of that class, bring it back or train anew"
            )


def _check_optimizer(path: str | Path, checkpoint: dict[str, Any], module: AutoencoderModule) -> Optimizer:
    optimizer = module.make_optimizer(module)
    name = type(optimizer).__name__
    if checkpoint["optimizer"] != name:
        raise InputError(
            f"checkpoint {path} was trained with the optimizer {checkpoint['optimizer']}, this run has {name}: "
            f"set optimizer={checkpoint['optimizer'].lower()} or start a new run"
        )
    return optimizer


def _model_class(path: str | Path, name: str) -> type[AutoencoderModule]:
    """The class of a checkpoint's model, by the name that `model_name` gave it.

    Raises: InputError for a class outside this package, whose code nobody has read who only has the checkpoint.
    """
    home, _, own_name = name.rpartition(".")
    if home and home.partition(".")[0] != "autoencoder":
        raise InputError(
            f"ckpt_path={path} holds the class {name}, which is not in the package autoencoder: move its file into "
            f"src/autoencoder/, or load it in Python, with {own_name}.load_from_checkpoint(…)"
        )
    try:
        found = getattr(import_module(home or "autoencoder"), own_name, None)
    except ImportError:
        found = None
    if not (isinstance(found, type) and issubclass(found, AutoencoderModule)):
        raise InputError(f"ckpt_path={path} holds the class {name}, which is not there (any more): bring its file back")
    return found


def restore(path: str | Path, data_dir: str | None = None) -> tuple[AutoencoderModule, ImageDataModule]:
    """The model and the data of a checkpoint, as its run had them, from the file alone.

    Args:
        path: the checkpoint.
        data_dir: where the images are; None for where the run had them, or else the folder that DATA_DIR names.
    Raises: InputError if the checkpoint is missing or broken, or its images are not to be had.
    """
    path = expand_home(path)
    checkpoint = read_checkpoint(path)
    model = _model_class(path, checkpoint["model"])
    try:
        module = model.load_from_checkpoint(path, map_location="cpu")
    except RuntimeError as error:  # PyTorch's, which names each layer
        raise InputError(
            f"ckpt_path={path} has other layers than the {model.__name__} of now "
            f"({shorten(str(error), 200, placeholder=' …')}): bring back the class that it was trained with"
        ) from None
    if not has_finite_weights(module):
        raise InputError(
            f"ckpt_path={path} has weights that are no numbers, of a training that diverged: take another one"
        )
    trained = checkpoint["ImageDataModule"]
    if trained["dataset"] not in TITLES:
        raise InputError(
            f"ckpt_path={path} was trained on {trained['dataset']}, which are in no file: in Python, load it with "
            "AutoencoderModule.load_from_checkpoint and measure it with autoencoder.evaluation.evaluate"
        )
    settings = dict(checkpoint.get("datamodule_hyper_parameters", {"data_dir": "data"}))
    settings |= {"dataset": trained["dataset"], "val_size": trained["val_size"], "offline_fallback": False}
    settings |= {"data_dir": _folder_with_images(trained, settings["data_dir"], data_dir)}
    datamodule = ImageDataModule(**settings)
    datamodule.expect(trained)
    datamodule.setup()
    if datamodule.image_shape != module.image_shape:
        raise InputError(
            f"ckpt_path={path} is of images of {list(module.image_shape)} (channels, height, width), "
            f"those in {datamodule.data_dir} are {list(datamodule.image_shape)}: name another folder as data_dir"
        )
    return module, datamodule


def history_of(path: str | Path) -> Path | None:
    """RUN/history.csv of a checkpoint RUN/checkpoints/NAME.ckpt, if its epochs are those that the checkpoint had.

    None for a checkpoint in no run, or in the folder of another run.
    """
    path = absolute(path)
    file = path.parent.parent / "history.csv"
    if path.parent.name != "checkpoints" or not file.is_file():
        return None
    callbacks = read_checkpoint(path).get("callbacks", {})
    rows: list[dict[str, float]] = next(
        (state["rows"] for name, state in callbacks.items() if name.startswith("History")), []
    )
    columns = read_history(file)
    for epoch, row in enumerate(rows):
        for name, value in row.items():
            written = columns.get(name, [])[epoch : epoch + 1]
            if value == value and written != [value]:  # NaN is not equal to itself
                return None
    return file if rows else None


def _folder_with_images(trained: Mapping[str, Any], run_had: str, data_dir: str | None) -> str:
    """Where to look for a checkpoint's images: `data_dir` if that is given; else the first folder that has them, of
    the one that the run had and DATA_DIR; if none has, DATA_DIR, for a download.

    Raises: InputError if `data_dir` has none, or if no folder has them and no download could be of as many images.
    """
    dataset, environment = trained["dataset"], os.environ.get("DATA_DIR")
    if dataset not in FOLDERS:
        return run_had
    folders = [data_dir] if data_dir else [folder for folder in (run_had, environment) if folder]
    for folder in folders:
        with suppress(OSError):  # a folder that must not be searched
            if find_files(dataset, absolute(folder)):
                return folder
    if data_dir or trained.get("train_images", DOWNLOADED) != DOWNLOADED:
        raise InputError(
            f"the images that the checkpoint was trained on are not in {' nor in '.join(folders)}: "
            f"name the folder that has them, or their {FOLDERS[dataset]}/raw, as data_dir"
        )
    return environment or run_had
