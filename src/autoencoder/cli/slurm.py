"""Stops Lightning from treating a process inside a SLURM job as one of several when `srun` did not start it."""

import os
from collections.abc import Mapping
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
    if tasks > 1 and not alone and isinstance(devices, int) and devices * nodes != tasks:
        raise InputError(
            f"srun started {tasks} processes, and trainer.devices={devices} on {nodes} node{'s' * (nodes != 1)} are "
            f"{devices * nodes}: start it with srun --ntasks={devices * nodes}, without srun, or set trainer.devices"
        )


def _number(name: str, default: int) -> int:
    """An environment variable as a number; `default` if it is missing or not a number."""
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else default
