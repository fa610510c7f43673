"""Runs with several processes: which of them writes files, and which settings they do not support."""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from autoencoder.errors import InputError

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # set by torchrun, Lightning, srun
JOB_OF_SWEEP = "AUTOENCODER_JOB_OF_SWEEP"  # in the environment of a job's process: the process of its sweep
PR_SET_PDEATHSIG = 1  # of Linux's prctl(2): the signal that a process gets when its parent ends
WITHOUT_FILES = (  # overrides for processes that must not write into the run's folder: no config, no log
    "hydra.output_subdir=null",
    "hydra.job_logging.root.handlers=[console]",
    "++hydra.job_logging.handlers.file.delay=true",  # opens the file at the first line, which never comes
)
COPYING = ("spawn", "fork", "notebook")  # in the names of strategies that train in copies of this process

_scratch: list[TemporaryDirectory[str]] = []  # removed when the process ends


def rank() -> int:
    """This process's number in the run, from the variables that torchrun, Lightning or srun set."""
    return next((int(os.environ[name]) for name in RANKS if os.environ.get(name, "").isdigit()), 0)


def is_first_process() -> bool:
    """Whether this is the process that writes the run's files."""
    return rank() == 0


def is_job_of_sweep() -> bool:
    """Whether the launcher `processes` started this process for one job of a sweep."""
    return JOB_OF_SWEEP in os.environ


def end_with_sweep() -> None:
    """Makes a job's process stop, and save its state, when the process of its sweep ends, even if that was killed."""
    if is_job_of_sweep() and is_first_process() and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(os.environ[JOB_OF_SWEEP]):  # it has ended already
            raise KeyboardInterrupt


def folder_overrides() -> list[str]:
    """Overrides to put before the command line, so that only the first process writes into the run's folder.

    The others save no config and write no log. Since torchrun starts processes independently, each would create a
    folder named after its own start time. Unless the command names a folder, they use a temporary one.
    """
    if is_first_process():
        return []
    _scratch.append(TemporaryDirectory(prefix="rank-"))
    return [
        f"hydra.run.dir={_scratch[-1].name}",
        f"hydra.sweep.dir={_scratch[-1].name}",
        *WITHOUT_FILES,
    ]


def check_strategy(trainer: Mapping[str, Any]) -> None:
    """Checks the strategy in a Trainer's config.

    Raises: InputError for strategies that train in copies of this process, which does not get their result.
    """
    strategy = trainer.get("strategy")
    name = strategy.get("start_method") if isinstance(strategy, Mapping) else strategy
    if isinstance(name, str) and any(word in name for word in COPYING):
        raise InputError(
            f"trainer.strategy={name} trains in copies of this process, which does not get their result: "
            "use trainer.strategy=ddp"
        )


def check_processes(trainer: "Trainer", in_sweep: bool) -> None:
    """Checks that the processes that a Trainer needs match those that exist.

    Raises: InputError if a job of a sweep would start several processes, if other nodes are needed that nobody starts,
        or if torchrun has started another number than the Trainer expects.
    """
    wanted = f"trainer.devices={trainer.num_devices}" + f" trainer.num_nodes={trainer.num_nodes}" * (
        trainer.num_nodes > 1
    )
    environment = getattr(trainer.strategy, "cluster_environment", None)
    starts_them = not (environment and environment.creates_processes_externally)
    if in_sweep and trainer.world_size > 1 and starts_them:
        raise InputError(
            f"{wanted}: each further process would start the whole sweep again: use "
            "hydra/launcher=parallel, which gives each job its own processes, or set trainer.devices=1"
        )
    if trainer.num_nodes > 1 and starts_them and not {"MASTER_ADDR", "NODE_RANK"} <= os.environ.keys():
        raise InputError(
            f"{wanted}: this process would wait forever for the other nodes: start the command with torchrun or "
            "srun on each node, or set MASTER_ADDR and NODE_RANK there"
        )
    started = int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if started > 1 and trainer.world_size != started:
        raise InputError(
            f"torchrun started {started} processes, and {wanted} with trainer.strategy="
            f"{'auto' if trainer.world_size == 1 else 'ddp'} needs {trainer.world_size}: "
            f"set trainer=ddp trainer.devices={os.environ.get('LOCAL_WORLD_SIZE', started)}"
        )
