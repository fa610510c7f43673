"""Tells Lightning which processes inside a SLURM job belong to a run, and that it must not requeue the job itself."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoencoder.errors import InputError

INTERACTIVE = ("bash", "interactive")  # job names for which Lightning ignores SLURM's variables


def settle_slurm(trainer: Mapping[str, Any]) -> None:
    """Makes Lightning run alone if `srun` did not start it: in a shell on a node, a notebook or a batch script.

    Args: trainer, its settings.
    Raises: InputError if `srun` started more or fewer processes than the trainer has devices.
    """
    tasks = _number("SLURM_NTASKS", 1)
    if "SLURM_STEP_ID" not in os.environ:
        if "SLURM_NTASKS" in os.environ:
            os.environ["SLURM_JOB_NAME"] = INTERACTIVE[-1]
            for rank in ("SLURM_PROCID", "SLURM_LOCALID"):
                os.environ.pop(rank, None)
        return
    alone = os.environ.get("SLURM_JOB_NAME") in INTERACTIVE and _number("SLURM_PROCID", 0) == 0
    devices, nodes = trainer.get("devices"), trainer.get("num_nodes", 1)
    if not alone and isinstance(devices, int) and devices * nodes != tasks:
        raise InputError(
            f"srun started {tasks} process{'es' * (tasks > 1)}, and trainer.devices={devices} on {nodes} "
            f"node{'s' * (nodes != 1)} are {devices * nodes}: start it with srun --ntasks={devices * nodes}, "
            "without srun, or set trainer.devices"
        )


def check_starts_anew(root: str | None) -> None:
    """Checks that Lightning does not restore a new run from a checkpoint that it saved when it requeued a job itself.

    In a process that `srun` started, it takes the newest `hpc_ckpt_*.ckpt` of any run, even without a `ckpt_path`.

    Args: root, `trainer.default_root_dir`; None for the working folder, as in Lightning.
    Raises: InputError if there is such a file.
    """
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    found = sorted(Path(root or ".").glob("hpc_ckpt_*.ckpt")) if SLURMEnvironment.detect() else []
    if found:
        raise InputError(
            f"trainer.default_root_dir has {found[-1]}, from which Lightning would restore the new run under srun: "
            "move the file away, or set another folder"
        )


def slurm_plugins(given: Sequence[object]) -> list[Any]:
    """The Trainer's plugin for a process that `srun` started; empty elsewhere, or if one of its kind is given.

    Lightning finds the same by itself, but would then put the job into SLURM's queue again on SIGUSR1, with a
    checkpoint of its own, `hpc_ckpt_1.ckpt`. Here that is up to submitit, and last.ckpt is the only such file.
    """
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    is_other = TorchElasticEnvironment.detect() or any(isinstance(plugin, ClusterEnvironment) for plugin in given)
    return [] if is_other or not SLURMEnvironment.detect() else [SLURMEnvironment(auto_requeue=False)]


def _number(name: str, default: int) -> int:
    """An environment variable as a number; `default` if it is missing or not a number."""
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else default
