"""Checks whether a run can resume from its last checkpoint, or a new run can start from another's."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Timer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from autoencoder.callbacks.checkpoints import BestAndLast, ends_in_cut_epoch
from autoencoder.callbacks.saved_state import check_optimizer, try_random_states, try_scheduler
from autoencoder.data.base import DataModule
from autoencoder.data.sources import DOWNLOADED, TITLES, folder_with_files, idx_folder
from autoencoder.errors import InputError
from autoencoder.models.module import AutoencoderModule
from autoencoder.runs.checkpoints import read_checkpoint, trained_data
from autoencoder.runs.folder import RunFolder
from autoencoder.runs.model_of_checkpoint import check_layers, load_weights

log = logging.getLogger(__name__)


def read_last(folder: RunFolder) -> dict[str, Any]:
    """The checkpoint that a run resumes from.

    Raises: InputError if it is broken; the message offers the one before it, or else says what to do instead.
    """
    try:
        return _read_resumable(folder.last)
    except InputError as error:
        try:
            step = _read_resumable(folder.previous)["global_step"]
            remedy = f"to resume from step {step:,}, the checkpoint before it, rename {folder.previous} to last.ckpt"
        except InputError:
            instead = f"start a new run with ckpt_path={folder.best}" if folder.best.is_file() else "start a new run"
            remedy = f"{folder.path} cannot be resumed: {instead}"
        raise InputError(f"{error}; {remedy}") from None


def _read_resumable(path: Path) -> dict[str, Any]:
    """Raises: InputError if the checkpoint is missing or broken, or has only weights."""
    checkpoint = read_checkpoint(path)
    needed = {"loops", "optimizer_states", "lr_schedulers", "optimizer", "global_step"}
    if not needed <= checkpoint.keys() or not checkpoint["optimizer_states"]:
        raise InputError(f"ckpt_path={path} has only weights")
    return checkpoint


def check_goes_on(
    path: Path,
    checkpoint: dict[str, Any],
    module: AutoencoderModule,
    datamodule: DataModule,
    trainer: Trainer,
    callbacks: Mapping[str, Callback],
    changed: Collection[str],
) -> None:
    """Compares a run's last checkpoint with the parts that are to resume from it.

    Args:
        path: of the checkpoint.
        datamodule: already set up.
        callbacks: of this run, by their names in the config.
        changed: the names of the settings that have changed.
    Raises: InputError if the checkpoint was trained with another network, other images or another optimiser, if it is
        beyond the Trainer's limits, or if a changed setting is part of a callback's or schedule's saved state.
    """
    if not any(isinstance(callback, BestAndLast) for callback in callbacks.values()):
        raise InputError(
            "a resumed run must write checkpoints: keep callbacks.checkpoints, or start a new run with "
            f"ckpt_path={path}"
        )
    _check_best(path.with_name("best.ckpt"))
    datamodule.load_state_dict(trained_data(checkpoint))
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
            raise InputError(f"{key}={limit} is less than the {begun} already reached: set {begun} or more")
    for key, limit, _, done in limits:
        if had_finished and limit is not None and 0 <= limit <= done:
            raise InputError(f"the run has finished with {key}={limit} and has nothing left to train: raise it")
    states = checkpoint.get("callbacks", {})
    _check_time_is_left(states, trainer)
    for key in changed:
        group, name, setting = (*key.split("."), "", "")[:3]
        state = states.get(callbacks[name].state_key, {}) if group == "callbacks" and name in callbacks else {}
        if setting in state:
            raise InputError(
                f"{key} cannot change in a resumed run, since the callback's state contains it: leave it out, remove "
                f"the callback with ~callbacks.{name}, or start a new run with ckpt_path={path}"
            )
    scheduler = module.make_scheduler(optimizer, 1)
    of_schedule = [key for key in changed if key.startswith(("optimizer.", "scheduler.", "trainer.max_"))]
    if of_schedule and not isinstance(scheduler, LambdaLR):
        raise InputError(
            f"{of_schedule[0]} cannot change in a resumed run, since {type(scheduler).__name__}'s state contains it: "
            f"leave it out, or start a new run with ckpt_path={path}"
        )
    if not states.get("StochasticWeightAveraging", {}).get("scheduler_state"):  # else it has a schedule of its own
        for state in checkpoint["lr_schedulers"][:1]:
            try_scheduler(path, state, scheduler)
    if kept := states.get("BestAndLast"):
        try_random_states(path, kept["random_states"])


def data_of_run(checkpoint: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The data config for a resumed run: its original data set, from this config's folder or the one it had before.

    Raises: InputError if its images are in neither folder, and their number is not that of a download.
    """
    trained, run_had = trained_data(checkpoint), checkpoint.get("datamodule_hyper_parameters", {})
    name = idx_folder(trained["dataset"], data.get("folder"))
    if "path" in run_had:  # a folder of images
        return {**data, "title": trained["dataset"]}
    if "data_dir" not in data or (name is None and trained["dataset"] not in TITLES):  # the user's own data module
        return dict(data)
    settings = {**data, "offline_fallback": False, "dataset": trained["dataset"], "val_size": trained["val_size"]}
    if name is None:
        return settings
    folders = list(dict.fromkeys([str(data["data_dir"]), run_had.get("data_dir", str(data["data_dir"]))]))
    if found := folder_with_files(name, folders):
        return settings | {"data_dir": found}
    if trained.get("train_images", DOWNLOADED) != DOWNLOADED:
        raise InputError(
            f"the run's images are not in {' or '.join(folders)}: set DATA_DIR to the folder that has them"
        )
    return settings


