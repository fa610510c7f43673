"""Describes a finished run: the entries of metrics.json, the loggers' last entry, and the summary in the console."""

import logging
import os
import platform
import shlex
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger

from autoencoder.data.base import DataModule
from autoencoder.metrics import METRICS, MODELS, formatted, measured_in
from autoencoder.models.module import AutoencoderModule
from autoencoder.paths import absolute, assignment, shown
from autoencoder.runs.folder import RunFolder
from autoencoder.runs.report_card import PARTS

log = logging.getLogger(__name__)

# Logged without their group's name: TensorBoard's HParams tab sorts by name and shows the first five.
HEADLINES = ("batch_size", "dataset", "hidden_dims", "latent_dim", "lr", "seed", "val_size")
INCOMPARABLE = (
    "data",
    "data/data_dir",
    "data/path",
    "data/offline_fallback",
    "model/image_shape",
)  # source of the images


def describe_run(
    seed: int, trainer: Trainer, module: AutoencoderModule, datamodule: DataModule, fit_seconds: float
) -> dict[str, Any]:
    """What was trained, on what and how, named as in `metrics.json`; `fit_seconds` is the time in `trainer.fit`."""
    device = trainer.strategy.root_device
    return describe_model(module, datamodule) | {
        "seed": seed,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "fit_seconds": fit_seconds,
        "images_per_second": _images_seen(trainer, datamodule) / fit_seconds if fit_seconds else None,
        "device": f"{trainer.num_devices} x {device_name(device)}",
        "precision": str(trainer.precision),
    }


def describe_model(module: AutoencoderModule, datamodule: DataModule) -> dict[str, Any]:
    """The numbers of images and parameters, and the versions of libraries and code, named as in `metrics.json`."""
    return {
        "dataset": datamodule.images.name,
        "train_size": len(datamodule.images.train),
        "val_size": len(datamodule.images.val),
        "test_size": len(datamodule.images.test),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "latent_dim": module.latent_dim,
        **{name: type(getattr(module, name)).__name__ for name in PARTS},
        "torch_version": version("torch"),
        "lightning_version": version("lightning"),
        "git_commit": _git_commit(),
    }


def log_outcome(trainer: Trainer, settings: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, Any]) -> None:
    """Logs a finished run's settings beside its test metrics, so that TensorBoard's HParams tab compares runs."""
    measured = {name: value for name, value in metrics.items() if value is not None}
    test_metrics = {name: value for name, value in measured.items() if name.startswith(tuple(MODELS))}
    if "val/mse" in measured:  # of best.ckpt; "val/mse" is the tag of the curve, and "best/…" sorts first
        test_metrics = {"best/val/mse": measured["val/mse"], **test_metrics}
    compared = compared_settings(settings) | {name: metrics[name] for name in ("dataset", "val_size", "epochs")}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(compared, test_metrics, trainer.global_step)
        else:
            logger.log_hyperparams(_not_yet_in_mlflow(logger, compared))
            logger.log_metrics(test_metrics, trainer.global_step)
        logger.finalize("success")


def _not_yet_in_mlflow(logger: Logger, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that MLflow does not have yet for a resumed run; those that have changed become tags.

    MLflow does not accept another value for a parameter. Other loggers get all settings again.
    """
    if not (isinstance(logger, MLFlowLogger) and logger.run_id):
        return settings
    noted = logger.experiment.get_run(logger.run_id).data.params
    for name, value in settings.items():
        if noted.get(name, str(value)) != str(value):
            logger.experiment.set_tag(logger.run_id, f"changed/{name}", value)
    return {name: value for name, value in settings.items() if name not in noted}


def compared_settings(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings by which runs are compared, as a flat dict: `latent_dim`, `optimizer`, `optimizer/momentum` …

    Args: settings, each part's config by the name of its group; a part within a part is a group of its own.
    """
    compared: dict[str, Any] = {}
    for group, part in settings.items():
        for key, value in part.items():
            if key == "_target_":
                compared[group] = value.rpartition(".")[2]
            elif isinstance(value, Mapping):
                compared |= compared_settings({f"{group}/{key}": value})
            elif not key.startswith("_"):
                compared[key if key in HEADLINES else f"{group}/{key}"] = value
    return {name: value for name, value in compared.items() if name not in INCOMPARABLE}


def _images_seen(trainer: Trainer, datamodule: DataModule) -> int:
    """The number of training images processed by `fit`, on all devices."""
    batches = trainer.fit_loop.epoch_loop.total_batch_idx + 1
    epochs = trainer.current_epoch * len(datamodule.images.train)
    return min(batches * datamodule.batch_size * trainer.world_size, epochs)


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU's architecture and number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def _git_commit() -> str | None:
    """The commit of this checkout, None outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def summarize(metrics: Mapping[str, Any], title: str, folder: RunFolder, packages: Sequence[str] = ()) -> str:
    """The closing summary: the data, the test metrics beside PCA's, where the files are and how to look at them.

    Args: packages, beside this one that the model's classes are from.
    """
    rows = [
        f"{title}: {metrics['train_size']:,} training, {metrics['val_size']:,} validation and "
        f"{metrics['test_size']:,} test images",
        *_test_table(metrics),
    ]
    if metrics.get("fit_seconds"):
        epochs = f"{metrics['epochs']} epoch" + "s" * (metrics["epochs"] != 1)
        rows.append(
            f"{epochs} in {metrics['fit_seconds']:.1f} s, "
            f"{metrics['images_per_second']:,.0f} images/s on {metrics['device']}"
        )
    rows += _next_commands(folder, packages)
    rows += [
        f"files in {shown(folder.path)}:",
        *textwrap.wrap(", ".join(folder.results()), 80, initial_indent="  ", subsequent_indent="  "),
    ]
    return "\n".join(rows)


def _next_commands(folder: RunFolder, packages: Sequence[str]) -> list[str]:
    """Shell commands to continue with: for the run's curves and its best checkpoint."""
    commands = []
    if (folder.path / "tensorboard").is_dir():
        served = folder.path.is_relative_to(absolute(Path(os.environ.get("PROJECT_ROOT", "."), "logs")))
        options = "" if served else f" ARGS={shlex.quote(f'--logdir {shlex.quote(shown(folder.path))}')}"
        commands.append(("curves and images", f"make tensorboard{options}"))
    if folder.best.is_file():
        argument = assignment("ckpt_path", shown(folder.best))
        argument += f" allow_packages=[{','.join(packages)}]" if packages else ""
        commands.append(("more figures", f"python src/evaluate.py {argument}"))
        commands.append(("interactive page", f"python src/explore.py {argument}"))
    return [f"{what}: {command}" for what, command in commands]


def _test_table(metrics: Mapping[str, Any]) -> list[str]:
    """The test metrics that were measured, one line per model, within 80 columns."""
    names, prefixes = measured_in(metrics)
    dimensions = f"test, {metrics['latent_dim']} dim" + "s" * (metrics["latent_dim"] != 1)
    rows = [[dimensions, *(METRICS[name].heading for name in names)]]
    rows += [[MODELS[prefix], *(formatted(metrics, prefix, name) for name in names)] for prefix in prefixes]
    return aligned(rows) if names else []


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines: the first column to the left, numbers to the right."""
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [
        "".join([row[0].ljust(first), *(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True))])
        for row in rows
    ]
    return [line.rstrip() for line in lines]