def _check_best(path: Path) -> None:
    """Raises: InputError for a broken best.ckpt, since a resumed run would lose the weights of its best epoch."""
    try:
        if path.is_file():
            read_checkpoint(path)
    except InputError as error:
        raise InputError(
            f"{error}; delete it to resume the run: the best of the remaining epochs is then kept"
        ) from None


def _check_time_is_left(states: Mapping[str, Any], trainer: Trainer) -> None:
    """Raises: InputError if a run has used up the time that `trainer.max_time` allows."""
    for callback in getattr(trainer, "callbacks", []):
        elapsed = states.get(callback.state_key, {}).get("time_elapsed", {}).get("train")
        if isinstance(callback, Timer) and elapsed is not None:
            left = callback.time_remaining()  # the whole limit, since the callback's state is not loaded yet
            if left is not None and left <= elapsed:
                raise InputError(
                    f"the run has trained for {elapsed:.0f} s, and trainer.max_time allows {left:.0f} s in all: "
                    "raise trainer.max_time, or set it to null"
                )


def start_from(path: str | Path, module: AutoencoderModule, datamodule: DataModule) -> None:
    """Gives a new run the weights and the optimiser's state of a checkpoint, and nothing else.

    If the checkpoint has only weights, the optimiser starts from scratch. The log says which is the case, and whether
    the checkpoint was trained on images that are now for validation.
    Raises: InputError if it was trained with another network or another optimiser.
    """
    checkpoint = read_checkpoint(path)
    _check_network(path, checkpoint, module)
    states = checkpoint.get("optimizer_states")
    if states:
        _check_optimizer(path, checkpoint, module)
        module.first_optimizer_state = states[0]["state"]
    load_weights(path, checkpoint["state_dict"], module)
    trained = trained_data(checkpoint)
    val_size = len(datamodule.images.val)
    seen = val_size - trained["val_size"]
    if trained.get("fingerprint") == datamodule.images.fingerprint and seen > 0:
        log.warning("the checkpoint was trained on %d of the %d validation images", seen, val_size)
    log.info("a new run starts from the weights %sof %s", "and the optimiser's state " if states else "", path)


def _check_network(path: str | Path, checkpoint: dict[str, Any], module: AutoencoderModule) -> None:
    """Raises: InputError if the layers have other sizes, or the parts that have layers are others.

    Corruption, loss and the bottleneck's settings may change.
    """
    ours, theirs = (_network_settings(settings) for settings in (module.hparams, checkpoint["hyper_parameters"]))
    for name, value in ours.items():
        trained = theirs.get(name)
        if trained != value:
            remedy = f"set model.{name}={str(trained).replace(' ', '')}"
            if name == "image_shape":
                remedy = "use such images"
            elif name.endswith("._target_"):
                name = name.removesuffix("._target_")
                remedy = f"choose that one with model/{name}=NAME"
            raise InputError(
                f"checkpoint {path} was trained with {name} {trained}, this model has {value}: "
                f"{remedy} or start a new run"
            )
    check_layers(path, checkpoint["state_dict"], module)


def _network_settings(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a model's layers, of its hyper-parameters: flat, with the names of the settings."""
    parts = {
        "network": saved.get("network", {}),
        "bottleneck": {"_target_": saved.get("bottleneck", {}).get("_target_")},
    }
    flat = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}
    return flat | {name: value for name, value in saved.items() if not isinstance(value, Mapping)}


def _check_optimizer(path: str | Path, checkpoint: dict[str, Any], module: AutoencoderModule) -> Optimizer:
    optimizer = module.make_optimizer(module)
    name = type(optimizer).__name__
    if checkpoint["optimizer"] != name:
        raise InputError(
            f"checkpoint {path} was trained with the optimizer {checkpoint['optimizer']}, this run has {name}: "
            f"set optimizer={checkpoint['optimizer'].lower()} or start a new run"
        )
    check_optimizer(path, checkpoint["optimizer_states"][0]["state"], module)
    return optimizer
